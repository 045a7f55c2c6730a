"""What is read most, in one statement each and without making objects of what only passes through."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from oracle.jobs import ACTIVE_ATTEMPTS
from oracle.store.engine import Transaction
from oracle.store.tables import attempts, jobs, leases, receipts, sessions, units
from protocol.units import Address, Digest, JobId, LeaseId, UnitId


@dataclass(frozen=True, slots=True)
class JobView:
    """A job whose lease is indexed, and whose the session is. `signed_order` and `receipt` are JSON."""

    account: Address
    expires_at: int
    renter: Address
    worker: Address
    lease_id: bytes
    state: str
    detail: str
    signed_order: str
    attempts_made: int
    created_at: int
    updated_at: int
    receipt: str | None
    proof_hash: bytes | None
    rank: int
    cancel_asked_at: int | None


_ATTEMPTS = (
    select(func.coalesce(func.max(attempts.c.attempt), 0))
    .where(attempts.c.job_id == jobs.c.job_id)
    .scalar_subquery()
)
_JOB = (
    select(
        sessions.c.account,
        sessions.c.expires_at,
        jobs.c.renter,
        units.c.worker,
        jobs.c.lease_id,
        jobs.c.state,
        jobs.c.detail,
        jobs.c.signed_order,
        _ATTEMPTS,
        jobs.c.created_at,
        jobs.c.updated_at,
        receipts.c.body,
        jobs.c.proof_hash,
        jobs.c.rank,
        jobs.c.cancel_asked_at,
    )
    .select_from(jobs)
    .join(leases, leases.c.lease_id == jobs.c.lease_id)
    .join(units, units.c.unit_id == leases.c.unit_id)
    .join(sessions, sessions.c.token_digest == bindparam("token"))
    .outerjoin(receipts, receipts.c.job_id == jobs.c.job_id)
    .where(jobs.c.job_id == bindparam("job"), sessions.c.expires_at > bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class AssignedJob:
    """What a worker is told of an attempt of its unit that goes on. Terms and order are JSON."""

    job_id: JobId
    attempt: int
    fencing_token: int
    lease_id: LeaseId
    terms: str
    signed_order: str
    cancel_asked_at: int | None


_ASSIGNED = (
    select(
        attempts.c.job_id,
        attempts.c.attempt,
        attempts.c.fencing_token,
        jobs.c.lease_id,
        jobs.c.terms,
        jobs.c.signed_order,
        jobs.c.cancel_asked_at,
    )
    .join(jobs, jobs.c.job_id == attempts.c.job_id)
    .where(attempts.c.unit_id == bindparam("unit"), attempts.c.state.in_(sorted(ACTIVE_ATTEMPTS)))
    .order_by(attempts.c.fencing_token)
)


def read_assigned(transaction: Transaction, unit_id: UnitId) -> list[AssignedJob]:
    """Oldest first."""
    return [AssignedJob(*row) for row in transaction.execute(_ASSIGNED, {"unit": unit_id})]


def read_job(transaction: Transaction, job_id: JobId, token_digest: Digest, now: int) -> JobView | None:
    """None: no such job or session, or a lease that is not indexed."""
    row = transaction.execute(_JOB, {"job": job_id, "token": token_digest, "now": now}).first()
    return None if row is None else JobView(*row)
