"""Offers, listed and signed, as one searches them, and the reputations of who makes them. Reading is open."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from oracle import matcher
from oracle.api.auth import Caller, signed
from oracle.api.errors import ApiError, bad_input, json_response
from oracle.api.parameters import Limit
from oracle.api.services import Services, services_of
from oracle.api.views import found_body, offer_body
from oracle.clock import later_of
from oracle.store import facts, history
from oracle.store.engine import Transaction
from oracle.store.offers import Place, get_found
from protocol.bodies import OffersBody
from protocol.errors import BadInput
from protocol.market_bodies import (
    OffersQuery,
    PostedOfferBody,
    ReputationBody,
    ReputationsBody,
    RequirementsBody,
    SignedOfferBody,
)
from protocol.reputation import score_units
from protocol.units import OfferHash, UnitId, hex_bytes, parse_address, to_hex

router = APIRouter(prefix="/v1")

_PLACE = re.compile(r"([0-9]{1,30})-([0-9]{1,60})-([0-9]{1,18})-([0-9a-f]{64})", re.ASCII)
_PAIR = re.compile(r"(0x[0-9a-fA-F]{40})-(0x[0-9a-fA-F]{40})", re.ASCII)


@router.get("/offers")
def list_offers(request: Request, query: Annotated[OffersQuery, Query()]) -> Response:
    """Open. Those that meet every requirement, cheapest first; of equals the best name, then the oldest."""
    services = services_of(request)
    wanted, after = query.read(), _read_place(query.cursor)
    with services.store.read() as transaction:
        now = _now(services, transaction)
        connected = is_connected(services)
        found = matcher.find(transaction, wanted, now, connected, after, query.limit + 1)
    following = None
    if len(found) > query.limit:
        price, weight, since, name = found[query.limit - 1].place
        following = f"{price}-{weight}-{since}-{name.hex()}"
    page = tuple(offer_body(offer) for offer in found[: query.limit])
    return json_response(OffersBody(offers=page, next_cursor=following))


@router.get("/offers/{offer_hash}")
def read_offer(request: Request, offer_hash: str, query: Annotated[RequirementsBody, Query()]) -> Response:
    """Open. All that a lease is opened with, and which of the requirements the offer fails."""
    services = services_of(request)
    wanted = OfferHash(hex_bytes(offer_hash, 32, "offer hash"))
    with services.store.read() as transaction:
        now = _now(services, transaction)
        found = get_found(transaction, wanted, now)
    if found is None:
        raise ApiError(404, "unknown_offer", "neither the blocks that are indexed nor the book have it")
    found = matcher.with_worker(found, is_connected(services)(found.offer.unit_id))
    return json_response(found_body(found, matcher.explain(found, query.read(), now)))


@router.post("/offers")
def post_offer(request: Request, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Signed, by the offer's provider or the worker of its unit: the offer goes into the book."""
    try:
        offer = SignedOfferBody.model_validate_json(caller.body).signed_offer()
    except ValidationError as error:
        raise bad_input(error) from error
    created = services_of(request).book.post(offer, caller.address)
    body = PostedOfferBody(offer_hash=to_hex(offer.offer_hash), created=created)
    return json_response(body, HTTPStatus.CREATED if created else HTTPStatus.OK)


@router.get("/reputations")
def list_reputations(
    request: Request,
    limit: Limit = 500,
    cursor: Annotated[str | None, Query(max_length=128)] = None,
) -> Response:
    """Open: any auditor computes the same out of the chain. As of the last block that is indexed."""
    match = None if cursor is None else _PAIR.fullmatch(cursor)
    if cursor is not None and match is None:
        raise BadInput("cursor: expected the `next_cursor` of a page")
    after = None if match is None else (parse_address(match[1]), parse_address(match[2]))
    with services_of(request).store.read() as transaction:
        block = history.get_cursor(transaction)
        found = facts.list_reputations(transaction, after, limit + 1)
    number, timestamp = (block.number, block.timestamp) if block else (0, 0)
    page = tuple(
        ReputationBody(
            provider=provider, token=token, weight=weight, score_units=score_units(weight, timestamp)
        )
        for provider, token, weight in found[:limit]
    )
    following = f"{page[-1].provider}-{page[-1].token}" if len(found) > limit else None
    return json_response(
        ReputationsBody(
            block_number=number, block_timestamp=timestamp, reputations=page, next_cursor=following
        )
    )


def is_connected(services: Services) -> matcher.Connected:
    return lambda unit_id: services.links.silent_seconds(UnitId(unit_id)) == 0


def _now(services: Services, transaction: Transaction) -> int:
    block = history.get_cursor(transaction)
    return later_of(services.now(), block.timestamp if block else None)


def _read_place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    match = _PLACE.fullmatch(cursor)
    if match is None or int(match[3]) >= 1 << 48:
        raise BadInput("cursor: expected the `next_cursor` of a page")
    return Place(int(match[1]), int(match[2]), int(match[3]), bytes.fromhex(match[4]))
