"""Reputation as part of the ledger: what a lease that closes or is breached does to its provider's custom."""

from collections.abc import Iterable
from typing import Any

from protocol.accrual import fee_units, pay_units, scheduled_seconds
from protocol.ledger.entries import LeaseEntry
from protocol.ledger.state import Changes, Handler, LedgerState
from protocol.reputation import Custom, halved, score_weight, with_lease
from protocol.structs import LeaseStatus, OfferKind
from protocol.units import Address


def counted(handler: Handler) -> Handler:
    """The handler of an event that closes a lease or slashes its bond, with what that does to reputations."""

    def handle(state: LedgerState, event: Any, block_timestamp: int) -> Changes:
        changes = handler(state, event, block_timestamp)
        (lease,) = changes.leases
        return changes.with_customs(_customs_after(state, state.leases[lease.lease_id], lease))

    return handle


def scores(customs: Iterable[Custom]) -> dict[tuple[Address, Address], int]:
    """The score of each provider in each token, as a weight: see `protocol.reputation`."""
    grouped: dict[tuple[Address, Address], list[Custom]] = {}
    for custom in customs:
        grouped.setdefault((custom.provider, custom.token), []).append(custom)
    return {key: score_weight(found) for key, found in grouped.items()}


def _customs_after(state: LedgerState, before: LeaseEntry, after: LeaseEntry) -> tuple[Custom, ...]:
    if after.status is LeaseStatus.CLOSED:
        return (_with_closed(state, before, after),)
    provider = after.terms.offer.provider
    return tuple(halved(custom) for custom in state.customs.values() if custom.provider == provider)


def _with_closed(state: LedgerState, before: LeaseEntry, lease: LeaseEntry) -> Custom:
    offer = lease.terms.offer
    key = (offer.provider, offer.token, lease.renter)
    custom = state.customs.get(key) or Custom(*key)
    reserved = offer.kind is OfferKind.RESERVED
    if before.status is LeaseStatus.BREACHED:
        terms = lease.terms
        owed = _fee(lease, scheduled_seconds(terms.weekly_hours, terms.start, terms.end))
        return with_lease(custom, lease.end, 0, 0, owed if reserved else 0)
    owed = _fee(lease, lease.scheduled_seconds + lease.penalty_seconds)
    served = min(lease.fee_units, owed)
    return with_lease(custom, lease.end, lease.fee_units, served if reserved else 0, owed if reserved else 0)


def _fee(lease: LeaseEntry, seconds: int) -> int:
    return fee_units(pay_units(lease.terms.offer.price_per_hour, seconds), lease.terms.fee_bps)
