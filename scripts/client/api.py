"""The oracle's HTTP API: typed answers, streamed artifacts with digests checked, errors by their codes."""

import base64
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import httpx2 as httpx
from pydantic import ValidationError

from protocol import bodies, market_bodies
from protocol.errors import BadInput, DigestMismatch, LimitExceeded, RejectedError, ServiceUnavailable
from protocol.matching import Requirements
from protocol.request_auth import sign_request
from protocol.signed import SignedOffer, SignedOrder
from protocol.structs import Terms
from protocol.typed_data import Domain, Signer
from protocol.units import Digest, JobId, LeaseId, ProofHash, to_hex
from scripts.client.events import StreamEvent, read_events

AnyBody = TypeVar("AnyBody", bound=bodies.Body)

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0
RECONNECT_SECONDS = 0.5
MAX_PAGE = 500
LOOPBACK = ("127.0.0.1", "localhost", "::1")
RETRYABLE_STATUSES = (408, 425, 429)
EMPTY_DIGEST = Digest(hashlib.sha256(b"").digest())


class ServiceRefused(RejectedError):
    """The oracle answered, with an error: `code` is the oracle's."""

    default_code = "service_refused"

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message, code=code)
        self.status = status


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs the requests, and for which market."""

    domain: Domain
    signer: Signer


class OracleClient:
    """One oracle. Without an identity, only what is open to everyone can be asked."""

    def __init__(
        self, url: str, identity: Identity | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.identity = identity
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise BadInput(f"oracle address: expected http://HOST:PORT, got {url!r}: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise BadInput(f"oracle address: expected http://HOST:PORT, got {url!r}")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            # A proxy of the environment is for other hosts than this one.
            trust_env=parsed.host not in LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def health(self) -> bodies.HealthBody:
        return self._get(bodies.HealthBody, "/v1/health")

    def deployment(self) -> bodies.DeploymentBody:
        return self._get(bodies.DeploymentBody, "/v1/deployment")

    def offers(self, wanted: Requirements | None = None) -> Iterator[bodies.OfferBody]:
        """Every offer that meets the requirements, listed or signed, best first."""
        body = market_bodies.RequirementsBody.of(wanted or Requirements())
        query = body.model_dump(mode="json", exclude_defaults=True)
        cursor: str | None = None
        while True:
            page = self._get(bodies.OffersBody, _target("/v1/offers", **query, cursor=cursor))
            yield from page.offers
            cursor = page.next_cursor
            if cursor is None:
                return

    def offer(self, offer_hash: bytes) -> market_bodies.FoundOfferBody:
        """All that a lease on it is opened with."""
        return self._get(market_bodies.FoundOfferBody, f"/v1/offers/{to_hex(offer_hash)}")

    def post_offer(self, signed: SignedOffer) -> market_bodies.PostedOfferBody:
        """Puts a signed offer into the oracle's book; the same again changes nothing."""
        document = bodies.json_of(market_bodies.SignedOfferBody.of(signed))
        response = self._send("POST", "/v1/offers", json.dumps(document).encode(), signed=True)
        return _parsed(market_bodies.PostedOfferBody, response)

    def request_quotes(self, wanted: Requirements, deadline: int) -> market_bodies.QuotesBody:
        """Asks every connected worker of such a unit for a bid until the deadline, Unix seconds."""
        body = market_bodies.QuoteRequestBody(
            requirements=market_bodies.RequirementsBody.of(wanted), deadline=deadline
        )
        response = self._send("POST", "/v1/quotes", json.dumps(bodies.json_of(body)).encode(), signed=True)
        return _parsed(market_bodies.QuotesBody, response)

    def quotes(self, request_id: bytes, wait_seconds: int = 0) -> market_bodies.QuotesBody:
        """What was bid so far; waits until all have answered or the deadline is over."""
        target = _target(f"/v1/quotes/{to_hex(request_id)}", wait_seconds=wait_seconds)
        return self._get(market_bodies.QuotesBody, target, signed=True)

    def reputations(self) -> Iterator[market_bodies.ReputationsBody]:
        """Page after page, each as of the block that it names."""
        cursor: str | None = None
        while True:
            page = self._get(market_bodies.ReputationsBody, _target("/v1/reputations", cursor=cursor))
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def lease(self, lease_id: LeaseId) -> bodies.LeaseBody:
        return self._get(bodies.LeaseBody, f"/v1/leases/{to_hex(lease_id)}")

    def leases(self, renter: str | None = None, provider: str | None = None) -> Iterator[bodies.LeaseBody]:
        cursor: str | None = None
        while True:
            page = self._get(
                bodies.LeasesBody, _target("/v1/leases", renter=renter, provider=provider, cursor=cursor)
            )
            yield from page.leases
            cursor = page.next_cursor
            if cursor is None:
                return

    def post_order(self, terms: Terms, signed: SignedOrder) -> bodies.JobBody:
        """Hand over an order; the same order twice is one job."""
        document = bodies.json_of(bodies.OrderBody.of(terms, signed))
        response = self._send("POST", "/v1/orders", json.dumps(document).encode(), signed=True)
        return _parsed(bodies.JobBody, response)

    def job(self, job_id: JobId) -> bodies.JobBody:
        return self._get(bodies.JobBody, f"/v1/jobs/{to_hex(job_id)}", signed=True)

    def jobs_of_lease(self, lease_id: LeaseId) -> Iterator[bodies.JobBody]:
        """What the identity may see of them, in the order in which they were ordered."""
        cursor: str | None = None
        while True:
            target = _target(f"/v1/leases/{to_hex(lease_id)}/jobs", limit=MAX_PAGE, cursor=cursor)
            page = self._get(bodies.JobsBody, target, signed=True)
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def log(self, job_id: JobId, offset: int, wait_seconds: int = 0) -> tuple[bytes, int, bool]:
        """The log's bytes from `offset` on, the next offset, and whether no more will come."""
        target = _target(f"/v1/jobs/{to_hex(job_id)}/logs", offset=offset, wait_seconds=wait_seconds)
        body = self._get(bodies.LogsBody, target, signed=True)
        return base64.b64decode(body.data), body.next_offset, body.complete

    def read_log(self, job_id: JobId) -> Iterator[bytes]:
        """What there is of the log now."""
        offset = 0
        while (found := self.log(job_id, offset))[0]:
            yield found[0]
            offset = found[1]

    def follow_log(self, job_id: JobId) -> Iterator[bytes]:
        """The whole log as it grows, until the job has ended.

        A connection that breaks is made anew, after what has come. ServiceUnavailable if that fails.
        """
        target, offset = f"/v1/jobs/{to_hex(job_id)}/logs/stream", 0
        while True:
            headers = self._authorization("GET", target, EMPTY_DIGEST) | {"Last-Event-ID": str(offset)}
            with _Stream(self, self._http.build_request("GET", target, headers=headers)) as response:
                for event in _events(response):
                    if event.name == "end":
                        return
                    body = _checked(bodies.LogsBody, event.data.encode(), target)
                    yield base64.b64decode(body.data)
                    offset = body.next_offset
            time.sleep(RECONNECT_SECONDS)

    def evidence(self, proof_hash: ProofHash) -> bytes:
        """The canonical JSON that a proof commits to. Open: it holds digests only."""
        return self._send("GET", f"/v1/proofs/{to_hex(proof_hash)}/evidence").content

    def upload(self, path: Path, digest: Digest) -> bodies.ArtifactBody:
        """Stream a file to its content address; the same bytes again cost nothing but the transfer."""
        target = f"/v1/artifacts/{digest.hex()}"
        headers = self._authorization("PUT", target, digest)
        headers["Content-Length"] = str(path.stat().st_size)
        response = self._exchange("PUT", target, headers, _chunks(path))
        return _parsed(bodies.ArtifactBody, response)

    def download(self, digest: Digest, target_path: Path, max_bytes: int) -> int:
        """Fetch an artifact into a file that appears only when its digest is right; its size in bytes."""
        target = f"/v1/artifacts/{digest.hex()}"
        headers = self._authorization("GET", target, EMPTY_DIGEST)
        target_path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target_path.parent, prefix=".download-")
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out, self._streamed(target, headers) as response:
                size_bytes, actual = _copy(self._pieces(response), out, max_bytes)
            if actual != digest:
                raise DigestMismatch(f"artifact: expected sha256 {digest.hex()}, got {actual.hex()}")
            partial.replace(target_path)
        finally:
            partial.unlink(missing_ok=True)
        return size_bytes

    def _get(self, body: type[AnyBody], target: str, signed: bool = False) -> AnyBody:
        return _parsed(body, self._send("GET", target, signed=signed))

    def _send(
        self, method: str, target: str, content: bytes | None = None, signed: bool = False
    ) -> httpx.Response:
        digest = Digest(hashlib.sha256(content or b"").digest())
        headers = self._authorization(method, target, digest) if signed else {}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return self._exchange(method, target, headers, content)

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes | Iterator[bytes] | None
    ) -> httpx.Response:
        try:
            response = self._http.request(method, target, headers=dict(headers), content=content)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error
        if response.status_code >= 400:
            raise _refusal(response.status_code, response.content)
        return response

    def _streamed(self, target: str, headers: Mapping[str, str]) -> "_Stream":
        return _Stream(self, self._http.build_request("GET", target, headers=dict(headers)))

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes(CHUNK_BYTES)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    def _authorization(self, method: str, target: str, body_digest: Digest) -> dict[str, str]:
        if self.identity is None:
            raise BadInput("a key is needed here: give --keystore")
        return dict(
            sign_request(
                self.identity.domain,
                self.identity.signer,
                method,
                target,
                body_digest,
                int(time.time()),
                secrets.token_bytes(32),
            )
        )

    def _unavailable(self, error: Exception) -> ServiceUnavailable:
        return ServiceUnavailable(f"oracle {self.url}: {type(error).__name__}: {error}")


class _Stream:
    """One response whose body is read piece by piece."""

    def __init__(self, client: OracleClient, request: httpx.Request) -> None:
        self._client = client
        self._request = request
        self._response: httpx.Response | None = None

    def __enter__(self) -> httpx.Response:
        try:
            self._response = self._client._http.send(self._request, stream=True)
            if self._response.status_code >= 400:
                raise _refusal(self._response.status_code, self._response.read())
        except httpx.TransportError as error:
            raise self._client._unavailable(error) from error
        return self._response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()


def sha256_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").digest())


def _copy(pieces: Iterator[bytes], out: Any, max_bytes: int) -> tuple[int, Digest]:
    digest, size_bytes = hashlib.sha256(), 0
    for piece in pieces:
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise LimitExceeded(f"artifact: expected at most {max_bytes} bytes, got more")
        digest.update(piece)
        out.write(piece)
    return size_bytes, Digest(digest.digest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _target(path: str, **query: str | int | None) -> str:
    """Path and query exactly as they are signed and sent."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _events(response: httpx.Response) -> Iterator[StreamEvent]:
    """Until the connection ends, however it ends."""
    with suppress(httpx.TransportError):
        yield from read_events(response.iter_lines())


def _parsed(body: type[AnyBody], response: httpx.Response) -> AnyBody:
    return _checked(body, response.content, str(response.request.url))


def _checked(body: type[AnyBody], content: bytes, source: str) -> AnyBody:
    try:
        return body.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ServiceUnavailable(f"{source}: expected a {body.__name__}: {where}: {fault['msg']}") from error


def _refusal(status: int, content: bytes) -> Exception:
    try:
        error = bodies.ErrorBody.model_validate_json(content)
    except ValidationError:
        text = content[:200].decode("utf-8", "replace")
        return ServiceUnavailable(f"oracle: status {status}: {text}")
    if status >= 500 or status in RETRYABLE_STATUSES:
        return ServiceUnavailable(f"oracle: {error.message}", code=error.code)
    return ServiceRefused(status, error.code, f"oracle: {error.message}")
