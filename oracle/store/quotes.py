"""Requests for quotes, and what each worker that was asked has answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from oracle.store.engine import Transaction
from oracle.store.market_tables import quote_asks, quote_requests
from oracle.store.tables import units
from protocol.market_bodies import RequirementsBody
from protocol.matching import Requirements
from protocol.signed import SignedOffer
from protocol.structs import Offer, from_json, to_json
from protocol.units import Address, Digest, UnitId


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What a renter asks for. Times in Unix seconds."""

    request_id: Digest
    renter: Address
    requirements: Requirements
    created_at: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one unit: what its worker bids, or nothing; `answered_at` None: not yet."""

    unit_id: UnitId
    answered_at: int | None
    signed: SignedOffer | None


def insert_request(transaction: Transaction, request: QuoteRequest, asked: Sequence[UnitId]) -> None:
    requirements = RequirementsBody.of(request.requirements).model_dump_json(exclude_defaults=True)
    transaction.execute(
        quote_requests.insert().values(
            request_id=request.request_id,
            renter=request.renter,
            requirements=requirements,
            created_at=request.created_at,
            deadline=request.deadline,
        )
    )
    rows = [{"request_id": request.request_id, "unit_id": unit_id} for unit_id in asked]
    if rows:
        transaction.execute(quote_asks.insert(), rows)


def get_request(transaction: Transaction, request_id: Digest) -> QuoteRequest | None:
    query = select(quote_requests).where(quote_requests.c.request_id == request_id)
    row = transaction.execute(query).first()
    return None if row is None else _read_request(row)


def list_answers(transaction: Transaction, request_id: Digest) -> list[Answer]:
    """One for each unit that was asked."""
    query = select(quote_asks).where(quote_asks.c.request_id == request_id).order_by(quote_asks.c.unit_id)
    return [
        Answer(
            UnitId(row.unit_id),
            row.answered_at,
            None if row.body is None else SignedOffer(from_json(Offer, json.loads(row.body)), row.signature),
        )
        for row in transaction.execute(query)
    ]


def open_requests(transaction: Transaction, unit_id: UnitId, now: int) -> list[QuoteRequest]:
    """Those that the unit's worker has not answered, before their deadlines."""
    query = (
        select(quote_requests)
        .join(quote_asks, quote_asks.c.request_id == quote_requests.c.request_id)
        .where(
            quote_asks.c.unit_id == unit_id,
            quote_asks.c.answered_at.is_(None),
            quote_requests.c.deadline >= now,
        )
        .order_by(quote_requests.c.created_at, quote_requests.c.request_id)
    )
    return [_read_request(row) for row in transaction.execute(query)]


def answer(
    transaction: Transaction, request_id: Digest, unit_id: UnitId, signed: SignedOffer | None, now: int
) -> bool:
    """False, and nothing is kept: the unit was not asked, has answered, or it is too late."""
    in_time = select(quote_requests.c.request_id).where(
        quote_requests.c.request_id == request_id, quote_requests.c.deadline >= now
    )
    statement = (
        update(quote_asks)
        .where(
            quote_asks.c.request_id.in_(in_time),
            quote_asks.c.unit_id == unit_id,
            quote_asks.c.answered_at.is_(None),
        )
        .values(
            answered_at=now,
            body=None if signed is None else json.dumps(to_json(signed.offer)),
            signature=None if signed is None else signed.signature,
        )
    )
    return transaction.execute(statement).rowcount == 1


def count_open(transaction: Transaction, now: int, renter: Address | None = None) -> int:
    """Requests whose deadline is not over: of a renter, or of all."""
    query = select(func.count()).select_from(quote_requests).where(quote_requests.c.deadline >= now)
    if renter is not None:
        query = query.where(quote_requests.c.renter == renter)
    return transaction.execute(query).scalar_one()


def rentable_units(
    transaction: Transaction, unit_ids: Sequence[UnitId], gpu_class: str | None, gpu_count: int | None
) -> list[UnitId]:
    """Those of these units that can be leased and are of this class and count."""
    found: list[UnitId] = []
    for start in range(0, len(unit_ids), 500):
        query = select(units.c.unit_id).where(
            units.c.rentable, units.c.unit_id.in_(unit_ids[start : start + 500])
        )
        if gpu_class is not None:
            query = query.where(units.c.gpu_class == gpu_class)
        if gpu_count is not None:
            query = query.where(units.c.gpu_count == gpu_count)
        found += [UnitId(row.unit_id) for row in transaction.execute(query)]
    return found


def delete_old(transaction: Transaction, before: int) -> int:
    """Requests whose deadline was before this instant, with their answers."""
    old = select(quote_requests.c.request_id).where(quote_requests.c.deadline < before)
    transaction.execute(delete(quote_asks).where(quote_asks.c.request_id.in_(old)))
    return transaction.execute(delete(quote_requests).where(quote_requests.c.deadline < before)).rowcount


def _read_request(row: Any) -> QuoteRequest:
    requirements = RequirementsBody.model_validate_json(row.requirements).read()
    return QuoteRequest(
        Digest(row.request_id), Address(row.renter), requirements, row.created_at, row.deadline
    )
