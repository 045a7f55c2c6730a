"""Answers requirements with offers, best first, and says of any other one which requirement it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from oracle.store.engine import Transaction
from oracle.store.offers import Found, Place, read_found, search
from protocol.matching import Refusal, Requirements, refusals
from protocol.units import UnitId

Connected = Callable[[UnitId], bool]


def find(
    transaction: Transaction,
    wanted: Requirements,
    now: int,
    connected: Connected,
    after: Place | None,
    limit: int,
) -> list[Found]:
    """At most so many offers that do at this instant, best first, from `after` on."""
    found: list[Found] = []
    for unit_id, row in search(transaction, wanted, now, after, limit + 1):
        is_connected = connected(unit_id)
        if wanted.connected and not is_connected:
            continue
        offer = with_worker(read_found(row, now), is_connected)
        if not explain(offer, wanted, now):
            found.append(offer)
            if len(found) == limit:
                break
    return found


def match(offers: Iterable[Found], wanted: Requirements, now: int) -> Iterator[Found]:
    """Those of the offers that do, best first."""
    return iter(sorted((o for o in offers if not explain(o, wanted, now)), key=_rank))


def explain(offer: Found, wanted: Requirements, now: int) -> tuple[Refusal, ...]:
    """Every requirement that the offer fails; none where it does."""
    return tuple(refusals(offer.offer, offer.facts, wanted, now))


def with_worker(offer: Found, connected: bool) -> Found:
    return replace(offer, facts=replace(offer.facts, worker_connected=connected))


def _rank(offer: Found) -> tuple[int, int, int, bytes]:
    place = offer.place
    return place.price_per_hour, -place.weight, place.known_since, place.offer_hash
