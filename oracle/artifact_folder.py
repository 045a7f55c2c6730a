"""Artifacts and evidence on the local disk: complete and synced under a digest, or absent."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from oracle.artifacts import LEFTOVER_SECONDS, digests_of_names
from protocol.units import Digest, ProofHash


class ArtifactFolder:
    """`sha256/ab/<hex>` for artifacts, `evidence/<proof hash>.json` for evidence."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for folder in (root, root / "evidence", root / "sha256"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: Digest) -> Path:
        name = digest.hex()
        return self._root / "sha256" / name[:2] / name

    def evidence_path(self, proof_hash: ProofHash) -> Path:
        return self._root / "evidence" / f"0x{proof_hash.hex()}.json"

    def keep(self, staged: Path, digest: Digest) -> None:
        """Bytes there already are replaced by their equals."""
        _put(staged, self.path(digest))

    def read(self, digest: Digest, offset: int, size_bytes: int) -> bytes:
        with self.path(digest).open("rb") as file:
            file.seek(offset)
            return file.read(size_bytes)

    def remove(self, digest: Digest) -> None:
        self.path(digest).unlink(missing_ok=True)

    def digests(self) -> Iterator[Digest]:
        for path in (self._root / "sha256").rglob("*"):
            if path.name.startswith("."):
                _remove_leftover(path)
            elif path.is_file():
                yield from digests_of_names([path.name])

    def keep_evidence(self, proof_hash: ProofHash, staged: Path) -> None:
        _put(staged, self.evidence_path(proof_hash))

    def read_evidence(self, proof_hash: ProofHash) -> bytes | None:
        try:
            return self.evidence_path(proof_hash).read_bytes()
        except FileNotFoundError:
            return None


def _put(source: Path, target: Path) -> None:
    """`source` is synced and not written to any more: the two share its bytes on the disk."""
    if not target.parent.is_dir():
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(target.parent.parent)
    temporary = target.with_name(f".{secrets.token_hex(8)}")
    os.link(source, temporary)
    try:
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # of two names of one file, rename leaves both
    _sync_folder(target.parent)


def _remove_leftover(path: Path) -> None:
    """Of a `_put` whose process was killed; one that goes on in another thread is younger."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ctime < time.time() - LEFTOVER_SECONDS:
            path.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
