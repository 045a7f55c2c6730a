"""The oracle's HTTP API: typed answers, streamed artifacts with digests checked, errors by their codes."""

import base64
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import httpx2 as httpx

from protocol import bodies, market_bodies
from protocol.digests import sha256, sha256_file
from protocol.errors import BadInput, DigestMismatch, LimitExceeded, ServiceUnavailable
from protocol.matching import Requirements
from protocol.readers import ReaderKey
from protocol.request_auth import sign_request
from protocol.resumable import PIECE_BYTES, Answer, upload_steps
from protocol.signed import SignedOffer, SignedOrder
from protocol.structs import Terms
from protocol.typed_data import Domain, Signer
from protocol.units import Digest, JobId, LeaseId, ProofHash, to_hex
from scripts.client.answers import AnyBody, checked, parsed, refusal, target_of
from scripts.client.events import StreamEvent, read_events
from scripts.client.persisting import persist

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0
RECONNECT_SECONDS = 0.5
MAX_PAGE = 500
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
EMPTY_DIGEST = sha256(b"")


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
            page = self._get(bodies.OffersBody, target_of("/v1/offers", **query, cursor=cursor))
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
        return parsed(market_bodies.PostedOfferBody, response)

    def request_quotes(self, wanted: Requirements, deadline: int) -> market_bodies.QuotesBody:
        """Asks every connected worker of such a unit for a bid until the deadline, Unix seconds."""
        body = market_bodies.QuoteRequestBody(
            requirements=market_bodies.RequirementsBody.of(wanted), deadline=deadline
        )
        response = self._send("POST", "/v1/quotes", json.dumps(bodies.json_of(body)).encode(), signed=True)
        return parsed(market_bodies.QuotesBody, response)

    def quotes(self, request_id: bytes, wait_seconds: int = 0) -> market_bodies.QuotesBody:
        """What was bid so far; waits until all have answered or the deadline is over."""
        target = target_of(f"/v1/quotes/{to_hex(request_id)}", wait_seconds=wait_seconds)
        return self._get(market_bodies.QuotesBody, target, signed=True)

    def reputations(self) -> Iterator[market_bodies.ReputationsBody]:
        """Page after page, each as of the block that it names."""
        cursor: str | None = None
        while True:
            page = self._get(market_bodies.ReputationsBody, target_of("/v1/reputations", cursor=cursor))
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
                bodies.LeasesBody, target_of("/v1/leases", renter=renter, provider=provider, cursor=cursor)
            )
            yield from page.leases
            cursor = page.next_cursor
            if cursor is None:
                return

    def post_order(self, terms: Terms, signed: SignedOrder, priority: int = 0) -> bodies.JobBody:
        """Hand over an order; the same order twice is one job. Priority as in `set_priority`."""
        document = bodies.json_of(bodies.OrderBody.of(terms, signed))
        target = target_of("/v1/orders", priority=priority or None)
        response = self._send("POST", target, json.dumps(document).encode(), signed=True)
        return parsed(bodies.JobBody, response)

    def post_orders(
        self, terms: Terms, orders: Sequence[SignedOrder], priority: int = 0
    ) -> list[bodies.OrderedBody]:
        """Hand over many orders under one lease; what became of each, in their order."""
        found: list[bodies.OrderedBody] = []
        for start in range(0, len(orders), bodies.MAX_BATCH):
            part = orders[start : start + bodies.MAX_BATCH]
            queued = tuple(bodies.QueuedOrderBody.of(signed, priority) for signed in part)
            content = bodies.OrdersBody(terms=terms, orders=queued).model_dump_json().encode()
            response = self._send("POST", "/v1/orders/batch", content, signed=True)
            found += parsed(bodies.OrderedJobsBody, response).results
        return found

    def cancel(self, job_id: JobId) -> bodies.JobBody:
        """Ask for a job's end; the same again changes nothing. The job as it is now."""
        response = self._send("POST", f"/v1/jobs/{to_hex(job_id)}/cancel", b"", signed=True)
        return parsed(bodies.JobBody, response)

    def set_priority(self, job_id: JobId, priority: int) -> bodies.JobBody:
        """Of the identity's jobs under a lease, 9 goes first and 0 last."""
        content = bodies.PriorityBody(priority=priority).model_dump_json().encode()
        response = self._send("PUT", f"/v1/jobs/{to_hex(job_id)}/priority", content, signed=True)
        return parsed(bodies.JobBody, response)

    def job(self, job_id: JobId) -> bodies.JobBody:
        return self._get(bodies.JobBody, f"/v1/jobs/{to_hex(job_id)}", signed=True)

    def jobs_of_lease(self, lease_id: LeaseId) -> Iterator[bodies.JobBody]:
        """What the identity may see of them, in the order in which they were ordered."""
        cursor: str | None = None
        while True:
            target = target_of(f"/v1/leases/{to_hex(lease_id)}/jobs", limit=MAX_PAGE, cursor=cursor)
            page = self._get(bodies.JobsBody, target, signed=True)
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def log(self, job_id: JobId, offset: int, wait_seconds: int = 0) -> tuple[bytes, int, bool]:
        """The log's bytes from `offset` on, the next offset, and whether no more will come."""
        body = self.log_part(job_id, offset, wait_seconds)
        return base64.b64decode(body.data), body.next_offset, body.complete

    def log_part(self, job_id: JobId, offset: int, wait_seconds: int = 0) -> bodies.LogsBody:
        target = target_of(f"/v1/jobs/{to_hex(job_id)}/logs", offset=offset, wait_seconds=wait_seconds)
        return self._get(bodies.LogsBody, target, signed=True)

    def read_log(self, job_id: JobId) -> Iterator[bodies.LogsBody]:
        """What there is of the log now."""
        offset = 0
        while (part := self.log_part(job_id, offset)).data:
            yield part
            offset = part.next_offset

    def follow_log(self, job_id: JobId) -> Iterator[bodies.LogsBody]:
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
                    part = checked(bodies.LogsBody, event.data.encode(), target)
                    yield part
                    offset = part.next_offset
            time.sleep(RECONNECT_SECONDS)

    def readers(self) -> tuple[ReaderKey, ...]:
        """Who may read what can be checked, as the oracle says; nothing of it is verified here."""
        return self._get(bodies.ReadersBody, "/v1/readers").readers

    def evidence(self, proof_hash: ProofHash) -> bytes:
        """The canonical JSON that a proof commits to. Open: it holds digests only."""
        return self._send("GET", f"/v1/proofs/{to_hex(proof_hash)}/evidence").content

    def upload(self, path: Path, digest: Digest) -> None:
        """Afterwards the oracle has the file under its digest. Of a large one, only what it lacks is sent.

        Broken connections are taken up again for as long as that brings the upload on.
        """
        size_bytes = path.stat().st_size
        if size_bytes <= PIECE_BYTES:
            target = f"/v1/artifacts/{digest.hex()}"
            headers = self._authorization("PUT", target, digest)
            headers["Content-Length"] = str(size_bytes)
            parsed(bodies.ArtifactBody, self._exchange("PUT", target, headers, _chunks(path)))
            return
        with path.open("rb") as file:
            persist(lambda: self._upload_rest(file.fileno(), size_bytes, digest))

    def _upload_rest(self, descriptor: int, size_bytes: int, digest: Digest) -> Iterator[None]:
        """Yields whenever the upload has come on."""
        steps = upload_steps(digest, size_bytes, lambda offset, count: os.pread(descriptor, count, offset))
        step = next(steps, None)
        while step is not None:
            body_digest = Digest(hashlib.sha256(step.body).digest())
            headers = {**step.headers, **self._authorization(step.method, step.target, body_digest)}
            response = self._exchange(step.method, step.target, headers, step.body, step.expected)
            if step.body and response.is_success:
                yield
            try:
                step = steps.send(Answer(response.status_code, dict(response.headers.items())))
            except StopIteration:
                return

    def download(self, digest: Digest, target_path: Path, max_bytes: int) -> int:
        """Fetch an artifact into a file that appears only when its digest is right; its size in bytes.

        Broken connections are taken up again for as long as that brings more bytes.
        """
        target_path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target_path.parent, prefix=".download-")
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                persist(lambda: self._download_rest(digest, out, max_bytes))
            actual = sha256_file(partial)
            if actual != digest:
                raise DigestMismatch(f"artifact: expected sha256 {digest.hex()}, got {actual.hex()}")
            size_bytes = partial.stat().st_size
            partial.replace(target_path)
        finally:
            partial.unlink(missing_ok=True)
        return size_bytes

    def _download_rest(self, digest: Digest, out: BinaryIO, max_bytes: int) -> Iterator[None]:
        """Yields whenever bytes have come."""
        target, start = f"/v1/artifacts/{digest.hex()}", out.tell()
        headers = self._authorization("GET", target, EMPTY_DIGEST)
        if start:
            headers["Range"] = f"bytes={start}-"
        with self._streamed(target, headers) as response:
            if response.status_code == RANGE_NOT_SATISFIABLE:
                return  # the connection broke after the last byte
            if start and response.status_code != PARTIAL_CONTENT:
                out.seek(0)
                out.truncate()
            for piece in self._pieces(response):
                if out.tell() + len(piece) > max_bytes:
                    raise LimitExceeded(f"artifact: expected at most {max_bytes} bytes, got more")
                out.write(piece)
                yield

    def _get(self, body: type[AnyBody], target: str, signed: bool = False) -> AnyBody:
        return parsed(body, self._send("GET", target, signed=signed))

    def _send(
        self, method: str, target: str, content: bytes | None = None, signed: bool = False
    ) -> httpx.Response:
        digest = Digest(hashlib.sha256(content or b"").digest())
        headers = self._authorization(method, target, digest) if signed else {}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return self._exchange(method, target, headers, content)

    def _exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
        expected: Sequence[int] = (),
    ) -> httpx.Response:
        try:
            response = self._http.request(method, target, headers=dict(headers), content=content)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error
        if response.status_code >= 400 and response.status_code not in expected:
            raise refusal(response.status_code, response.content)
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
            status = self._response.status_code
            if status >= 400 and status != RANGE_NOT_SATISFIABLE:
                raise refusal(status, self._response.read())
        except httpx.TransportError as error:
            raise self._client._unavailable(error) from error
        return self._response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _events(response: httpx.Response) -> Iterator[StreamEvent]:
    """Until the connection ends, however it ends."""
    with suppress(httpx.TransportError):
        yield from read_events(response.iter_lines())
