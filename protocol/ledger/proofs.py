"""Events of LeaseMarket on what was served: orders, proofs, their disputes, settlement, slashing."""

from collections.abc import Mapping
from typing import Final

from protocol import events
from protocol.accrual import fee_units, pay_units
from protocol.ledger.entries import NO_BOND, Bond, FeeEntry, LeaseEntry, ProofEntry
from protocol.ledger.replacing import replace
from protocol.ledger.reputation import counted
from protocol.ledger.state import Changes, Handler, LedgerState, broken, credited, expect, known, open_lease
from protocol.structs import NO_ORDER, LeaseStatus
from protocol.typed_data import hash_struct


def order_posted(state: LedgerState, event: events.OrderPosted, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    expect(event, "order unanswered", NO_ORDER, lease.posted_order)
    expect(event, "no order", False, event.order_digest == NO_ORDER)
    if block_timestamp >= lease.end:
        raise broken(event, "time", f"before {lease.end}", block_timestamp)
    answer_within = lease.scheduled_until(block_timestamp) + state.parameters.answer_seconds
    expect(event, "answer_within", answer_within, event.answer_within)
    return Changes(leases=(replace(lease, posted_order=event.order_digest, answer_within=answer_within),))


def order_answered(state: LedgerState, event: events.OrderAnswered, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    expect(event, "order unanswered", lease.posted_order, event.order_digest)
    expect(event, "no order", False, event.order_digest == NO_ORDER)
    late = max(lease.scheduled_until(block_timestamp) - lease.answer_within, 0)
    expect(event, "lost seconds", lease.lost_seconds + late, event.lost_seconds)
    changed = replace(lease, posted_order=NO_ORDER, answer_within=0, lost_seconds=event.lost_seconds)
    return Changes(leases=(changed,))


def proof_posted(state: LedgerState, event: events.ProofPosted, block_timestamp: int) -> Changes:
    lease, proof = open_lease(state, event), event.proof
    expect(event, "proof_hash", hash_struct(proof), event.proof_hash)
    expect(event, "proof's lease", lease.lease_id, proof.lease_id)
    expect(event, "open disputes", 0, lease.open_disputes)
    expect(event, "proof pending", False, lease.pending)
    expect(event, "previous proof", lease.proof_hash, proof.previous_proof)
    expect(event, "matures_at", block_timestamp + state.parameters.challenge_seconds, event.matures_at)
    last_post = lease.last_post(state.parameters.proof_grace_seconds)
    if not lease.terms.start <= block_timestamp <= last_post:
        raise broken(event, "time", f"{lease.terms.start} to {last_post}", block_timestamp)
    claimable = lease.claimable_seconds(block_timestamp)
    if not lease.settled_seconds <= proof.proven_seconds <= claimable:
        limits = f"{lease.settled_seconds} to {claimable}"
        raise broken(event, "proven seconds", limits, proof.proven_seconds)
    changed = replace(
        lease,
        pending_seconds=proof.proven_seconds,
        matures_at=event.matures_at,
        proof_hash=event.proof_hash,
    )
    entry = ProofEntry(event.proof_hash, lease.lease_id, proof, event.position, event.matures_at, False)
    return Changes(leases=(changed,), proofs=(entry,))


def proof_accepted(state: LedgerState, event: events.ProofAccepted, block_timestamp: int) -> Changes:
    lease = _pending_lease(state, event)
    expect(event, "open disputes", 0, lease.open_disputes)
    expect(event, "accepted before", False, lease.accepted)
    return Changes(leases=(replace(lease, accepted=True),))


def settled(state: LedgerState, event: events.Settled, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    terms = lease.terms
    expect(event, "proof pending", True, lease.pending)
    expect(event, "open disputes", 0, lease.open_disputes)
    expect(event, "settled seconds", lease.pending_seconds, event.settled_seconds)
    if block_timestamp < lease.matures_at and not lease.accepted:
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
        accepted=False,
        paid_units=lease.paid_units + event.pay,
        fee_units=lease.fee_units + event.fee,
    )
    token = terms.offer.token
    proof = known(event, "proof", state.proofs.get(lease.proof_hash))
    return Changes(
        leases=(changed,),
        proofs=(replace(proof, settled=True),),
        credits=(credited(state, token, terms.offer.provider, event.pay),),
        fees=(FeeEntry(token, state.fees.get(token, 0) + event.fee),),
    )


def dispute_opened(state: LedgerState, event: events.DisputeOpened, block_timestamp: int) -> Changes:
    lease = _pending_lease(state, event)
    if block_timestamp >= lease.matures_at:
        raise broken(event, "time", f"before {lease.matures_at}", block_timestamp)
    expect(event, "open disputes", lease.open_disputes + 1, event.open_disputes)
    return Changes(leases=(replace(lease, open_disputes=event.open_disputes),))


def dispute_ended(state: LedgerState, event: events.DisputeEnded, block_timestamp: int) -> Changes:
    """The court says what is left of the claim: never more than it was, nor less than what was settled."""
    lease = _disputed_lease(state, event)
    expect(event, "open disputes", lease.open_disputes - 1, event.open_disputes)
    if not lease.settled_seconds <= event.pending_seconds <= lease.pending_seconds:
        limits = f"{lease.settled_seconds} to {lease.pending_seconds}"
        raise broken(event, "pending seconds", limits, event.pending_seconds)
    grace = state.parameters.proof_grace_seconds
    last_post, moved = lease.last_post(grace), lease.moved_last_post
    posted_in_time = lease.matures_at <= lease.end + grace + state.parameters.challenge_seconds
    if posted_in_time and block_timestamp + grace > last_post:
        last_post = moved = block_timestamp + grace
    expect(event, "last post", last_post, event.last_post)
    changed = replace(
        lease,
        open_disputes=event.open_disputes,
        pending_seconds=event.pending_seconds,
        moved_last_post=moved,
    )
    return Changes(leases=(changed,))


def lease_breached(state: LedgerState, event: events.LeaseBreached, block_timestamp: int) -> Changes:
    lease = _disputed_lease(state, event)
    expect(event, "end", min(lease.end, max(lease.terms.start, block_timestamp)), event.end)
    expect(event, "slashed", lease.locked_bond, event.slashed)
    changed = replace(
        lease,
        status=LeaseStatus.BREACHED,
        end=event.end,
        pending_seconds=0,
        matures_at=0,
        open_disputes=0,
        closing=True,
        provider_failed=True,
        bond_slashed=True,
    )
    proof = known(event, "proof", state.proofs.get(event.proof_hash))
    return Changes(
        leases=(changed,), proofs=(replace(proof, void=True),), slashing=_bond(lease, event.slashed)
    )


def bond_slashed(state: LedgerState, event: events.BondSlashed, block_timestamp: int) -> Changes:
    lease = open_lease(state, event)
    expect(event, "slashed before", False, lease.bond_slashed)
    expect(event, "slashed", lease.locked_bond, event.slashed)
    return Changes(leases=(replace(lease, bond_slashed=True),), slashing=_bond(lease, event.slashed))


def _bond(lease: LeaseEntry, units: int) -> Bond:
    return Bond(lease.terms.offer.provider, lease.renter, units) if units else NO_BOND


def _pending_lease(state: LedgerState, event: events.ProofAccepted | events.DisputeOpened) -> LeaseEntry:
    lease = open_lease(state, event)
    expect(event, "proof pending", True, lease.pending)
    expect(event, "proof_hash", lease.proof_hash, event.proof_hash)
    return lease


def _disputed_lease(state: LedgerState, event: events.DisputeEnded | events.LeaseBreached) -> LeaseEntry:
    lease = open_lease(state, event)
    expect(event, "in dispute", True, lease.open_disputes > 0)
    expect(event, "proof_hash", lease.proof_hash, event.proof_hash)
    return lease


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {
    events.OrderPosted: order_posted,
    events.OrderAnswered: order_answered,
    events.ProofPosted: proof_posted,
    events.ProofAccepted: proof_accepted,
    events.Settled: settled,
    events.DisputeOpened: dispute_opened,
    events.DisputeEnded: dispute_ended,
    events.LeaseBreached: counted(lease_breached),
    events.BondSlashed: counted(bond_slashed),
}
