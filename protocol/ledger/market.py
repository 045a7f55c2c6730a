"""Events of LeaseMarket: offers, leases, proofs, settlement, credits, and what its owner sets."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from protocol import events
from protocol.accrual import compensation_units, deposit_units, fee_units, pay_units, scheduled_seconds
from protocol.errors import InvariantBroken
from protocol.ledger.state import (
    Changes,
    CompensationEntry,
    CreditEntry,
    Handler,
    LeaseEntry,
    LedgerState,
    OfferEntry,
    ProofEntry,
    broken,
    expect,
    known,
)
from protocol.structs import NO_PROOF, LeaseStatus, OfferKind, Terms
from protocol.typed_data import digest, hash_struct
from protocol.units import Address, OfferHash

MAX_FEE_BPS: Final = 300
MAX_START_DELAY_SECONDS: Final = 7 * 24 * 3600


def offer_listed(state: LedgerState, event: events.OfferListed, block_timestamp: int) -> Changes:
    offer = event.offer
    expect(event, "offer_hash", hash_struct(offer), event.offer_hash)
    expect(event, "provider", offer.provider, event.provider)
    expect(event, "unit_id", offer.unit_id, event.unit_id)
    expect(event, "token allowed", True, offer.token in state.parameters.allowed_tokens)
    before = state.offers.get(event.offer_hash)
    expect(event, "listed before", False, before is not None and before.listed)
    return Changes(offers=(OfferEntry(event.offer_hash, offer, True, event.position),))


def offer_unlisted(state: LedgerState, event: events.OfferUnlisted, block_timestamp: int) -> Changes:
    entry = known(event, "offer", state.offers.get(event.offer_hash))
    expect(event, "provider", entry.offer.provider, event.provider)
    expect(event, "listed before", True, entry.listed)
    return Changes(offers=(replace(entry, listed=False),))


def lease_opened(state: LedgerState, event: events.LeaseOpened, block_timestamp: int) -> Changes:
    terms, offer = event.terms, event.terms.offer
    _check_terms(state, event, block_timestamp)
    unit = known(event, "unit", state.units.get(offer.unit_id))
    expect(event, "unit retired", False, unit.retired)
    expect(event, "unit's provider", offer.provider, unit.unit.provider)
    expect(
        event, "unit's GPUs", (offer.gpu_class, offer.gpu_count), (unit.unit.gpu_class, unit.unit.gpu_count)
    )
    expect(event, "hours booked already", 0, unit.booked_hours & terms.weekly_hours)
    provider = known(event, "provider", state.providers.get(offer.provider))
    if offer.bond > provider.free_units:
        raise broken(event, "bond", f"at most {provider.free_units} free", offer.bond)
    lease = LeaseEntry(
        lease_id=event.lease_id,
        terms=terms,
        opened_at=event.position,
        deposit_units=event.deposit,
        end=terms.end,
        settled_seconds=0,
        pending_seconds=0,
        matures_at=0,
        proof_hash=NO_PROOF,
        status=LeaseStatus.OPEN,
        penalty_seconds=0,
        paid_units=0,
        fee_units=0,
        refund_units=0,
        compensation_units=0,
        hours_released=False,
    )
    return Changes(
        leases=(lease,),
        units=(replace(unit, booked_hours=unit.booked_hours | terms.weekly_hours),),
        providers=(replace(provider, locked_units=provider.locked_units + offer.bond),),
    )


def proof_posted(state: LedgerState, event: events.ProofPosted, block_timestamp: int) -> Changes:
    lease, proof = _open_lease(state, event), event.proof
    terms = lease.terms
    expect(event, "proof_hash", hash_struct(proof), event.proof_hash)
    expect(event, "proof's lease", lease.lease_id, proof.lease_id)
    expect(event, "proof pending", False, lease.pending)
    expect(event, "previous proof", lease.proof_hash, proof.previous_proof)
    expect(event, "matures_at", block_timestamp + state.parameters.challenge_seconds, event.matures_at)
    last_post = lease.end + state.parameters.proof_grace_seconds
    if not terms.start <= block_timestamp <= last_post:
        raise broken(event, "time", f"{terms.start} to {last_post}", block_timestamp)
    scheduled = scheduled_seconds(terms.weekly_hours, terms.start, min(block_timestamp, lease.end))
    if not lease.settled_seconds <= proof.proven_seconds <= scheduled:
        limits = f"{lease.settled_seconds} to {scheduled}"
        raise broken(event, "proven seconds", limits, proof.proven_seconds)
    changed = replace(
        lease,
        pending_seconds=proof.proven_seconds,
        matures_at=event.matures_at,
        proof_hash=event.proof_hash,
    )
    entry = ProofEntry(event.proof_hash, lease.lease_id, proof, event.position, event.matures_at, False)
    return Changes(leases=(changed,), proofs=(entry,))


def settled(state: LedgerState, event: events.Settled, block_timestamp: int) -> Changes:
    lease = _open_lease(state, event)
    terms = lease.terms
    expect(event, "proof pending", True, lease.pending)
    expect(event, "proof_hash", lease.proof_hash, event.proof_hash)
    expect(event, "settled seconds", lease.pending_seconds, event.settled_seconds)
    if block_timestamp < lease.matures_at:
        raise broken(event, "time", f"at least {lease.matures_at}", block_timestamp)
    gross = pay_units(terms.offer.price_per_hour, event.settled_seconds)
    fee = fee_units(gross, terms.fee_bps)
    expect(event, "fee", fee - lease.fee_units, event.fee)
    expect(event, "pay", gross - fee - lease.paid_units, event.pay)
    changed = replace(
        lease,
        settled_seconds=event.settled_seconds,
        pending_seconds=0,
        matures_at=0,
        paid_units=lease.paid_units + event.pay,
        fee_units=lease.fee_units + event.fee,
    )
    proof = known(event, "proof", state.proofs.get(event.proof_hash))
    owed = {terms.offer.provider: event.pay}
    owed[state.parameters.treasury] = owed.get(state.parameters.treasury, 0) + event.fee
    credits = tuple(_credit(state, terms.offer.token, account, amount) for account, amount in owed.items())
    return Changes(leases=(changed,), proofs=(replace(proof, settled=True),), credits=credits)


def notice_given(state: LedgerState, event: events.NoticeGiven, block_timestamp: int) -> Changes:
    lease = _open_lease(state, event)
    terms = lease.terms
    by_provider = event.by == terms.offer.provider
    if not by_provider:
        expect(event, "by provider or renter", terms.renter, event.by)
    if block_timestamp >= lease.end:
        raise broken(event, "time", f"before {lease.end}", block_timestamp)
    new_end = min(lease.end, _noticed_end(terms, by_provider, block_timestamp))
    expect(event, "end", new_end, event.end)
    penalty = lease.penalty_seconds
    if terms.offer.kind is OfferKind.RESERVED and (by_provider or penalty):
        penalty += scheduled_seconds(terms.weekly_hours, new_end, lease.end)
    expect(event, "penalty seconds", penalty, event.penalty_seconds)
    return Changes(leases=(replace(lease, end=new_end, penalty_seconds=penalty),))


def hours_released(state: LedgerState, event: events.HoursReleased, block_timestamp: int) -> Changes:
    lease = _open_lease(state, event)
    expect(event, "unit_id", lease.terms.offer.unit_id, event.unit_id)
    expect(event, "hours released before", False, lease.hours_released)
    if block_timestamp < lease.end:
        raise broken(event, "time", f"at least {lease.end}", block_timestamp)
    unit = known(event, "unit", state.units.get(event.unit_id))
    freed = replace(unit, booked_hours=unit.booked_hours & ~lease.terms.weekly_hours)
    return Changes(leases=(replace(lease, hours_released=True),), units=(freed,))


def lease_closed(state: LedgerState, event: events.LeaseClosed, block_timestamp: int) -> Changes:
    lease = _open_lease(state, event)
    terms, offer = lease.terms, lease.terms.offer
    expect(event, "proof pending", False, lease.pending)
    expect(event, "settled seconds", lease.settled_seconds, event.settled_seconds)
    _check_closable(state, event, lease, block_timestamp)
    expect(event, "refund", lease.deposit_units - lease.paid_units - lease.fee_units, event.refund)
    expect(event, "compensation", _compensation(lease), event.compensation)
    provider = known(event, "provider", state.providers.get(offer.provider))
    unit = known(event, "unit", state.units.get(offer.unit_id))
    freed = replace(unit, booked_hours=unit.booked_hours & ~terms.weekly_hours)
    owed = state.compensations.get(terms.renter, 0) + event.compensation
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
        locked_units=provider.locked_units - offer.bond,
    )
    return Changes(
        leases=(changed,),
        units=() if lease.hours_released else (freed,),
        providers=(unlocked,),
        credits=(_credit(state, offer.token, terms.renter, event.refund),),
        compensations=(CompensationEntry(terms.renter, owed),),
    )


def withdrawn(state: LedgerState, event: events.Withdrawn, block_timestamp: int) -> Changes:
    expect(event, "amount", state.credits.get((event.token, event.account), 0), event.amount)
    return Changes(credits=(CreditEntry(event.token, event.account, 0),))


def token_allowed(state: LedgerState, event: events.TokenAllowed, block_timestamp: int) -> Changes:
    others = state.parameters.allowed_tokens - {event.token}
    allowed = others | {event.token} if event.allowed else others
    return Changes(parameters=replace(state.parameters, allowed_tokens=allowed))


def fee_changed(state: LedgerState, event: events.FeeChanged, block_timestamp: int) -> Changes:
    if event.fee_bps > MAX_FEE_BPS:
        raise broken(event, "fee", f"at most {MAX_FEE_BPS}", event.fee_bps)
    return Changes(parameters=replace(state.parameters, fee_bps=event.fee_bps))


def treasury_changed(state: LedgerState, event: events.TreasuryChanged, block_timestamp: int) -> Changes:
    return Changes(parameters=replace(state.parameters, treasury=event.treasury))


def check(state: LedgerState) -> None:
    """Booked hours are those of leases that hold them; the money of a closed lease adds up to its deposit."""
    booked = dict.fromkeys(state.units, 0)
    for lease in state.leases.values():
        if not lease.hours_released:
            unit_id = lease.terms.offer.unit_id
            if booked[unit_id] & lease.terms.weekly_hours:
                raise InvariantBroken("disjoint hours", "overlap", subject=f"unit 0x{unit_id.hex()}")
            booked[unit_id] |= lease.terms.weekly_hours
        spent = lease.paid_units + lease.fee_units + lease.refund_units
        exact = lease.status is LeaseStatus.CLOSED
        if spent > lease.deposit_units or (exact and spent != lease.deposit_units):
            raise InvariantBroken(
                lease.deposit_units, spent, subject=f"money of lease 0x{lease.lease_id.hex()}"
            )
    for unit_id, unit in state.units.items():
        if unit.booked_hours != booked[unit_id]:
            raise InvariantBroken(
                hex(booked[unit_id]), hex(unit.booked_hours), subject=f"booked hours of 0x{unit_id.hex()}"
            )


def _check_terms(state: LedgerState, event: events.LeaseOpened, block_timestamp: int) -> None:
    terms, offer, parameters = event.terms, event.terms.offer, state.parameters
    expect(event, "lease_id", digest(parameters.domain, terms), event.lease_id)
    expect(event, "lease opened before", False, event.lease_id in state.leases)
    expect(event, "renter", terms.renter, event.renter)
    expect(event, "provider", offer.provider, event.provider)
    expect(event, "token allowed", True, offer.token in parameters.allowed_tokens)
    expect(event, "fee_bps", parameters.fee_bps, terms.fee_bps)
    listed = state.offers.get(OfferHash(hash_struct(offer)))
    expect(event, "offer listed", True, listed is not None and listed.listed)
    expect(event, "hours beyond the offer's", 0, terms.weekly_hours & ~offer.weekly_hours)
    if not block_timestamp <= terms.start <= block_timestamp + MAX_START_DELAY_SECONDS:
        raise broken(event, "start", f"within 7 days of {block_timestamp}", terms.start)
    if not terms.start + offer.min_seconds <= terms.end <= terms.max_end <= terms.start + offer.max_seconds:
        limits = f"{offer.min_seconds} to {offer.max_seconds} seconds after {terms.start}"
        raise broken(event, "end, max_end", limits, (terms.end, terms.max_end))
    scheduled = scheduled_seconds(terms.weekly_hours, terms.start, terms.end)
    expect(event, "deposit", deposit_units(offer.price_per_hour, scheduled), event.deposit)


def _check_closable(
    state: LedgerState, event: events.LeaseClosed, lease: LeaseEntry, block_timestamp: int
) -> None:
    last_post = lease.end + state.parameters.proof_grace_seconds
    all_settled = block_timestamp >= lease.end and lease.settled_seconds == lease.scheduled_seconds
    if not all_settled and block_timestamp <= last_post:
        raise broken(event, "time", f"after {last_post}, or all settled after {lease.end}", block_timestamp)


def _compensation(lease: LeaseEntry) -> int:
    if lease.terms.offer.kind is not OfferKind.RESERVED:
        return 0
    owed_seconds = lease.scheduled_seconds + lease.penalty_seconds
    return compensation_units(lease.terms.offer.bond, owed_seconds, lease.settled_seconds)


def _noticed_end(terms: Terms, by_provider: bool, block_timestamp: int) -> int:
    noticed = block_timestamp + terms.offer.notice_seconds
    if by_provider:
        return max(terms.start, noticed)
    return terms.start if noticed < terms.start else max(terms.start + terms.offer.min_seconds, noticed)


def _open_lease(
    state: LedgerState,
    event: events.ProofPosted
    | events.Settled
    | events.NoticeGiven
    | events.HoursReleased
    | events.LeaseClosed,
) -> LeaseEntry:
    lease = known(event, "lease", state.leases.get(event.lease_id))
    expect(event, "status", LeaseStatus.OPEN, lease.status)
    return lease


def _credit(state: LedgerState, token: Address, account: Address, amount_units: int) -> CreditEntry:
    return CreditEntry(token, account, state.credits.get((token, account), 0) + amount_units)


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {
    events.OfferListed: offer_listed,
    events.OfferUnlisted: offer_unlisted,
    events.LeaseOpened: lease_opened,
    events.ProofPosted: proof_posted,
    events.Settled: settled,
    events.NoticeGiven: notice_given,
    events.HoursReleased: hours_released,
    events.LeaseClosed: lease_closed,
    events.Withdrawn: withdrawn,
    events.TokenAllowed: token_allowed,
    events.FeeChanged: fee_changed,
    events.TreasuryChanged: treasury_changed,
}
