"""Offers as one searches them, listed and signed: by index, in the order of `protocol.matching.rank_key`.

SQL keeps out all that surely does not do; what is left the matcher looks at, with the hours to the second.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    Table,
    and_,
    cast,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
)

from oracle.store.columns import HOUR_PARTS, UNITS_DIGITS
from oracle.store.engine import Transaction
from oracle.store.facts import is_cancelled, list_tokens, standing_of
from oracle.store.market_tables import (
    WEIGHT_DIGITS,
    WeightText,
    cancelled_salts,
    findings,
    reputations,
    signed_offers,
)
from oracle.store.tables import offers, providers, units
from protocol.ledger.offers import offer_epoch
from protocol.matching import Facts, Requirements, Schedule, touched_hours
from protocol.reputation import score_units, weight_at
from protocol.structs import Offer, from_json
from protocol.units import Address, OfferHash, UnitId, unpack_name

PART_BITS = 56
MAX_VALUE = (1 << 63) - 1
MAX_UNITS = 10**UNITS_DIGITS - 1
MAX_WEIGHT = 10**WEIGHT_DIGITS - 1
MAX_PAGE_ROWS = 4000

Row = Any


class Place(NamedTuple):
    """Where an offer stands among all: that of the last one seen is where the next page begins."""

    price_per_hour: int
    weight: int
    known_since: int
    offer_hash: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """An offer and what is known of it. `signature` is None where it is not in the book."""

    offer_hash: OfferHash
    offer: Offer
    facts: Facts
    listed: bool
    signature: bytes | None
    place: Place


def search(
    transaction: Transaction, wanted: Requirements, now: int, after: Place | None, page_rows: int
) -> Iterator[tuple[UnitId, Row]]:
    """Rows of offers that may do, best first, each with its unit: `read_found` makes more of it."""
    allowed = set(list_tokens(transaction))
    if wanted.token is not None:
        allowed &= {wanted.token}
    if not allowed:
        return
    _keep_order(transaction)
    streams = [
        _stream(transaction, _query(table, wanted, now, sorted(allowed)), table, after, page_rows)
        for table in (offers, signed_offers)
    ]
    for row in heapq.merge(*streams, key=_order):
        yield UnitId(row.unit_id), row


def get_found(transaction: Transaction, offer_hash: OfferHash, now: int) -> Found | None:
    """The offer of this hash, whatever has become of it; None where neither chain nor book has it."""
    rows = {
        table.name: transaction.execute(_select(table).where(table.c.offer_hash == offer_hash)).first()
        for table in (offers, signed_offers)
    }
    listed, signed = rows["offers"], rows["signed_offers"]
    row = listed if listed is not None and listed.listed else signed or listed
    if row is None:
        return None
    return read_found(row, now, None if signed is None else signed.signature)


def read_found(row: Row, now: int, signature: bytes | None = None) -> Found:
    """As of that instant."""
    facts = Facts(
        booked_hours=_whole_mask(row),
        vram_mib=row.vram_mib or 0,
        gops=row.gops or 0,
        attested_at=row.attested_at or 0,
        attested_until=row.expires_at or 0,
        free_stake_units=row.free_units or 0,
        reputation_units=score_units(row.weight, now),
        known_since=row.known_since,
        available=bool(row.rentable) and row.epoch == row.provider_epoch and (row.listed or row.uncancelled),
    )
    offer = from_json(Offer, json.loads(row.body)["offer"])
    signature = row.signature if signature is None else signature
    return Found(OfferHash(row.offer_hash), offer, facts, bool(row.listed), signature, _place(row))


def facts_of(transaction: Transaction, offer: Offer, now: int) -> tuple[Facts, int]:
    """Of an offer that is in no table: what is known of it beside its terms, and its reputation's weight."""
    known = units.outerjoin(findings, findings.c.unit_id == units.c.unit_id)
    unit = transaction.execute(
        select(units, findings.c.gops, findings.c.attested_at, findings.c.expires_at)
        .select_from(known)
        .where(units.c.unit_id == offer.unit_id)
    ).first()
    named = select(reputations.c.weight).where(
        reputations.c.provider == offer.provider, reputations.c.token == offer.token
    )
    weight = transaction.execute(named).scalar() or 0
    epoch, free_units = standing_of(transaction, offer.provider)
    if unit is None:
        return Facts(available=False), weight
    void = is_cancelled(transaction, offer.provider, offer.salt) or epoch != offer_epoch(offer.salt)
    facts = Facts(
        booked_hours=_whole_mask(unit),
        vram_mib=unit.vram_mib,
        gops=unit.gops or 0,
        attested_at=unit.attested_at or 0,
        attested_until=unit.expires_at or 0,
        free_stake_units=free_units,
        reputation_units=score_units(weight, now),
        available=bool(unit.rentable) and not void,
    )
    return facts, weight


def term_row(offer: Offer, known_since: int) -> dict[str, Any]:
    """The columns that offers are searched by."""
    return {
        "provider": offer.provider,
        "unit_id": offer.unit_id,
        "gpu_class": unpack_name(offer.gpu_class),
        "gpu_count": offer.gpu_count,
        "token": offer.token,
        "price_per_hour": offer.price_per_hour,
        "kind": int(offer.kind),
        "min_seconds": offer.min_seconds,
        "max_seconds": offer.max_seconds,
        "bond": offer.bond,
        "valid_until": offer.valid_until,
        "epoch": offer_epoch(offer.salt),
        "known_since": known_since,
        **mask_row("hours", offer.weekly_hours),
    }


def mask_row(name: str, mask: int) -> dict[str, int]:
    """A mask of the hours of the week in parts, for the columns of `tables.hour_columns`."""
    return {f"{name}_{part}": _part(mask, part) for part in range(HOUR_PARTS)}


def _part(mask: int, part: int) -> int:
    return mask >> PART_BITS * part & (1 << PART_BITS) - 1


def _whole_mask(row: Row) -> int:
    return sum((getattr(row, f"booked_{part}") or 0) << PART_BITS * part for part in range(HOUR_PARTS))


def _select(table: Table) -> Select[Any]:
    """The offers of a table with all that is known of them, known or not."""
    listed = table is offers
    return select(
        *(
            table.c[name]
            for name in ("offer_hash", "unit_id", "price_per_hour", "known_since", "epoch", "body")
        ),
        *(units.c[f"booked_{part}"] for part in range(HOUR_PARTS)),
        units.c.rentable,
        units.c.vram_mib,
        providers.c.free_units,
        func.coalesce(providers.c.epoch, 0).label("provider_epoch"),
        findings.c.gops,
        findings.c.attested_at,
        findings.c.expires_at,
        _weight().label("weight"),
        (table.c.listed if listed else false()).label("listed"),
        (false() if listed else ~cancelled()).label("uncancelled"),
        (cast(null(), LargeBinary) if listed else table.c.signature).label("signature"),
    ).select_from(
        table.outerjoin(units, units.c.unit_id == table.c.unit_id)
        .outerjoin(providers, providers.c.provider == table.c.provider)
        .outerjoin(findings, findings.c.unit_id == table.c.unit_id)
        .outerjoin(
            reputations,
            and_(reputations.c.provider == table.c.provider, reputations.c.token == table.c.token),
        )
    )


def _query(table: Table, wanted: Requirements, now: int, allowed: Sequence[Address]) -> Select[Any]:
    book_only = () if table is offers else (~cancelled(), ~_listed_too())
    return _select(table).where(
        *((offers.c.listed,) if table is offers else book_only),
        *_required(table, wanted),
        table.c.token.in_(allowed),
        table.c.valid_until >= now,
        table.c.epoch == providers.c.epoch,
        providers.c.free_units >= table.c.bond,
        units.c.rentable,
        units.c.gpu_class == table.c.gpu_class,
        units.c.gpu_count == table.c.gpu_count,
        units.c.vram_mib >= wanted.min_vram_mib,
        *_measured(wanted, now),
        *_reputable(wanted, now),
        *(() if wanted.schedule is None else _scheduled(table, wanted.schedule, now)),
    )


def _required(table: Table, wanted: Requirements) -> Iterator[ColumnElement[bool]]:
    if wanted.gpu_class is not None:
        yield table.c.gpu_class == wanted.gpu_class
    if wanted.gpu_count is not None:
        yield table.c.gpu_count == wanted.gpu_count
    if wanted.kind is not None:
        yield table.c.kind == int(wanted.kind)
    if wanted.max_price_per_hour is not None:
        yield table.c.price_per_hour <= min(wanted.max_price_per_hour, MAX_UNITS)
    if wanted.min_bond:
        yield table.c.bond >= min(wanted.min_bond, MAX_UNITS)


def _measured(wanted: Requirements, now: int) -> Iterator[ColumnElement[bool]]:
    if wanted.min_gops or wanted.max_attestation_age_seconds is not None:
        yield findings.c.expires_at > now
        yield findings.c.gops >= wanted.min_gops
    if wanted.max_attestation_age_seconds is not None:
        yield findings.c.attested_at >= now - wanted.max_attestation_age_seconds


def _reputable(wanted: Requirements, now: int) -> Iterator[ColumnElement[bool]]:
    if wanted.min_reputation_units:
        weight = wanted.min_reputation_units * max(weight_at(now), 1)
        yield reputations.c.weight >= min(weight, MAX_WEIGHT)


def _scheduled(table: Table, schedule: Schedule, now: int) -> Iterator[ColumnElement[bool]]:
    """What any lease of the schedule needs; how far it may be topped up depends on the offer."""
    start = now if schedule.start is None else max(now, schedule.start)
    end = start + schedule.seconds if schedule.end is None else schedule.end
    yield table.c.min_seconds <= _bounded(end - start)
    yield table.c.max_seconds >= _bounded(end - start)
    touched = touched_hours(start, end) if end > start else 0
    wanted = touched if schedule.weekly_hours is None else touched & schedule.weekly_hours
    overlaps: list[ColumnElement[bool]] = []
    for part in range(HOUR_PARTS):
        mine, booked = table.c[f"hours_{part}"], units.c[f"booked_{part}"]
        hours = _part(wanted, part)
        overlaps.append(mine.bitwise_and(hours) != 0)
        if hours:
            yield mine.bitwise_and(booked).bitwise_and(hours) == 0
        if schedule.weekly_hours is not None:
            whole = _part(schedule.weekly_hours, part)
            yield mine.bitwise_and(whole) == whole
    yield or_(*overlaps)


def _stream(
    transaction: Transaction, query: Select[Any], table: Table, after: Place | None, page_rows: int
) -> Iterator[Row]:
    """All rows of a query, best first, page after page: most readers want the first alone."""
    weight = _weight()
    keys = (table.c.price_per_hour, weight.desc(), table.c.known_since, table.c.offer_hash)
    while True:
        paged = query if after is None else query.where(_beyond(table, weight, after))
        rows = transaction.execute(paged.order_by(*keys).limit(page_rows)).all()
        yield from rows
        if len(rows) < page_rows:
            return
        after, page_rows = _place(rows[-1]), min(4 * page_rows, MAX_PAGE_ROWS)


def _beyond(table: Table, weight: ColumnElement[int], after: Place) -> ColumnElement[bool]:
    price, since, name = table.c.price_per_hour, table.c.known_since, table.c.offer_hash
    equals = and_(since == after.known_since, name > after.offer_hash)
    equals = and_(weight == after.weight, or_(since > after.known_since, equals))
    equals = and_(price == after.price_per_hour, or_(weight < after.weight, equals))
    return and_(price >= after.price_per_hour, or_(price > after.price_per_hour, equals))


def _keep_order(transaction: Transaction) -> None:
    """PostgreSQL would join whole tables and sort, where the first page in the index's order is wanted."""
    if transaction.dialect.name != "postgresql":
        return
    names = (
        "enable_seqscan",
        "enable_bitmapscan",
        "enable_hashjoin",
        "enable_mergejoin",
        "enable_sort",
        "jit",
    )
    values = {"join_collapse_limit": "1", "max_parallel_workers_per_gather": "0"} | dict.fromkeys(
        names, "off"
    )
    # Until the end of this transaction.
    transaction.execute(select(*(func.set_config(name, value, True) for name, value in values.items())))


def _place(row: Row) -> Place:
    return Place(row.price_per_hour, row.weight, row.known_since, bytes(row.offer_hash))


def _order(row: Row) -> tuple[int, int, int, bytes]:
    return row.price_per_hour, -row.weight, row.known_since, bytes(row.offer_hash)


def _weight() -> ColumnElement[int]:
    return func.coalesce(reputations.c.weight, literal(0, WeightText()), type_=WeightText())


def cancelled() -> ColumnElement[bool]:
    """Of a row of the book."""
    book = signed_offers
    return exists().where(
        cancelled_salts.c.provider == book.c.provider, cancelled_salts.c.salt == book.c.salt
    )


def _listed_too() -> ColumnElement[bool]:
    """Where it is both, the listing comes cheaper to open a lease on."""
    return exists().where(offers.c.offer_hash == signed_offers.c.offer_hash, offers.c.listed)


def _bounded(seconds: int) -> int:
    return max(0, min(seconds, MAX_VALUE))
