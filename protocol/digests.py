"""Digests of bulk bytes, tensors and states, without a copy of what they hash.

Bulk bytes are hashed with SHA-256. A tensor's digest binds its dtype, shape, name and the Merkle root over
its chunks; a state's root is the Merkle root over its tensors, sorted by name.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from protocol import merkle
from protocol.errors import BadInput
from protocol.keccak import keccak256
from protocol.units import Digest

Buffer = bytes | bytearray | memoryview

CHUNK_BYTES: Final = 4 << 20
ITEM_BYTES: Final[Mapping[str, int]] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "uint16": 2,
    "int16": 2,
    "float16": 2,
    "bfloat16": 2,
    "uint32": 4,
    "int32": 4,
    "float32": 4,
    "uint64": 8,
    "int64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of one item of each dtype, named as torch names them."""


class Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


def sha256(data: Buffer) -> Digest:
    return Digest(hashlib.sha256(data).digest())


def sha256_stream(reader: Reader) -> Digest:
    """SHA-256 of all that is left to read."""
    state = hashlib.sha256()
    while piece := reader.read(1 << 20):
        state.update(piece)
    return Digest(state.digest())


def sha256_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return sha256_stream(file)


def chunk_root(buffer: Buffer) -> Digest:
    """Merkle root over the SHA-256 of each CHUNK_BYTES of contiguous bytes; zero where there are none."""
    view = _flat(buffer)
    chunks = (view[offset : offset + CHUNK_BYTES] for offset in range(0, len(view), CHUNK_BYTES))
    return merkle.root([merkle.leaf_hash(hashlib.sha256(chunk).digest()) for chunk in chunks])


def tensor_digest(name: str, dtype: str, shape: Iterable[int], buffer: Buffer) -> Digest:
    """keccak of dtype, shape, name and chunk root. `buffer`: contiguous little-endian bytes of the tensor.

    `dtype` is a key of ITEM_BYTES. BadInput where the bytes are not as many as dtype and shape say.
    """
    sizes = tuple(shape)
    if dtype not in ITEM_BYTES:
        raise BadInput(f"tensor {name}: expected a dtype of {', '.join(ITEM_BYTES)}, got {dtype}")
    expected_bytes, actual_bytes = math.prod(sizes) * ITEM_BYTES[dtype], memoryview(buffer).nbytes
    if expected_bytes != actual_bytes:
        raise BadInput(f"tensor {name}: expected {expected_bytes} bytes, got {actual_bytes}")
    header = _text(dtype) + _number(len(sizes)) + b"".join(map(_number, sizes)) + _text(name)
    return Digest(keccak256(header + chunk_root(buffer)))


def state_root(tensors: Mapping[str, bytes]) -> Digest:
    """Merkle root over the tensor digests of a state, by name; zero for the empty state."""
    return merkle.root([merkle.leaf_hash(_text(name) + tensors[name]) for name in sorted(tensors)])


def _flat(buffer: Buffer) -> memoryview:
    view = memoryview(buffer)
    if view.nbytes == 0:
        return memoryview(b"")
    if not view.c_contiguous:
        raise BadInput("buffer: expected contiguous bytes, got strided ones")
    return view.cast("B")


def _text(value: str) -> bytes:
    data = value.encode()
    return _number(len(data)) + data


def _number(value: int) -> bytes:
    return value.to_bytes(8)
