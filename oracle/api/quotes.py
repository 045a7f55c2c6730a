"""Requests for quotes: a renter asks, workers bid over their links, and the renter alone sees the bids."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from oracle.api.auth import Caller, signed
from oracle.api.errors import ApiError, bad_input, json_response
from oracle.api.offers import is_connected
from oracle.api.parameters import WaitSeconds
from oracle.api.services import Services, services_of
from oracle.api.views import found_body
from oracle.quotes import Bids
from protocol.market_bodies import QuoteRequestBody, QuotesBody
from protocol.units import Address, Digest, JobId, hex_bytes, to_hex

router = APIRouter(prefix="/v1/quotes")

Signed = Annotated[Caller, Depends(signed)]


@router.post("")
def request_quotes(request: Request, caller: Signed) -> Response:
    """Signed, by whoever wants to rent. Nothing is promised on either side until a lease is opened."""
    services = services_of(request)
    try:
        body = QuoteRequestBody.model_validate_json(caller.body)
    except ValidationError as error:
        raise bad_input(error) from error
    request_id = services.quotes.ask(caller.address, body.requirements.read(), body.deadline)
    return json_response(_read(services, request_id, caller.address), HTTPStatus.CREATED)


@router.get("/{request_id}")
async def read_quotes(
    request: Request, request_id: str, caller: Signed, wait_seconds: WaitSeconds = 0
) -> Response:
    """Signed, by the renter that asked. Waits until all have answered or the deadline is over."""
    services = services_of(request)
    wanted = Digest(hex_bytes(request_id, 32, "request id"))
    clock = asyncio.get_running_loop().time
    until = clock() + wait_seconds
    with services.wakeups.subscribe(JobId(wanted)) as changed:
        while True:
            changed.clear()
            body = await run_in_threadpool(_read, services, wanted, caller.address)
            left_seconds = min(until - clock(), body.deadline + 1 - services.now())
            if body.closed or until <= clock() or services.stopping.is_set():
                return json_response(body)
            try:
                async with asyncio.timeout(max(left_seconds, 0.01)):
                    await changed.wait()
            except TimeoutError:
                continue


def _read(services: Services, request_id: Digest, renter: Address) -> QuotesBody:
    bids = services.quotes.bids(request_id, renter, is_connected(services))
    if bids is None:
        raise ApiError(404, "unknown_request", "you have made no such request, or it is an hour old")
    return _body(bids)


def _body(bids: Bids) -> QuotesBody:
    return QuotesBody(
        request_id=to_hex(bids.request.request_id),
        deadline=bids.request.deadline,
        asked=bids.asked,
        answered=bids.answered,
        closed=bids.closed,
        quotes=tuple(found_body(found, ()) for found in bids.found),
    )
