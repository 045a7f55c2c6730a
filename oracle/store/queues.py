"""Which jobs can move, lease by lease, found by index however many there are; and moves of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from oracle.jobs import ACTIVE_ATTEMPTS, JobState, Wait, check_job_transition
from oracle.store.artifact_tables import artifact_owners, artifact_uses
from oracle.store.attempts import COLUMNS, AttemptEntry, read_attempt
from oracle.store.engine import Transaction
from oracle.store.jobs import ORPHANED
from oracle.store.tables import attempts, jobs, leases
from protocol.units import Address, Digest, JobId, LeaseId, UnitId


@dataclass(frozen=True, slots=True)
class ActiveAttempt:
    """An attempt that goes on, and what its job says of how long it may. Instants in Unix seconds."""

    attempt: AttemptEntry
    lease_id: LeaseId
    wall_seconds: int
    cancel_asked_at: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """The job that is next in a lease's queue. `uploaded`: its bundle and data are stored."""

    job_id: JobId
    lease_id: LeaseId
    unit_id: UnitId
    sequence: int
    detail: str
    cancel_asked_at: int | None
    created_at: int
    not_before: int
    attempts_made: int
    uploaded: bool


@dataclass(frozen=True, slots=True)
class Move:
    """Jobs of a lease that go on together: those of a state, and of the waiting ones those with this reason.

    `uploaded`: those of them alone whose bundle and data are stored.
    """

    lease_id: LeaseId
    state: JobState
    following: JobState
    detail: str
    reason: Wait | None = None
    uploaded: bool = False


def _is(state: JobState) -> ColumnElement[bool]:
    """Without a parameter: the indexes of some states serve only queries that say which."""
    return jobs.c.state == literal_column(f"'{state}'")


def _waits_for(reason: Wait) -> ColumnElement[bool]:
    return _is(JobState.WAITING) & (jobs.c.detail == literal_column(f"'{reason}'"))


def _stored(digest: ColumnElement[bytes]) -> ColumnElement[bool]:
    return exists().where(artifact_owners.c.digest == digest, artifact_owners.c.account == jobs.c.renter)


UPLOADED: Final = _stored(jobs.c.bundle_digest) & or_(
    jobs.c.data_digest.is_(None), _stored(jobs.c.data_digest)
)
_IDLE_STATES: Final[list[ColumnElement[str]]] = [literal_column("'queued'"), literal_column("'waiting'")]
_IDLE: Final = jobs.c.state.in_(_IDLE_STATES)


def _leases_of(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Each lease that has such jobs, once: one step in the index for each lease, none for each job."""

    def first(*more: ColumnElement[bool]) -> Any:
        query = select(jobs.c.lease_id).where(*conditions, *more).order_by(jobs.c.lease_id).limit(1)
        return query.scalar_subquery()

    found = select(first().label("lease_id")).cte("found", recursive=True)
    after = first(jobs.c.lease_id > found.c.lease_id)
    found = found.union_all(select(after).where(found.c.lease_id.is_not(None)))
    return select(found.c.lease_id).where(found.c.lease_id.is_not(None))


_WAITING: Final = {reason: _leases_of(_waits_for(reason)) for reason in Wait}
_IN_STATE: Final = {state: _leases_of(_is(state)) for state in (JobState.QUEUED, JobState.FINISHED)}
_ARRIVED: Final = select(jobs.c.lease_id).where(_waits_for(Wait.ARTIFACTS), UPLOADED).distinct()
_REVIVED: Final = select(leases.c.lease_id).where(
    leases.c.status == "open",
    exists().where(jobs.c.lease_id == leases.c.lease_id, _is(JobState.UNPROVEN)),
)


def leases_waiting(transaction: Transaction, reason: Wait) -> list[LeaseId]:
    """Whose jobs wait for this."""
    return _lease_ids(transaction, _WAITING[reason])


def leases_queued(transaction: Transaction) -> list[LeaseId]:
    return _lease_ids(transaction, _IN_STATE[JobState.QUEUED])


def leases_finished(transaction: Transaction) -> list[LeaseId]:
    """With jobs whose proof is awaited."""
    return _lease_ids(transaction, _IN_STATE[JobState.FINISHED])


def leases_revived(transaction: Transaction) -> list[LeaseId]:
    """Open ones that have jobs without a proof."""
    return _lease_ids(transaction, _REVIVED)


def leases_arrived(transaction: Transaction) -> frozenset[LeaseId]:
    """Whose jobs wait for a bundle or data that has come."""
    return frozenset(_lease_ids(transaction, _ARRIVED))


def look_again(transaction: Transaction, digest: Digest, account: Address) -> None:
    """Jobs of the account that waited for these bytes count as new: it has uploaded them."""
    using = select(artifact_uses.c.job_id).where(artifact_uses.c.digest == digest)
    waiting = update(jobs).where(
        _waits_for(Wait.ARTIFACTS), jobs.c.renter == account, jobs.c.job_id.in_(using)
    )
    transaction.execute(waiting.values(detail=Wait.FRESH))


def _lease_ids(transaction: Transaction, query: Select[Any]) -> list[LeaseId]:
    return [LeaseId(row[0]) for row in transaction.execute(query)]


_ACTIVE: Final = (
    select(*COLUMNS, jobs.c.lease_id, jobs.c.wall_seconds, jobs.c.cancel_asked_at)
    .join(jobs, jobs.c.job_id == attempts.c.job_id)
    .where(attempts.c.state.in_(ACTIVE_ATTEMPTS))
    .order_by(attempts.c.fencing_token)
)


def active_attempts(transaction: Transaction) -> list[ActiveAttempt]:
    """All that is being run, oldest first."""
    return [
        ActiveAttempt(read_attempt(row), LeaseId(row.lease_id), row.wall_seconds, row.cancel_asked_at)
        for row in transaction.execute(_ACTIVE)
    ]


def _heads() -> Select[*tuple[Any, ...]]:
    queued = _leases_of(_is(JobState.QUEUED)).subquery("queued")
    waiting = jobs.alias("waiting")
    next_in_queue = (
        select(waiting.c.sequence)
        .where(
            waiting.c.state == literal_column("'queued'"),
            waiting.c.lease_id == queued.c.lease_id,
            waiting.c.not_before <= bindparam("now"),
        )
        .order_by(waiting.c.rank, waiting.c.sequence)
        .limit(1)
        .scalar_subquery()
    )
    made = select(func.coalesce(func.max(attempts.c.attempt), 0)).where(attempts.c.job_id == jobs.c.job_id)
    busy = exists().where(
        attempts.c.unit_id == leases.c.unit_id, attempts.c.state.in_(sorted(ACTIVE_ATTEMPTS))
    )
    return (
        select(
            jobs.c.job_id,
            jobs.c.lease_id,
            leases.c.unit_id,
            jobs.c.sequence,
            jobs.c.detail,
            jobs.c.cancel_asked_at,
            jobs.c.created_at,
            jobs.c.not_before,
            made.scalar_subquery().label("attempts_made"),
            UPLOADED.label("uploaded"),
        )
        .select_from(queued)
        .join(leases, leases.c.lease_id == queued.c.lease_id)
        .join(jobs, jobs.c.sequence == next_in_queue)
        .where(~busy)
        .order_by(jobs.c.sequence)
    )


_HEADS: Final = _heads()


def heads(transaction: Transaction, now: int) -> list[Head]:
    """Of each queue whose unit runs nothing, the next job that may start by `now`.

    The highest priority is next, and of equal ones the first that came in; the heads are in that last order.
    """
    return [
        Head(JobId(row[0]), LeaseId(row[1]), UnitId(row[2]), *row[3:9], uploaded=bool(row[9]))
        for row in transaction.execute(_HEADS, {"now": now})
    ]


def move(transaction: Transaction, step: Move, now: int) -> int:
    """How many went on."""
    if step.state != step.following:
        check_job_transition(step.state, step.following)
    values = {"lease": step.lease_id, "following": step.following, "why": step.detail, "now": now}
    return transaction.execute(_moving(step.state, step.reason, step.uploaded), values).rowcount


@cache
def _moving(state: JobState, reason: Wait | None, uploaded: bool) -> Update:
    chosen = _is(state) if reason is None else _waits_for(reason)
    query = update(jobs).where(chosen, jobs.c.lease_id == bindparam("lease"))
    return _to(query.where(UPLOADED) if uploaded else query)


def _to(query: Update) -> Update:
    return query.values(state=bindparam("following"), detail=bindparam("why"), updated_at=bindparam("now"))


_LATE: Final = _IDLE & (jobs.c.deadline < bindparam("before"))
_NEWS: Final = select(exists().where(_waits_for(Wait.FRESH)), exists().where(_LATE))
_EXPIRE: Final = _to(update(jobs).where(_LATE))


def news(transaction: Transaction, now: int) -> tuple[bool, bool]:
    """Whether there are jobs that nobody has looked at, and idle ones that are past their deadlines."""
    fresh, late = transaction.execute(_NEWS, {"before": now}).one()
    return bool(fresh), bool(late)


def expire(transaction: Transaction, before: int, now: int, detail: str) -> int:
    """How many did, their deadlines being earlier."""
    values = {"before": before, "following": JobState.EXPIRED, "why": detail, "now": now}
    return transaction.execute(_EXPIRE, values).rowcount


def _orphans(before: int) -> Sequence[ColumnElement[bool]]:
    indexed = exists().where(leases.c.lease_id == jobs.c.lease_id)
    return ORPHANED, jobs.c.created_at < before, ~indexed


def has_old_orphans(transaction: Transaction, before: int) -> bool:
    """Whether a job that came in earlier still waits for a lease that is not indexed."""
    query = select(jobs.c.job_id).where(*_orphans(before)).limit(1)
    return transaction.execute(query).first() is not None


def abandon_orphans(transaction: Transaction, before: int, now: int, detail: str) -> int:
    values = {"state": JobState.ABANDONED, "detail": detail, "updated_at": now}
    return transaction.execute(update(jobs).where(*_orphans(before)).values(values)).rowcount
