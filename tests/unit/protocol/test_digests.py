"""Digests of bytes, tensors and states bind all that they should, and copy nothing."""

import hashlib
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.digests import CHUNK_BYTES, chunk_root, sha256, sha256_stream, state_root, tensor_digest
from protocol.errors import BadInput

DATA = bytes(range(24))


@given(st.binary(max_size=1000))
def test_sha256__stream_and_bytes__agree_with_hashlib(data: bytes) -> None:
    assert sha256(data) == sha256_stream(io.BytesIO(data)) == hashlib.sha256(data).digest()


def test_chunk_root__two_chunks__is_a_tree_over_their_sha256() -> None:
    data = bytes(CHUNK_BYTES) + b"tail"
    leaves = [merkle.leaf_hash(sha256(part)) for part in (bytes(CHUNK_BYTES), b"tail")]
    assert chunk_root(data) == merkle.root(leaves)
    assert chunk_root(b"") == bytes(32)


def test_chunk_root__large_buffer__is_not_copied() -> None:
    data = bytearray(24 << 20)
    tracemalloc.start()
    try:
        chunk_root(memoryview(data))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_chunk_root__shaped_view__is_that_of_its_bytes() -> None:
    shaped = memoryview(DATA).cast("B", (4, 6))
    assert chunk_root(shaped) == chunk_root(DATA)
    with pytest.raises(BadInput, match="contiguous"):
        chunk_root(memoryview(DATA)[::2])


def test_tensor_digest__anything_different__is_another() -> None:
    found = {
        tensor_digest("w", "float32", (2, 3), DATA),
        tensor_digest("v", "float32", (2, 3), DATA),
        tensor_digest("w", "int32", (2, 3), DATA),
        tensor_digest("w", "float32", (3, 2), DATA),
        tensor_digest("w", "float32", (6,), DATA),
        tensor_digest("w", "float32", (6, 1), DATA),
        tensor_digest("w", "float64", (3,), DATA),
        tensor_digest("w", "float32", (2, 3), DATA[::-1]),
    }
    assert len(found) == 8


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("float32", (7,), "expected 28 bytes, got 24"),
        ("float32", (), "expected 4 bytes, got 24"),
        ("torch.float32", (6,), "expected a dtype of"),
    ],
)
def test_tensor_digest__bytes_that_do_not_fit__are_refused(
    dtype: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        tensor_digest("w", dtype, shape, DATA)


def test_state_root__names_and_digests__are_bound() -> None:
    a, b = tensor_digest("a", "uint8", (24,), DATA), tensor_digest("b", "uint8", (24,), DATA)
    root = state_root({"a": a, "b": b})
    assert root == state_root({"b": b, "a": a})
    assert len({root, state_root({"a": b, "b": a}), state_root({"a": a}), state_root({"a": a, "c": b})}) == 4
    assert state_root({}) == bytes(32)
