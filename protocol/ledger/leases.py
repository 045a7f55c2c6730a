"""Events of LeaseMarket that open a lease, move its end, pass it on or close it."""

from collections.abc import Mapping
from typing import Final

from protocol import events
from protocol.accrual import compensation_units, deposit_units, scheduled_seconds
from protocol.ledger.entries import CompensationEntry, LeaseEntry
from protocol.ledger.offers import HORIZON_SECONDS, offer_epoch, offer_of
from protocol.ledger.replacing import replace
from protocol.ledger.reputation import counted
from protocol.ledger.state import Changes, Handler, LedgerState, broken, credited, expect, known, open_lease
from protocol.structs import NO_ORDER, LeaseStatus, NoticeReason, OfferKind, Terms
from protocol.typed_data import digest
from protocol.units import ZERO_ADDRESS, ZERO_DIGEST

MAX_START_DELAY_SECONDS: Final = 7 * 24 * 3600


def lease_opened(state: LedgerState, event: events.LeaseOpened, block_timestamp: int) -> Changes:
    offer = offer_of(state, event).offer
    terms = event.terms.under(offer, event.renter)
    _check_terms(state, event, terms, block_timestamp)
    unit = known(event, "unit", state.units.get(offer.unit_id))
    expect(event, "unit retired", False, unit.retired)
    expect(event, "unit evicted", False, unit.evicted)
    expect(event, "unit's provider", offer.provider, unit.unit.provider)
    expect(
        event, "unit's GPUs", (offer.gpu_class, offer.gpu_count), (unit.unit.gpu_class, unit.unit.gpu_count)
    )
    expect(event, "hours booked already", 0, unit.booked_hours & terms.weekly_hours)
    provider = known(event, "provider", state.providers.get(offer.provider))
    expect(event, "epoch", provider.epoch, offer_epoch(offer.salt))
    if offer.bond > provider.free_units:
        raise broken(event, "bond", f"at most {provider.free_units} free", offer.bond)
    lease = LeaseEntry(
        lease_id=event.lease_id,
        terms=terms,
        opened_at=event.position,
        renters=(terms.renter,),
        deposit_units=event.deposit,
        end=terms.end,
    )
    return Changes(
        leases=(lease,),
        units=(replace(unit, booked_hours=unit.booked_hours | terms.weekly_hours),),
        providers=(replace(provider, locked_units=provider.locked_units + offer.bond),),
    )


def lease_extended(state: LedgerState, event: events.LeaseExtended, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    terms = lease.terms
    expect(event, "closing", False, lease.closing)
    _check_running(event, lease, block_timestamp)
    latest = terms.max_end if event.payer != lease.renter else _latest_end(terms)
    if not lease.end < event.end <= latest:
        raise broken(event, "end", f"after {lease.end}, at most {latest}", event.end)
    expect(event, "deposit", _needed_units(terms, event.end), event.deposit)
    return Changes(leases=(replace(lease, end=event.end, deposit_units=event.deposit),))


def notice_given(state: LedgerState, event: events.NoticeGiven, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    terms = lease.terms
    by_provider = event.by == terms.offer.provider
    if not by_provider:
        expect(event, "by provider or renter", lease.renter, event.by)
    _check_running(event, lease, block_timestamp)
    new_end = min(lease.end, _noticed_end(terms, by_provider, block_timestamp))
    if event.reason is NoticeReason.GANG_FAILED and not by_provider and _gang_failed(state, lease):
        # Of the two calls that give this reason, the other one keeps to the offer's least duration.
        in_gang = min(lease.end, max(terms.start, block_timestamp + terms.offer.notice_seconds))
        new_end = in_gang if event.end == in_gang else new_end
    expect(event, "end", new_end, event.end)
    penalty = lease.penalty_seconds + (_cut_seconds(lease, new_end) if by_provider else 0)
    expect(event, "penalty seconds", penalty, event.penalty_seconds)
    changed = replace(
        lease,
        end=new_end,
        penalty_seconds=penalty,
        closing=True,
        provider_failed=lease.provider_failed or by_provider,
    )
    return Changes(leases=(changed,))


def failed_over(state: LedgerState, event: events.FailedOver, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    terms = lease.terms
    expect(event, "failed over before", False, lease.failed_over)
    if not lease.provider_failed:
        _check_running(event, lease, block_timestamp)
    following = _following(state, event, lease)
    # A notice has said itself until when its provider serves; a yield or an outage ends the lease at once.
    noticed = lease.provider_failed and event.end == lease.end
    new_end = lease.end if noticed else min(lease.end, max(terms.start, block_timestamp))
    expect(event, "end", new_end, event.end)
    # Of a reserved lease only an outage cuts off more than the notice did, and that is the provider's fault.
    penalty = lease.penalty_seconds + _cut_seconds(lease, new_end)
    expect(event, "penalty seconds", penalty, event.penalty_seconds)
    expect(event, "moved", following.deposit_units, event.moved)
    left = lease.deposit_units - event.moved
    if left < _needed_units(terms, new_end):
        raise broken(event, "deposit left", f"at least {_needed_units(terms, new_end)}", left)
    expect(event, "hops", lease.hops + 1, event.hops)
    changed = replace(
        lease,
        end=new_end,
        deposit_units=left,
        moved_units=event.moved,
        failed_over=True,
        penalty_seconds=event.penalty_seconds,
        closing=True,
        provider_failed=lease.provider_failed or terms.offer.kind is OfferKind.RESERVED,
    )
    return Changes(leases=(changed, replace(following, hops=event.hops)))


def lease_transferred(state: LedgerState, event: events.LeaseTransferred, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    expect(event, "closing", False, lease.closing)
    expect(event, "open disputes", 0, lease.open_disputes)
    expect(event, "order posted", NO_ORDER, lease.posted_order)
    _check_running(event, lease, block_timestamp)
    expect(event, "from", lease.renter, event.from_)
    expect(event, "to nobody", False, event.to == ZERO_ADDRESS)
    changed = replace(lease, renters=(*lease.renters, event.to))
    credit = credited(state, lease.terms.offer.token, event.from_, event.price)
    return Changes(leases=(changed,), credits=(credit,) if event.price else ())


def hours_released(state: LedgerState, event: events.HoursReleased, block_timestamp: int) -> Changes:
    lease = known(event, "lease", state.leases.get(event.lease_id))
    expect(event, "closed", False, lease.status is LeaseStatus.CLOSED)
    expect(event, "unit_id", lease.terms.offer.unit_id, event.unit_id)
    expect(event, "hours released before", False, lease.hours_released)
    if block_timestamp < lease.end:
        raise broken(event, "time", f"at least {lease.end}", block_timestamp)
    unit = known(event, "unit", state.units.get(event.unit_id))
    freed = replace(unit, booked_hours=unit.booked_hours & ~lease.terms.weekly_hours)
    return Changes(leases=(replace(lease, hours_released=True),), units=(freed,))


def lease_closed(state: LedgerState, event: events.LeaseClosed, block_timestamp: int) -> Changes:
    lease = known(event, "lease", state.leases.get(event.lease_id))
    terms, offer = lease.terms, lease.terms.offer
    expect(event, "closed before", False, lease.status is LeaseStatus.CLOSED)
    expect(event, "open disputes", 0, lease.open_disputes)
    expect(event, "proof pending", False, lease.pending)
    expect(event, "settled seconds", lease.settled_seconds, event.settled_seconds)
    if lease.status is LeaseStatus.OPEN:
        _check_closable(state, event, lease, block_timestamp)
    expect(event, "refund", lease.deposit_units - lease.paid_units - lease.fee_units, event.refund)
    expect(event, "compensation", _compensation(lease), event.compensation)
    provider = known(event, "provider", state.providers.get(offer.provider))
    unit = known(event, "unit", state.units.get(offer.unit_id))
    freed = replace(unit, booked_hours=unit.booked_hours & ~terms.weekly_hours)
    owed = state.compensations.get(lease.renter, 0) + event.compensation
    changed = replace(
        lease,
        status=LeaseStatus.CLOSED,
        refund_units=event.refund,
        compensation_units=event.compensation,
        hours_released=True,
    )
    unlocked = replace(
        provider,
        stake_units=provider.stake_units - event.compensation,
        locked_units=provider.locked_units - lease.locked_bond,
    )
    return Changes(
        leases=(changed,),
        units=() if lease.hours_released else (freed,),
        providers=(unlocked,),
        credits=(credited(state, offer.token, lease.renter, event.refund),),
        compensations=(CompensationEntry(lease.renter, owed),),
    )


def _check_terms(state: LedgerState, event: events.LeaseOpened, terms: Terms, block_timestamp: int) -> None:
    offer, parameters = terms.offer, state.parameters
    expect(event, "lease_id", digest(parameters.domain, terms), event.lease_id)
    expect(event, "lease opened before", False, event.lease_id in state.leases)
    expect(event, "renter nobody", False, event.renter == ZERO_ADDRESS)
    expect(event, "provider", offer.provider, event.provider)
    expect(event, "fee_bps", parameters.token_fees.get(offer.token), terms.fee_bps)
    expect(event, "hours beyond the offer's", 0, terms.weekly_hours & ~offer.weekly_hours)
    if block_timestamp > offer.valid_until:
        raise broken(event, "time", f"at most {offer.valid_until}", block_timestamp)
    if not block_timestamp <= terms.start <= block_timestamp + MAX_START_DELAY_SECONDS:
        raise broken(event, "start", f"within 7 days of {block_timestamp}", terms.start)
    earliest, latest = terms.start + max(offer.min_seconds, 1), _latest_end(terms)
    if not earliest <= terms.end <= terms.max_end <= latest:
        raise broken(event, "end, max_end", f"{earliest} to {latest}", (terms.end, terms.max_end))
    if scheduled_seconds(terms.weekly_hours, terms.start, terms.end) == 0:
        raise broken(event, "scheduled seconds", "at least 1", 0)
    expect(event, "deposit", _needed_units(terms, terms.end), event.deposit)


def _following(state: LedgerState, event: events.FailedOver, lease: LeaseEntry) -> LeaseEntry:
    """The next lease, which the same transaction has opened just before."""
    following = known(event, "next lease", state.leases.get(event.next_lease_id))
    old, new = lease.terms, following.terms
    expect(
        event,
        "next lease's transaction",
        following.opened_at.transaction_hash,
        event.position.transaction_hash,
    )
    expect(event, "next lease's log", following.opened_at.log_index + 1, event.position.log_index)
    expect(event, "next lease's previous one", lease.lease_id, new.previous_lease_id)
    expect(event, "next lease's renter", old.renter, new.renter)
    expect(event, "next lease's policy", old.policy_hash, new.policy_hash)
    expect(event, "next lease's first order", old.first_order, new.first_order)
    expect(event, "next lease's token", old.offer.token, new.offer.token)
    if new.offer.gpu_count < old.offer.gpu_count:
        raise broken(event, "next lease's GPUs", f"at least {old.offer.gpu_count}", new.offer.gpu_count)
    if new.offer.kind > old.offer.kind:
        raise broken(event, "next lease's kind", old.offer.kind.name, new.offer.kind.name)
    expect(event, "policy given", False, old.policy_hash == ZERO_DIGEST)
    expect(event, "transfers before", 0, lease.transfers)
    expect(event, "next lease's hops before", 0, following.hops)
    return following


def _check_closable(
    state: LedgerState, event: events.LeaseClosed, lease: LeaseEntry, block_timestamp: int
) -> None:
    last_post = lease.last_post(state.parameters.proof_grace_seconds)
    all_settled = block_timestamp >= lease.end and lease.settled_seconds == lease.scheduled_seconds
    if not all_settled and block_timestamp <= last_post:
        raise broken(event, "time", f"after {last_post}, or all settled after {lease.end}", block_timestamp)


def _check_running(
    event: events.LeaseExtended | events.NoticeGiven | events.FailedOver | events.LeaseTransferred,
    lease: LeaseEntry,
    block_timestamp: int,
) -> None:
    if block_timestamp >= lease.end:
        raise broken(event, "time", f"before {lease.end}", block_timestamp)


def _compensation(lease: LeaseEntry) -> int:
    if lease.terms.offer.kind is not OfferKind.RESERVED or lease.bond_slashed:
        return 0
    owed_seconds = lease.scheduled_seconds + lease.penalty_seconds
    return compensation_units(lease.terms.offer.bond, owed_seconds, lease.settled_seconds)


def _cut_seconds(lease: LeaseEntry, new_end: int) -> int:
    """What a provider goes on owing where its lease ends earlier."""
    if lease.terms.offer.kind is not OfferKind.RESERVED:
        return 0
    return scheduled_seconds(lease.terms.weekly_hours, new_end, lease.end)


def _gang_failed(state: LedgerState, lease: LeaseEntry) -> bool:
    """Whether the provider of a lease of this gang, its own included, has failed or may have."""
    gang = lease.terms.gang_id
    return gang != ZERO_DIGEST and any(
        other.provider_failed or other.failed_over
        for other in state.leases.values()
        if other.terms.gang_id == gang
    )


def _latest_end(terms: Terms) -> int:
    return terms.start + min(terms.offer.max_seconds, HORIZON_SECONDS)


def _needed_units(terms: Terms, end: int) -> int:
    """The deposit that funds a lease up to `end`."""
    return deposit_units(terms.offer.price_per_hour, scheduled_seconds(terms.weekly_hours, terms.start, end))


def _noticed_end(terms: Terms, by_provider: bool, block_timestamp: int) -> int:
    noticed = block_timestamp + terms.offer.notice_seconds
    if by_provider:
        return max(terms.start, noticed)
    return terms.start if noticed < terms.start else max(terms.start + terms.offer.min_seconds, noticed)


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {
    events.LeaseOpened: lease_opened,
    events.LeaseExtended: lease_extended,
    events.NoticeGiven: notice_given,
    events.FailedOver: failed_over,
    events.LeaseTransferred: lease_transferred,
    events.HoursReleased: hours_released,
    events.LeaseClosed: counted(lease_closed),
}
