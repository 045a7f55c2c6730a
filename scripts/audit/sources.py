"""Where an auditor finds evidence and artifacts: the oracle's folder, or its HTTP address."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from protocol.errors import BadInput
from protocol.units import Digest, ProofHash, to_hex
from scripts.client.answers import ServiceRefused
from scripts.client.api import OracleClient

MAX_ARTIFACT_BYTES = 16 << 30


class Source(Protocol):
    """None stands for what is not there; BadInput and the like for what may not be read."""

    def evidence(self, proof_hash: ProofHash) -> bytes | None: ...

    def artifact(self, digest: Digest) -> Path | None: ...


class FolderSource:
    """An oracle's artifact folder, or a copy. Names of files are not trusted: readers check digests."""

    def __init__(self, root: Path) -> None:
        if not (root / "sha256").is_dir() or not (root / "evidence").is_dir():
            raise BadInput(f"artifacts: expected a folder with `sha256` and `evidence`, got {root}")
        self._root = root

    def evidence(self, proof_hash: ProofHash) -> bytes | None:
        path = self._root / "evidence" / f"{to_hex(proof_hash)}.json"
        return path.read_bytes() if path.is_file() else None

    def artifact(self, digest: Digest) -> Path | None:
        name = digest.hex()
        path = self._root / "sha256" / name[:2] / name
        return path if path.is_file() else None


class OracleSource:
    """An oracle's HTTP API; its artifacts are fetched into a folder that is gone afterwards."""

    def __init__(self, client: OracleClient) -> None:
        self._client = client
        self._folder = tempfile.TemporaryDirectory(prefix="gpgpu-audit-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def evidence(self, proof_hash: ProofHash) -> bytes | None:
        try:
            return self._client.evidence(proof_hash)
        except ServiceRefused as error:
            if error.status == 404:
                return None
            raise

    def artifact(self, digest: Digest) -> Path | None:
        path = Path(self._folder.name) / digest.hex()
        if path.is_file():
            return path
        try:
            self._client.download(digest, path, MAX_ARTIFACT_BYTES)
        except ServiceRefused as error:
            if error.status == 404:
                return None
            raise
        return path
