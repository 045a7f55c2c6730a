"""A small market for the tests of search and book: one provider with stake, one unit, one allowed token."""

from dataclasses import replace
from typing import Any

from oracle.matcher import find
from oracle.store.engine import Store, Transaction
from oracle.store.entities import write_changes
from oracle.store.offers import Found, Place
from protocol.ledger import Changes, OfferEntry, Parameters, ProviderEntry, UnitEntry
from protocol.matching import Requirements
from protocol.structs import Unit
from protocol.units import Address, UnitId, pack_name
from tests.unit.oracle.oracle_samples import (
    DOMAIN,
    MONDAY,
    PROVIDER,
    TOKEN,
    UNIT_ID,
    WORKER,
    make_offer,
    position,
)

NOW = MONDAY + 10
PARAMETERS = Parameters(DOMAIN, WORKER, 10, 10, 10, 10, token_fees={TOKEN: 100})
STAKED = ProviderEntry(PROVIDER, stake_units=10**21)


def unit(
    unit_id: UnitId = UNIT_ID, provider: Address = PROVIDER, booked_hours: int = 0, **changes: Any
) -> UnitEntry:
    of = Unit(provider, WORKER, bytes(32), bytes(32), pack_name("CPU"), 1, 0)
    return UnitEntry(unit_id, replace(of, **changes), (), booked_hours, False, False, position(1))


def offer(price: int = 3600, salt: int = 0, since: int = 0, **changes: Any) -> OfferEntry:
    return replace(make_offer(price, salt, **changes), known_since=since)


def write(store: Store, *offers: OfferEntry, **changes: Any) -> None:
    """The offers beside the provider, unit and token that they need, where `changes` do not say otherwise."""
    everything = {"providers": (STAKED,), "units": (unit(),), "parameters": PARAMETERS, **changes}
    with store.write() as transaction:
        write_changes(transaction, [Changes(offers=offers, **everything)])


def change(store: Store, **changes: Any) -> None:
    with store.write() as transaction:
        write_changes(transaction, [Changes(**changes)])


def search(
    store: Store, wanted: Requirements | None = None, after: Place | None = None, limit: int = 99
) -> list[Found]:
    with store.read() as transaction:
        return search_in(transaction, wanted, after, limit)


def search_in(
    transaction: Transaction, wanted: Requirements | None, after: Place | None, limit: int
) -> list[Found]:
    return find(transaction, wanted or Requirements(), NOW, lambda _: False, after, limit)
