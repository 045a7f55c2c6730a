"""Who is asking: the signature over the request, good once and for a minute, and the body that it is over."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from oracle.api.errors import ApiError
from oracle.api.services import Services, services_of
from oracle.store.nonces import spend_nonce
from protocol.errors import RejectedError
from protocol.request_auth import claimed_body_digest, verify_request
from protocol.units import Address, Digest


@dataclass(frozen=True, slots=True)
class Caller:
    """`address` signed this request; `body_digest` is the SHA-256 that it signed."""

    address: Address
    body_digest: Digest
    body: bytes = b""


async def signed_headers(request: Request) -> Caller:
    """The caller of a request whose body is yet to be read and compared with `body_digest`."""
    services = services_of(request)
    try:
        digest = claimed_body_digest(request.headers)
        address, nonce, expires_at = verify_request(
            services.domain, request.headers, request.method, _target(request), None, services.now()
        )
    except RejectedError as error:
        raise ApiError(HTTPStatus.UNAUTHORIZED, error.code, error.message) from error
    if not await run_in_threadpool(_spend, services, address, nonce, expires_at):
        raise ApiError(
            HTTPStatus.UNAUTHORIZED, "replayed_request", "the nonce of this request was used before"
        )
    return Caller(address, digest)


async def signed(request: Request) -> Caller:
    """The caller, and a body of at most `max_body_bytes`."""
    return await _signed_body(request, services_of(request).settings.max_body_bytes)


async def signed_evidence(request: Request) -> Caller:
    """The caller, and a body of at most `max_evidence_bytes`."""
    return await _signed_body(request, services_of(request).settings.max_evidence_bytes)


async def _signed_body(request: Request, max_bytes: int) -> Caller:
    caller = await signed_headers(request)
    received = bytearray()

    async def take(chunk: bytes) -> None:
        received.extend(chunk)

    await read_stream(request, max_bytes, take)
    body = bytes(received)
    if hashlib.sha256(body).digest() != caller.body_digest:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "digest_mismatch", "the body is not the one that was signed")
    return Caller(caller.address, caller.body_digest, body)


async def read_stream(request: Request, max_bytes: int, take: Callable[[bytes], Awaitable[None]]) -> None:
    """Hands over the body as it comes. 413 where it is larger, 408 where the sender falls silent."""
    too_large = ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"expected at most {max_bytes} bytes"
    )
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise too_large
    idle_seconds = services_of(request).settings.upload_idle_seconds
    received_bytes = 0
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            message = f"no byte of the body for {idle_seconds:.0f} s"
            raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", message) from error
        if chunk is None:
            return
        received_bytes += len(chunk)
        if received_bytes > max_bytes:
            raise too_large
        await take(chunk)


def _target(request: Request) -> str:
    """Path and query as they were sent, before any decoding."""
    path = bytes(request.scope.get("raw_path") or request.url.path.encode())
    query = bytes(request.scope["query_string"])
    return (path.split(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _spend(services: Services, address: Address, nonce: bytes, expires_at: int) -> bool:
    with services.store.write() as transaction:
        return spend_nonce(transaction, address, nonce, expires_at)
