"""The worker's WebSocket: who it is, what it should do, what it has to say. One connection a unit."""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import structlog
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from oracle.api.services import Services, services_of
from oracle.assignments import desired_of
from oracle.handshake import check_hello
from oracle.intake import Reporter
from oracle.links import Link
from protocol import link
from protocol.errors import BadInput, Expired, LimitExceeded, RejectedError, RetryableError
from protocol.units import to_hex

router = APIRouter()
log = structlog.get_logger(__name__)

CLOSE_REFUSED = 4000
CLOSE_REPLACED = 4001
CLOSE_GOING_AWAY = 1001
CLOSE_TRY_AGAIN = 1013


@router.websocket(link.LINK_TARGET)
async def worker_link(websocket: WebSocket) -> None:
    """Open until `hello`: whoever connects has `hello_timeout_seconds` to prove to be a unit's worker."""
    services = services_of(websocket)
    await websocket.accept()
    try:
        await _serve(websocket, services)
    except WebSocketDisconnect:
        return
    except RejectedError as error:
        log.warning("link_refused", code=error.code, reason=error.message, client=_client(websocket))
        await _refuse(websocket, error)
    except RetryableError as error:
        log.warning("link_interrupted", code=error.code, reason=error.message, client=_client(websocket))
        await _close(websocket, CLOSE_TRY_AGAIN, error.code)


async def _serve(websocket: WebSocket, services: Services) -> None:
    if services.unidentified.locked():
        raise LimitExceeded("too many connections that have not said hello", code="too_many_links")
    async with services.unidentified:
        reporter, hello = await _identify(websocket, services)
    connection = Link(reporter.unit_id, reporter.worker, hello.quotes)
    log.info(
        "worker_connected", unit_id=reporter.unit_id, worker=reporter.worker, device=hello.inventory.device
    )
    try:
        await run_in_threadpool(services.whereabouts.connect, connection)
        for attempt in hello.attempts:
            await run_in_threadpool(services.intake.status, reporter, attempt)
        services.wake_dispatcher()
        await _run_both(websocket, services, reporter, connection)
    finally:
        await run_in_threadpool(services.whereabouts.disconnect, connection)
        services.wake_dispatcher()
        log.info("worker_disconnected", unit_id=reporter.unit_id, replaced=connection.replaced)


async def _identify(websocket: WebSocket, services: Services) -> tuple[Reporter, link.Hello]:
    nonce = secrets.token_bytes(32)
    challenge = link.Challenge(
        nonce=to_hex(nonce), chain_id=services.domain.chain_id, market=services.domain.market
    )
    await websocket.send_text(link.encode(challenge))
    seconds = services.settings.hello_timeout_seconds
    try:
        async with asyncio.timeout(seconds):
            hello = await _receive(websocket)
    except TimeoutError as error:
        raise Expired(f"hello: expected within {seconds:.0f} s", code="hello_timeout") from error
    if not isinstance(hello, link.Hello):
        raise BadInput(f"expected hello, got {type(hello).__name__.lower()}")
    now = services.now()
    reporter = await run_in_threadpool(check_hello, services.store, services.domain, nonce, hello, now)
    await websocket.send_text(link.encode(link.Welcome(server_time=now)))
    return reporter, hello


async def _run_both(websocket: WebSocket, services: Services, reporter: Reporter, connection: Link) -> None:
    """Until either side ends: the other is stopped, and what ended it is raised."""
    sending = asyncio.create_task(_send_desired(websocket, services, reporter, connection))
    receiving = asyncio.create_task(_take_reports(websocket, services, reporter))
    try:
        done, _ = await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


async def _send_desired(
    websocket: WebSocket, services: Services, reporter: Reporter, connection: Link
) -> None:
    """The full list at once, at each change, and every `desired_seconds` whether it changed or not."""
    sent: link.Desired | None = None
    sent_at = 0.0
    clock = asyncio.get_running_loop().time
    interval = services.settings.desired_seconds
    asked: set[str] = set()
    while not services.stopping.is_set():
        connection.changed.clear()
        if connection.replaced:
            await websocket.close(CLOSE_REPLACED, "connected anew")
            return
        desired = await run_in_threadpool(desired_of, services.store, reporter, services.now)
        if desired != sent or clock() - sent_at >= interval:
            await websocket.send_text(link.encode(desired))
            sent, sent_at = desired, clock()
        if connection.quotes:
            asked = await _send_questions(websocket, services, reporter, asked)
        try:
            async with asyncio.timeout(max(sent_at + interval - clock(), 0.001)):
                await connection.changed.wait()
        except TimeoutError:
            continue
    await websocket.close(CLOSE_GOING_AWAY, "the oracle is stopping")


async def _send_questions(
    websocket: WebSocket, services: Services, reporter: Reporter, asked: set[str]
) -> set[str]:
    """Requests for quotes that this connection has not carried yet; those that are open now, all carried."""
    questions = await run_in_threadpool(services.quotes.asked_of, reporter)
    for question in questions:
        if question.request_id not in asked:
            await websocket.send_text(link.encode(question))
    return {question.request_id for question in questions}


async def _take_reports(websocket: WebSocket, services: Services, reporter: Reporter) -> None:
    """Each report is durable before its answer leaves; the next is read only then."""
    while True:
        message = await _receive(websocket)
        answer = await run_in_threadpool(_take_report, services, reporter, message)
        if answer is not None:
            await websocket.send_text(link.encode(answer))


def _take_report(
    services: Services, reporter: Reporter, message: link.WorkerMessage
) -> link.LogAck | link.ReceiptAck | None:
    match message:
        case link.Heartbeat():
            if not services.intake.heartbeat(reporter, message):
                log.debug("heartbeat_ignored", unit_id=reporter.unit_id)
        case link.Status():
            services.intake.status(reporter, message)
        case link.Log():
            return services.intake.log(reporter, message)
        case link.Receipt():
            return services.intake.receipt(reporter, message)
        case link.Quote():
            if not services.quotes.answer(reporter, message):
                log.info("quote_ignored", unit_id=reporter.unit_id, request_id=message.request_id)
        case link.Hello():
            raise BadInput("hello: expected once, as the first message")
    return None


async def _receive(websocket: WebSocket) -> link.WorkerMessage:
    frame = await websocket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1005))
    text = frame.get("text")
    if text is None:
        raise BadInput("frame: expected text, got bytes")
    return link.decode_from_worker(text)


async def _refuse(websocket: WebSocket, error: RejectedError) -> None:
    if websocket.application_state is not WebSocketState.CONNECTED:
        return
    refused = link.Refused(code=error.code, message=error.message[:4000])
    with contextlib.suppress(WebSocketDisconnect):
        await websocket.send_text(link.encode(refused))
        await websocket.close(CLOSE_REFUSED, error.code)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.close(code, reason)


def _client(websocket: WebSocket) -> str:
    return websocket.client.host if websocket.client else "unknown"
