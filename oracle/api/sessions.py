"""Signing in with Ethereum (EIP-4361): a nonce to sign, a token for the signature, and signing out."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from oracle.api.auth import TOKEN_PREFIX, Caller, read_stream, signed
from oracle.api.errors import ApiError, json_response
from oracle.api.limits import too_many
from oracle.api.services import Services, services_of
from oracle.signin import Expected, expires_at, read_message
from oracle.store import sessions
from oracle.store.sessions import Session
from protocol.bodies import NonceBody, SessionBody, SignInBody, TokenBody
from protocol.digests import sha256
from protocol.errors import RejectedError

router = APIRouter(prefix="/v1")

NONCE_BYTES = 12  # 24 hex digits: letters and figures alone, as EIP-4361 wants them
NO_STORE = {"Cache-Control": "no-store"}


@router.post("/nonces")
def create_nonce(request: Request) -> Response:
    """A nonce for one message, and what else that message must say. Open: nobody is known yet."""
    services = services_of(request)
    now = services.now()
    nonce, until = secrets.token_hex(NONCE_BYTES), now + services.settings.sign_in_seconds
    with services.store.write() as transaction:
        if sessions.count_nonces(transaction) >= services.settings.max_sign_in_nonces:
            raise too_many("too_many_requests", "too many people sign in", services.settings.sign_in_seconds)
        sessions.add_nonce(transaction, nonce, until)
    body = NonceBody(
        nonce=nonce,
        expires_at=until,
        domain=urlsplit(services.doors.origin).netloc,
        uri=services.doors.origin,
        chain_id=services.domain.chain_id,
    )
    return json_response(body, HTTPStatus.CREATED, NO_STORE)


@router.post("/sessions")
async def sign_in(request: Request) -> Response:
    """A token for a signed message. Open: the message is what proves who asks."""
    received = bytearray()

    async def take(chunk: bytes) -> None:
        received.extend(chunk)

    await read_stream(request, services_of(request).settings.max_body_bytes, take)
    body = SignInBody.model_validate_json(bytes(received))
    token = await run_in_threadpool(_sign_in, services_of(request), body)
    request.state.account = token.account
    return json_response(token, HTTPStatus.CREATED, NO_STORE)


@router.get("/sessions/current")
def read_session(request: Request, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Who the token is of, and until when."""
    session = _session(caller)
    return json_response(SessionBody(account=session.account, expires_at=session.expires_at))


@router.delete("/sessions/current")
def sign_out(request: Request, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Afterwards the token is good for nothing, at no oracle of this database."""
    _session(caller)
    assert caller.token_digest is not None  # noqa: S101 - a session has one
    with services_of(request).store.write() as transaction:
        sessions.delete_session(transaction, caller.token_digest)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.delete("/sessions")
def sign_out_everywhere(request: Request, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Afterwards no token of the account is good, lost ones included. Also by a signed request."""
    with services_of(request).store.write() as transaction:
        sessions.delete_sessions_of(transaction, caller.address)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _session(caller: Caller) -> Session:
    if caller.session is None:
        raise ApiError(HTTPStatus.CONFLICT, "no_session", "this request is signed, and of no session")
    return caller.session


def _sign_in(services: Services, body: SignInBody) -> TokenBody:
    now = services.now()
    try:
        message = read_message(body.message, _expected(services), now)
        account = services.doors.check_sign_in(message, bytes.fromhex(body.signature[2:]))
    except RejectedError as error:
        raise ApiError(HTTPStatus.UNAUTHORIZED, error.code, error.message) from error
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    session = Session(account, expires_at(message, now + services.settings.session_seconds))
    # One transaction: a nonce that is spent has its session, whenever the process dies.
    with services.store.write() as transaction:
        if not sessions.take_nonce(transaction, message.nonce, now):
            raise ApiError(HTTPStatus.UNAUTHORIZED, "nonce_invalid", "this nonce was not given, or is spent")
        sessions.add_session(transaction, sha256(token.encode()), session, now)
    return TokenBody(account=account, expires_at=session.expires_at, token=token)


def _expected(services: Services) -> Expected:
    return Expected(services.doors.origin, services.domain.chain_id, services.settings.sign_in_seconds)
