"""Content-addressed bytes and evidence on the local disk: complete and synced under a digest, or absent."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import DigestMismatch, LimitExceeded
from protocol.units import Digest, ProofHash


class Upload:
    """Bytes on their way in: counted and hashed while they are written to a temporary file."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix="upload-")
        self.path = Path(name)
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._file = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._max_bytes:
            message = f"artifact: expected at most {self._max_bytes} bytes, got more"
            raise LimitExceeded(message, code="too_large")
        self._hash.update(chunk)
        self._file.write(chunk)

    def complete(self, expected: Digest) -> None:
        """The bytes are on the disk and have this digest. Raises DigestMismatch."""
        actual = self._hash.digest()
        if actual != expected:
            raise DigestMismatch(f"artifact: expected sha256 {expected.hex()}, got {actual.hex()}")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # a full disk refuses the last flush too
            self._file.close()
        self.path.unlink(missing_ok=True)


class ArtifactFolder:
    """`sha256/ab/<hex>` for artifacts, `evidence/<proof hash>.json` for evidence."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        for folder in (root, self._incoming, root / "evidence", root / "sha256"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():  # of a process that was killed
            leftover.unlink()

    def path(self, digest: Digest) -> Path:
        name = digest.hex()
        return self._root / "sha256" / name[:2] / name

    def evidence_path(self, proof_hash: ProofHash) -> Path:
        return self._root / "evidence" / f"0x{proof_hash.hex()}.json"

    @contextmanager
    def upload(self, max_bytes: int) -> Generator[Upload, None, None]:
        """Whatever was not moved to its place by `keep` is gone afterwards."""
        upload = Upload(self._incoming, max_bytes)
        try:
            yield upload
        finally:
            upload.discard()

    def keep(self, upload: Upload, digest: Digest) -> None:
        """Moves a completed upload to its place; bytes there already are replaced by their equals."""
        _replace(upload.path, self.path(digest))

    def remove(self, digest: Digest) -> None:
        self.path(digest).unlink(missing_ok=True)

    def keep_evidence(self, proof_hash: ProofHash, data: bytes) -> None:
        digest = Digest(hashlib.sha256(data).digest())
        with self.upload(len(data)) as upload:
            upload.write(data)
            upload.complete(digest)
            _replace(upload.path, self.evidence_path(proof_hash))


def _replace(source: Path, target: Path) -> None:
    if not target.parent.is_dir():
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(target.parent.parent)
    os.replace(source, target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
