"""Pure decisions about a lease at an instant: may its jobs run, when is it over."""

from __future__ import annotations

from protocol.accrual import scheduled_seconds
from protocol.ledger import LeaseEntry
from protocol.structs import LeaseStatus


def may_run(lease: LeaseEntry, now: int) -> bool:
    """Whether the second `now` is one that the renter has hired."""
    if lease.status != LeaseStatus.OPEN or not lease.terms.start <= now < lease.end:
        return False
    return scheduled_seconds(lease.terms.weekly_hours, now, now + 1) == 1


def has_ended(lease: LeaseEntry, now: int) -> bool:
    """Whether no further second of it can be served."""
    return lease.status != LeaseStatus.OPEN or now >= lease.end


def last_post(lease: LeaseEntry, proof_grace_seconds: int) -> int:
    """Until when the worker may post a proof, Unix seconds."""
    return lease.last_post(proof_grace_seconds)


def takes_receipts(lease: LeaseEntry, now: int, proof_grace_seconds: int) -> bool:
    """Whether a receipt can still get into a proof."""
    return lease.status == LeaseStatus.OPEN and now <= last_post(lease, proof_grace_seconds)


def can_settle(lease: LeaseEntry, now: int) -> bool:
    if lease.status != LeaseStatus.OPEN or lease.open_disputes:
        return False
    return lease.pending and now >= lease.matures_at


def can_release(lease: LeaseEntry, now: int) -> bool:
    return lease.status != LeaseStatus.CLOSED and now >= lease.end and not lease.hours_released


def can_close(lease: LeaseEntry, now: int, proof_grace_seconds: int) -> bool:
    """Closing settles a matured proof itself."""
    if lease.status == LeaseStatus.BREACHED:
        return True
    if lease.status != LeaseStatus.OPEN or lease.open_disputes:
        return False
    if lease.pending and now < lease.matures_at:
        return False
    if now > last_post(lease, proof_grace_seconds):
        return True
    settled = lease.pending_seconds if lease.pending else lease.settled_seconds
    return now >= lease.end and settled == lease.scheduled_seconds
