"""Who is asking: the signature over the request, good once and for a minute, or the token of a sign-in."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from oracle.api.errors import ApiError
from oracle.api.limits import take_place
from oracle.api.services import Services, services_of
from oracle.store.nonces import spend_nonce
from oracle.store.sessions import Session, find_session
from protocol.digests import sha256
from protocol.errors import RejectedError
from protocol.request_auth import claimed_body_digest, verify_request
from protocol.units import Address, Digest

T = TypeVar("T")

TOKEN_PREFIX = "gpgpu_"  # noqa: S105 - what tokens begin with, so that scanners know a leaked one
_BEARER = re.compile(r"[Bb]earer +(" + TOKEN_PREFIX + r"[A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """`address` signed this request, or signed in; `body_digest` is the SHA-256 of the body as it says.

    `token_digest` is None where the request itself is signed.
    """

    address: Address
    body_digest: Digest
    body: bytes = b""
    token_digest: Digest | None = None
    session: Session | None = None


async def signed_headers(request: Request) -> Caller:
    """The caller of a request whose body is yet to be read and compared with `body_digest`."""
    token = token_of(request)
    if token is not None:
        digest = _refused_as_unauthorized(lambda: claimed_body_digest(request.headers))
        return await _signed_in(request, token, digest)
    return await _signed(request)


async def signed(request: Request) -> Caller:
    """The caller, and a body of at most `max_body_bytes`."""
    return await _whole(request, services_of(request).settings.max_body_bytes)


async def _whole(request: Request, max_bytes: int) -> Caller:
    token = token_of(request)
    if token is None:
        return await _signed_body(request, max_bytes)
    caller = await _signed_in(request, token, Digest(b""))
    body = await _read_body(request, max_bytes)
    return Caller(caller.address, sha256(body), body, caller.token_digest, caller.session)


async def signed_itself(request: Request) -> Caller:
    """The caller, and a body of at most `max_body_bytes`. By signature alone: oracles do not sign in."""
    return await _signed_body(request, services_of(request).settings.max_body_bytes)


async def signed_batch(request: Request) -> Caller:
    """As `signed`, with a body of at most `max_batch_bytes`."""
    return await _whole(request, services_of(request).settings.max_batch_bytes)


async def signed_evidence(request: Request) -> Caller:
    """The caller, and a body of at most `max_evidence_bytes`. By signature alone: workers do not sign in."""
    return await _signed_body(request, services_of(request).settings.max_evidence_bytes)


def token_of(request: Request) -> Digest | None:
    """SHA-256 of the bearer token that the request carries; None where it carries none."""
    return token_in(request.headers.get("authorization", ""))


def token_in(header: str) -> Digest | None:
    if header[:7].lower() != "bearer ":
        return None
    match = _BEARER.fullmatch(header)
    if match is None:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "session_invalid", f"expected Bearer {TOKEN_PREFIX}...")
    return sha256(match.group(1).encode())


def session_of(services: Services, token_digest: Digest) -> Session:
    """Read anew each time, so that signing out holds at once, whichever oracle it was said to."""
    with services.store.read() as transaction:
        session = find_session(transaction, token_digest, services.now())
    if session is None:
        raise ApiError(
            HTTPStatus.UNAUTHORIZED, "session_invalid", "this token is not, or no longer, signed in"
        )
    return session


async def _signed_in(request: Request, token_digest: Digest, body_digest: Digest) -> Caller:
    services = services_of(request)
    session = await run_in_threadpool(session_of, services, token_digest)
    _note(request, services, session.account)
    return Caller(session.account, body_digest, b"", token_digest, session)


async def _signed(request: Request) -> Caller:
    services = services_of(request)
    address, nonce, expires_at = _refused_as_unauthorized(
        lambda: verify_request(
            services.domain, request.headers, request.method, _target(request), None, services.now()
        )
    )
    _note(request, services, address)
    if not await run_in_threadpool(_spend, services, address, nonce, expires_at):
        raise ApiError(
            HTTPStatus.UNAUTHORIZED, "replayed_request", "the nonce of this request was used before"
        )
    return Caller(address, claimed_body_digest(request.headers))


async def _signed_body(request: Request, max_bytes: int) -> Caller:
    caller = await _signed(request)
    body = await _read_body(request, max_bytes)
    if hashlib.sha256(body).digest() != caller.body_digest:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "digest_mismatch", "the body is not the one that was signed")
    return Caller(caller.address, caller.body_digest, body)


async def _read_body(request: Request, max_bytes: int) -> bytes:
    received = bytearray()

    async def take(chunk: bytes) -> None:
        received.extend(chunk)

    await read_stream(request, max_bytes, take)
    return bytes(received)


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


def _note(request: Request, services: Services, account: Address) -> None:
    """For the access log; and 429 where the account asks too often."""
    request.state.account = account
    take_place(services.doors.by_account, account)


def _refused_as_unauthorized(check: Callable[[], T]) -> T:
    try:
        return check()
    except RejectedError as error:
        raise ApiError(HTTPStatus.UNAUTHORIZED, error.code, error.message) from error


def _target(request: Request) -> str:
    """Path and query as they were sent, before any decoding."""
    path = bytes(request.scope.get("raw_path") or request.url.path.encode())
    query = bytes(request.scope["query_string"])
    return (path.split(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _spend(services: Services, address: Address, nonce: bytes, expires_at: int) -> bool:
    with services.store.write() as transaction:
        return spend_nonce(transaction, address, nonce, expires_at)
