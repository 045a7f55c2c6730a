"""Bytes to and from the oracle: content-addressed artifacts, the evidence of proofs, signed offers; each
request signed.
"""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import httpx2

from protocol.bodies import ErrorBody
from protocol.digests import sha256, sha256_file
from protocol.errors import DigestMismatch, LimitExceeded, RejectedError, ServiceUnavailable
from protocol.request_auth import sign_request
from protocol.resumable import PIECE_BYTES, Answer, Step, upload_steps
from protocol.signed import SignedOffer
from protocol.typed_data import Domain, Signer
from protocol.units import Digest, ProofHash, to_hex

_CHUNK_BYTES: Final = 1 << 20
_EMPTY: Final = sha256(b"")
_RETRYABLE_STATUS: Final = (408, 425, 429)
_PARTIAL: Final = 206
_NOTHING_LEFT: Final = 416


class ArtifactClient:
    """ServiceUnavailable where a later try may succeed, RejectedError with the service's code where none
    will.
    """

    def __init__(
        self,
        base_url: str,
        domain: Domain,
        account: Signer,
        timeout_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._domain = domain
        self._account = account
        self._now = now
        self._client = httpx2.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False)

    def upload(self, path: Path, digest: Digest) -> None:
        """Afterwards the service has the bytes. Uploading them again changes nothing.

        Tried again after ServiceUnavailable, a large file goes on from what the service has of it.
        """
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes <= PIECE_BYTES:
                headers = {"Content-Length": str(size_bytes)}
                self._send("PUT", f"/v1/artifacts/{digest.hex()}", digest, _chunks(file), headers)
                return
            steps = upload_steps(
                digest, size_bytes, lambda offset, count: os.pread(file.fileno(), count, offset)
            )
            step = next(steps, None)
            while step is not None:
                try:
                    step = steps.send(self._take(step))
                except StopIteration:
                    return

    def download(self, digest: Digest, target: Path, max_bytes: int) -> None:
        """Afterwards `target` holds the bytes of this digest. LimitExceeded, DigestMismatch.

        Tried again after ServiceUnavailable, it goes on from the bytes that are in `target`.
        """
        url = f"/v1/artifacts/{digest.hex()}"
        start = target.stat().st_size if target.exists() else 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        request = self._request("GET", url, _EMPTY, None, headers)
        try:
            response = self._client.send(request, stream=True)
            try:
                if response.is_success:
                    start = start if response.status_code == _PARTIAL else 0
                    _write(response.iter_bytes(_CHUNK_BYTES), target, start, max_bytes)
                elif not (start and response.status_code == _NOTHING_LEFT):
                    response.read()
                    _raise_for(response, url)
            finally:
                response.close()
        except httpx2.TransportError as error:
            raise ServiceUnavailable(f"GET {url}: {error}") from error
        actual = sha256_file(target)
        if actual != digest:
            target.unlink()
            raise DigestMismatch(f"{url}: expected {digest.hex()}, got {actual.hex()}")

    def put_evidence(self, proof_hash: ProofHash, evidence: bytes) -> None:
        """Afterwards the service has the evidence of this proof."""
        self._send("PUT", f"/v1/proofs/{to_hex(proof_hash)}/evidence", sha256(evidence), evidence, {})

    def post_offer(self, signed: SignedOffer) -> None:
        """Afterwards the service's book has the offer."""
        body = json.dumps(signed.to_json()).encode()
        headers = {"Content-Type": "application/json"}
        self._send("POST", "/v1/offers", sha256(body), body, headers)

    def close(self) -> None:
        self._client.close()

    def _take(self, step: Step) -> Answer:
        request = self._request(step.method, step.target, sha256(step.body), step.body, dict(step.headers))
        try:
            response = self._client.send(request)
        except httpx2.TransportError as error:
            raise ServiceUnavailable(f"{step.method} {step.target}: {error}") from error
        if response.status_code not in step.expected:
            _raise_for(response, step.target)
        return Answer(response.status_code, dict(response.headers.items()))

    def _send(
        self, method: str, target: str, digest: Digest, body: bytes | Iterator[bytes], headers: dict[str, str]
    ) -> None:
        try:
            response = self._client.send(self._request(method, target, digest, body, headers))
        except httpx2.TransportError as error:
            raise ServiceUnavailable(f"{method} {target}: {error}") from error
        _raise_for(response, target)

    def _request(
        self,
        method: str,
        target: str,
        digest: Digest,
        body: bytes | Iterator[bytes] | None,
        headers: dict[str, str],
    ) -> httpx2.Request:
        url = httpx2.URL(self._base_url + target)
        path = url.raw_path.decode()
        nonce = secrets.token_bytes(32)
        signed = sign_request(self._domain, self._account, method, path, digest, self._now(), nonce)
        return self._client.build_request(method, url, content=body, headers={**headers, **signed})


def _write(chunks: Iterator[bytes], target: Path, start: int, max_bytes: int) -> None:
    received = start
    with target.open("r+b" if start else "wb") as file:
        file.seek(start)
        for chunk in chunks:
            received += len(chunk)
            if received > max_bytes:
                raise LimitExceeded(f"download: expected at most {max_bytes} bytes, got more")
            file.write(chunk)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _raise_for(response: httpx2.Response, target: str) -> None:
    if response.is_success:
        return
    if response.status_code >= 500 or response.status_code in _RETRYABLE_STATUS:
        raise ServiceUnavailable(f"{target}: the service answers {response.status_code}")
    try:
        error = ErrorBody.model_validate_json(response.content)
    except ValueError:
        raise RejectedError(f"{target}: the service answers {response.status_code}") from None
    raise RejectedError(f"{target}: {error.message}", code=error.code)
