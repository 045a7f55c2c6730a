"""Artifacts and evidence in an object store, by fsspec: S3 and whatever speaks like it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import fsspec  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError  # pyright: ignore[reportMissingTypeStubs]

from oracle.artifacts import digests_of_names
from protocol.errors import BadInput, ServiceUnavailable
from protocol.units import Digest, ProofHash

SCHEMES: Final = ("s3",)
RETRIES: Final = 2
CONNECT_SECONDS: Final = 5


class ArtifactObjects:
    """Objects under `s3://bucket/prefix`, named as in the local folder. Each is there whole or not at all.

    What it received the service compares with the checksum that was sent along.
    """

    def __init__(self, url: str, endpoint: str, key: str | None, secret: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise BadInput(f"artifact_url: expected s3://BUCKET/PREFIX, got {url!r}")
        self._root = f"{parts.netloc}{parts.path}".rstrip("/")
        options: dict[str, Any] = {"key": key, "secret": secret, "use_listings_cache": False}
        if endpoint:
            options["endpoint_url"] = endpoint
        # Whoever calls tries again; to wait here would keep threads of the server.
        options["config_kwargs"] = {"retries": {"max_attempts": RETRIES}, "connect_timeout": CONNECT_SECONDS}
        # Its types are unknown.
        self._files: Any = cast(Any, fsspec).filesystem(parts.scheme, skip_instance_cache=True, **options)
        self._files.retries = RETRIES

    def keep(self, staged: Path, digest: Digest) -> None:
        self._put(staged, self._path(digest))

    def read(self, digest: Digest, offset: int, size_bytes: int) -> bytes:
        if not size_bytes:
            return b""
        with _reachable():
            try:
                return self._files.cat_file(self._path(digest), start=offset, end=offset + size_bytes)
            except OSError as error:
                if "range" in str(error).lower():  # the object ends before `offset`
                    return b""
                raise

    def remove(self, digest: Digest) -> None:
        with _reachable(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(digest))

    def digests(self) -> Iterator[Digest]:
        with _reachable():
            found: list[str] = self._files.find(f"{self._root}/sha256")
        yield from digests_of_names(path.rpartition("/")[2] for path in found)

    def keep_evidence(self, proof_hash: ProofHash, staged: Path) -> None:
        self._put(staged, self._evidence(proof_hash))

    def read_evidence(self, proof_hash: ProofHash) -> bytes | None:
        with _reachable():
            try:
                return self._files.cat_file(self._evidence(proof_hash))
            except FileNotFoundError:
                return None

    def _put(self, staged: Path, target: str) -> None:
        with _reachable():
            self._files.put_file(str(staged), target)
            stored_bytes = int(self._files.info(target)["size"])
        if stored_bytes != staged.stat().st_size:
            raise ServiceUnavailable(f"{target}: expected {staged.stat().st_size} bytes, got {stored_bytes}")

    def _path(self, digest: Digest) -> str:
        name = digest.hex()
        return f"{self._root}/sha256/{name[:2]}/{name}"

    def _evidence(self, proof_hash: ProofHash) -> str:
        return f"{self._root}/evidence/0x{proof_hash.hex()}.json"


@contextmanager
def _reachable() -> Generator[None, None, None]:
    """What the service or the way to it fails at may succeed later: ServiceUnavailable."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, BotoCoreError) as error:
        raise ServiceUnavailable(f"artifact store: {type(error).__name__}: {error}") from error
