"""What happens to every request around its router: address, limits, answers kept, metrics, access log.

Headers and queries are never logged: signatures, tokens and cursors travel there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oracle import metrics
from oracle.api import hot
from oracle.api.batches import Batches
from oracle.api.cached import Answers
from oracle.api.errors import ApiError, error_response
from oracle.api.limits import bucket_of, client_address, take_place
from oracle.api.services import Services
from oracle.store import history
from protocol.units import shorten

log = structlog.get_logger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
KEPT_PATHS = frozenset({"/v1/offers", "/v1/leases", "/v1/reputations", "/v1/deployment"})
KEPT_SECONDS = 1.0
KEPT_ANSWERS = 1024
KEPT_BYTES = 1 << 18
MAX_QUERY_BYTES = 512
VERSION_SECONDS = 0.05
LEASE_ROUTE = "/v1/leases/{lease_id}"
LEASE_PATH_CHARACTERS = len("/v1/leases/0x") + 64


class Version:
    """Of what answers that are kept are made from. For the event loop alone.

    The ledger's cursor, read again where it is older than `VERSION_SECONDS`, and the book as posted to here:
    what is posted to another oracle shows as late as answers are kept.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._read_at = float("-inf")
        self._value: Hashable = None
        self._reading: asyncio.Task[Hashable] | None = None

    async def get(self) -> Hashable:
        # Before the cursor: what is posted meanwhile is of a later version.
        book = self._services.book.version
        return await self._cursor(), book

    async def _cursor(self) -> Hashable:
        if time.monotonic() - self._read_at < VERSION_SECONDS:
            return self._value
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(run_in_threadpool(self._read))
        return await asyncio.shield(self._reading)

    def _read(self) -> Hashable:
        began = time.monotonic()
        with self._services.store.read() as transaction:
            cursor = history.get_cursor(transaction)
        self._value = None if cursor is None else cursor.hash
        self._read_at = began
        return self._value


class Exchange:
    """One request on its way: what of its answer has been sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.sent_bytes = 0
        self.keeps = False
        self.parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.keeps = self.keeps and self.status == 200
        elif message["type"] == "http.response.body":
            body: bytes = message.get("body", b"")
            self.sent_bytes += len(body)
            if self.keeps:
                self.parts.append(body)
        await self._send(message)


class Edge:
    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._proxies = services.settings.trusted_proxies
        self._version = Version(services)
        self._batches = Batches(services.store)
        self._answers = Answers(KEPT_SECONDS, KEPT_ANSWERS, KEPT_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        state = self._identify(scope)
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send, state)
            return
        began = time.monotonic()
        exchange = Exchange(send)
        try:
            await self._answer(scope, receive, exchange, state)
        finally:
            self._note(scope, state, exchange, time.monotonic() - began)

    def _identify(self, scope: Scope) -> dict[str, Any]:
        state: dict[str, Any] = scope.setdefault("state", {})
        peer = scope["client"][0] if scope.get("client") else ""
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
        ]
        state["client"] = client_address(peer, forwarded, self._proxies)
        # Somebody in between whom we do not know: the address is not the asker's.
        state["through_stranger"] = state["client"] == client_address(peer, (), ()) and any(
            name in (b"x-forwarded-for", b"forwarded", b"via") for name, _ in scope["headers"]
        )
        return state

    async def _connect(self, scope: Scope, receive: Receive, send: Send, state: dict[str, Any]) -> None:
        try:
            self._take_place(state)
        except ApiError as error:
            log.info("link_limited", client=state["client"])
            # Denied before it is accepted.
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _answer(
        self, scope: Scope, receive: Receive, exchange: Exchange, state: dict[str, Any]
    ) -> None:
        try:
            self._take_place(state)
        except ApiError as error:
            await error_response(error)(scope, receive, exchange.send)
            return
        if not _is_kept(scope):
            await self._read_or_route(scope, receive, exchange, state)
            return
        version, now = await self._version.get(), time.monotonic()
        key = (scope["path"], scope["query_string"])
        found = self._answers.get(key, version, now)
        if found is not None:
            state["route"] = scope["path"] if scope["path"] in KEPT_PATHS else LEASE_ROUTE
            await _send_json(exchange, found)
            return
        exchange.keeps = True
        await self._app(scope, receive, exchange.send)
        if exchange.keeps:
            self._answers.put(key, version, now, b"".join(exchange.parts))

    async def _read_or_route(
        self, scope: Scope, receive: Receive, exchange: Exchange, state: dict[str, Any]
    ) -> None:
        try:
            found = await hot.read_job(self._services, self._batches, scope, state)
        except ApiError as error:
            await error_response(error)(scope, receive, exchange.send)
            return
        if found is None:
            await self._app(scope, receive, exchange.send)
        else:
            await _send_json(exchange, found)

    def _take_place(self, state: dict[str, Any]) -> None:
        take_place(self._services.doors.by_address, bucket_of(state["client"]))

    def _note(self, scope: Scope, state: dict[str, Any], exchange: Exchange, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = state.get("route") or getattr(scope.get("route"), "path", "none")
        metrics.REQUESTS.labels(method, route, exchange.status).inc()
        metrics.REQUEST_SECONDS.labels(route).observe(seconds)
        if not log.is_enabled_for(logging.INFO):
            return
        log.info(
            "request",
            method=method,
            path=shorten(scope["path"], 200)[1:-1],
            status=exchange.status,
            milliseconds=round(seconds * 1000, 2),
            sent_bytes=exchange.sent_bytes,
            client=state["client"],
            account=state.get("account", ""),
        )


def _is_kept(scope: Scope) -> bool:
    """What is said to anybody: the same answer for all until the index has moved, or somebody has posted."""
    path: str = scope["path"]
    if scope["method"] != "GET" or len(scope["query_string"]) > MAX_QUERY_BYTES:
        return False
    return path in KEPT_PATHS or (path.startswith("/v1/leases/0x") and len(path) == LEASE_PATH_CHARACTERS)


async def _send_json(exchange: Exchange, content: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": content})
