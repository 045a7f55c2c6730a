"""Content-addressed bytes: where they come in, the interface of where they stay, how they are read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from protocol.errors import DigestMismatch, LimitExceeded
from protocol.units import Digest, ProofHash

BLOCK_BYTES: Final = 4 << 20
_DIGEST: Final = re.compile("[0-9a-f]{64}", re.ASCII)
LEFTOVER_SECONDS: Final = 3600
"""So old must be what nobody knows before it goes: it may be of an upload that is not written down yet."""


class ArtifactStore(Protocol):
    """Complete bytes under their digest, durable once `keep` returns, or nothing."""

    def keep(self, staged: Path, digest: Digest) -> None:
        """Afterwards the bytes of `staged`, which have this digest, are stored; `staged` stays as it is."""
        ...

    def read(self, digest: Digest, offset: int, size_bytes: int) -> bytes:
        """At most so many bytes. FileNotFoundError."""
        ...

    def remove(self, digest: Digest) -> None:
        """Afterwards nothing is stored under the digest."""
        ...

    def digests(self) -> Iterator[Digest]:
        """Of all that is stored."""
        ...

    def keep_evidence(self, proof_hash: ProofHash, staged: Path) -> None: ...

    def read_evidence(self, proof_hash: ProofHash) -> bytes | None: ...


class BlockHash:
    """SHA-256 of the whole, and of each BLOCK_BYTES of it, against which parts are checked when read."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._room_bytes = BLOCK_BYTES
        self._blocks: list[bytes] = []

    def update(self, data: bytes) -> None:
        self._whole.update(data)
        view = memoryview(data)
        while view:
            part, view = view[: self._room_bytes], view[self._room_bytes :]
            self._block.update(part)
            self._room_bytes -= len(part)
            if not self._room_bytes:
                self._end_block()

    def digest(self) -> Digest:
        return Digest(self._whole.digest())

    def blocks(self) -> bytes:
        """32 bytes for each block, the last one perhaps a short one. To be asked for once, at the end."""
        if self._room_bytes < BLOCK_BYTES:
            self._end_block()
        return b"".join(self._blocks)

    def _end_block(self) -> None:
        self._blocks.append(self._block.digest())
        self._block = hashlib.sha256()
        self._room_bytes = BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class StagedFile:
    """Bytes on the disk that have this digest."""

    path: Path
    size_bytes: int
    digest: Digest
    blocks: bytes


class Upload:
    """Bytes on their way in: counted and hashed while they are written to a temporary file."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix="upload-")
        self.path = Path(name)
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._file = os.fdopen(descriptor, "wb")
        self._hash = BlockHash()

    def write(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._max_bytes:
            message = f"artifact: expected at most {self._max_bytes} bytes, got more"
            raise LimitExceeded(message, code="too_large")
        self._hash.update(chunk)
        self._file.write(chunk)

    def complete(self, expected: Digest) -> StagedFile:
        """The bytes are on the disk and have this digest. Raises DigestMismatch."""
        check_digest(expected, self._hash.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return StagedFile(self.path, self.size_bytes, expected, self._hash.blocks())

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # a full disk refuses the last flush too
            self._file.close()
        self.path.unlink(missing_ok=True)


class Staging:
    """A local folder for what is on its way in. Temporary files of a process that was killed go at the start;
    parts of resumable uploads stay.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in root.glob("upload-*"):
            leftover.unlink()

    @contextmanager
    def upload(self, max_bytes: int) -> Generator[Upload, None, None]:
        """Its file is gone afterwards."""
        upload = Upload(self._root, max_bytes)
        try:
            yield upload
        finally:
            upload.discard()

    def part(self, upload_id: str) -> Path:
        """Where the bytes of a resumable upload lie."""
        return self._root / f"{upload_id}.part"

    def remove_unknown_parts(self, known: Collection[str]) -> int:
        """Parts of uploads that are forgotten; those of uploads just begun may not be known yet."""
        removed = 0
        for path in self._root.glob("*.part"):
            if path.stem not in known and path.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def hash_file(path: Path, size_bytes: int, expected: Digest) -> StagedFile:
    """The first `size_bytes` of a file, on the disk, the rest cut off. Raises DigestMismatch."""
    state = BlockHash()
    with path.open("r+b") as file:
        file.truncate(size_bytes)
        while piece := file.read(1 << 20):
            state.update(piece)
        check_digest(expected, state.digest())
        os.fsync(file.fileno())
    return StagedFile(path, size_bytes, expected, state.blocks())


def digests_of_names(names: Iterable[str]) -> Iterator[Digest]:
    """Of those that are digests: whatever else lies in a store is none of ours."""
    for name in names:
        if _DIGEST.fullmatch(name):
            yield Digest(bytes.fromhex(name))


def check_digest(expected: Digest, actual: Digest) -> None:
    if actual != expected:
        raise DigestMismatch(f"artifact: expected sha256 {expected.hex()}, got {actual.hex()}")


def read_checked(
    store: ArtifactStore, digest: Digest, size_bytes: int, blocks: bytes, start: int, end: int
) -> Iterator[bytes]:
    """The bytes [start, end) of an artifact, none before its whole block was compared with what came in.

    DigestMismatch where the store has lost or altered some: what was given out before is right.
    """
    for index in range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES)):
        first = index * BLOCK_BYTES
        expected_bytes = min(BLOCK_BYTES, size_bytes - first)
        try:
            block = store.read(digest, first, expected_bytes)
        except FileNotFoundError as error:
            raise DigestMismatch(f"artifact {digest.hex()}: expected it in the store, got nothing") from error
        if hashlib.sha256(block).digest() != blocks[32 * index : 32 * index + 32]:
            raise DigestMismatch(f"artifact {digest.hex()}: block {index} is not what was uploaded")
        yield block[max(0, start - first) : end - first]


def measure_blocks(store: ArtifactStore, digest: Digest, size_bytes: int) -> bytes:
    """Digests of the blocks of an artifact that came in before they were taken. DigestMismatch."""
    state = BlockHash()
    for first in range(0, size_bytes, BLOCK_BYTES):
        state.update(store.read(digest, first, min(BLOCK_BYTES, size_bytes - first)))
    check_digest(digest, state.digest())
    return state.blocks()
