"""Jobs: orders as they came in, where each stands, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import bindparam, func, literal_column, select, update

from oracle.jobs import MAX_PRIORITY, UNFINISHED_JOBS, JobState, Wait, check_job_transition
from oracle.store.artifact_tables import artifact_uses
from oracle.store.dialects import insert_into
from oracle.store.engine import Transaction
from oracle.store.tables import jobs, leases
from protocol.signed import SignedOrder
from protocol.structs import Terms, from_json, to_json
from protocol.units import ZERO_DIGEST, Address, Digest, JobId, LeaseId, ProofHash

CANCELLED_BY_RENTER = "cancelled by the renter"

_OF_ID = jobs.c.job_id == bindparam("job")
_JOB = select(jobs).where(_OF_ID)
_STATE = select(jobs.c.state).where(_OF_ID)
_LAST_NUMBER = (
    select(jobs.c.number)
    .where(jobs.c.lease_id == bindparam("lease"))
    .order_by(jobs.c.sequence.desc())
    .limit(1)
)
_SET_STATE = (
    update(jobs)
    .where(_OF_ID)
    .values(state=bindparam("following"), detail=bindparam("why"), updated_at=bindparam("now"))
)

# Without parameters, so that the indexes of such rows serve.
_WAITING = jobs.c.state == literal_column("'waiting'")
ORPHANED = _WAITING & (jobs.c.detail == literal_column(f"'{Wait.LEASE}'"))


@dataclass(frozen=True, slots=True)
class NewJob:
    """An order as it came in, by whom and when (Unix seconds). Of two, the higher priority goes first."""

    job_id: JobId
    renter: Address
    terms: Terms
    signed: SignedOrder
    now: int
    priority: int = 0


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as it is stored. Instants in Unix seconds; `cancel_asked_at` None: nobody has asked."""

    sequence: int
    job_id: JobId
    lease_id: LeaseId
    renter: Address
    state: JobState
    detail: str
    priority: int
    terms: Terms
    signed_order: SignedOrder
    created_at: int
    updated_at: int
    cancel_asked_at: int | None
    outcome: str | None
    proof_hash: ProofHash | None


@dataclass(frozen=True, slots=True)
class JobChange:
    """Where a job stands since `updated_at`, Unix seconds."""

    job_id: JobId
    sequence: int
    state: JobState
    detail: str
    updated_at: int


_CHANGE_COLUMNS = (
    jobs.c.job_id,
    jobs.c.sequence,
    jobs.c.state,
    jobs.c.detail,
    jobs.c.updated_at,
)


def insert_job(
    transaction: Transaction,
    job_id: JobId,
    renter: Address,
    terms: Terms,
    signed: SignedOrder,
    now: int,
    priority: int = 0,
) -> None:
    """A new job, waiting. Does nothing where the job is known."""
    if not job_states(transaction, [job_id]):
        insert_jobs(transaction, [NewJob(job_id, renter, terms, signed, now, priority)])


def insert_jobs(transaction: Transaction, fresh: Sequence[NewJob]) -> None:
    """New jobs of one lease, waiting; none of them is known yet, and no two are the same."""
    if not fresh:
        return
    lease_id = fresh[0].signed.order.lease_id
    indexed = transaction.execute(select(leases.c.lease_id).where(leases.c.lease_id == lease_id)).first()
    common = {
        "state": JobState.WAITING,
        "detail": Wait.LEASE if indexed is None else Wait.FRESH,
        "not_before": 0,
    }
    first = count_jobs(transaction, lease_id) + 1
    rows = [{**_row(job), **common, "number": number} for number, job in enumerate(fresh, first)]
    transaction.execute(jobs.insert(), rows)
    uses = [
        {"job_id": job.job_id, "name": name, "digest": digest}
        for job in fresh
        for name, digest in _inputs(job.signed).items()
    ]
    transaction.execute(insert_into(transaction, artifact_uses).on_conflict_do_nothing(), uses)


def _row(job: NewJob) -> dict[str, Any]:
    order, inputs = job.signed.order, _inputs(job.signed)
    return {
        "job_id": job.job_id,
        "lease_id": order.lease_id,
        "renter": job.renter,
        "rank": MAX_PRIORITY - job.priority,
        "terms": json.dumps(to_json(job.terms)),
        "signed_order": json.dumps(job.signed.to_json()),
        "bundle_digest": inputs["bundle"],
        "data_digest": inputs.get("data"),
        "wall_seconds": order.limits.wall_seconds,
        "deadline": order.deadline,
        "created_at": job.now,
        "updated_at": job.now,
    }


def _inputs(signed: SignedOrder) -> dict[str, Digest]:
    """What must be uploaded before the job can run, by its name."""
    bundle, data = signed.order.bundle.ciphertext_digest, signed.order.data.ciphertext_digest
    return {"bundle": bundle} if data == ZERO_DIGEST else {"bundle": bundle, "data": data}


def get_job(transaction: Transaction, job_id: JobId) -> JobEntry | None:
    row = transaction.execute(_JOB, {"job": job_id}).first()
    return None if row is None else _entry(row)


def list_jobs(
    transaction: Transaction, lease_id: LeaseId, renter: Address | None, after: int, limit: int
) -> list[JobEntry]:
    """Of one renter or of all, in the order in which they came in; `after`: sequence of the last one seen."""
    query = select(jobs).where(jobs.c.lease_id == lease_id, jobs.c.sequence > after)
    if renter is not None:
        query = query.where(jobs.c.renter == renter)
    return [_entry(row) for row in transaction.execute(query.order_by(jobs.c.sequence).limit(limit))]


def list_changes(
    transaction: Transaction,
    lease_id: LeaseId,
    renter: Address | None,
    after: tuple[int, int],
    until: int,
    limit: int,
) -> list[JobChange]:
    """Jobs of the lease, of one renter or of all, as they last changed up to `until` (Unix seconds).

    In that order; `after` is time and sequence of the last one seen.
    """
    changed_at, sequence = after
    query = select(*_CHANGE_COLUMNS).where(
        jobs.c.lease_id == lease_id,
        (jobs.c.updated_at > changed_at) | ((jobs.c.updated_at == changed_at) & (jobs.c.sequence > sequence)),
        jobs.c.updated_at <= until,
    )
    if renter is not None:
        query = query.where(jobs.c.renter == renter)
    query = query.order_by(jobs.c.updated_at, jobs.c.sequence).limit(limit)
    return [JobChange(JobId(r[0]), r[1], JobState(r[2]), r[3], r[4]) for r in transaction.execute(query)]


def has_unfinished(transaction: Transaction, lease_id: LeaseId, renter: Address | None) -> bool:
    query = select(jobs.c.job_id).where(jobs.c.lease_id == lease_id, jobs.c.state.in_(UNFINISHED_JOBS))
    if renter is not None:
        query = query.where(jobs.c.renter == renter)
    return transaction.execute(query.limit(1)).first() is not None


def count_states(transaction: Transaction) -> dict[JobState, int]:
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    return {JobState(row[0]): int(row[1]) for row in transaction.execute(query)}


def ask_cancel(transaction: Transaction, job: JobEntry, now: int) -> None:
    """Afterwards the job is cancelled, or its attempt is about to end; one that has ended stays as it is."""
    if job.state in (JobState.WAITING, JobState.QUEUED):
        set_job_state(
            transaction, job.job_id, JobState.CANCELLED, now, CANCELLED_BY_RENTER, cancel_asked_at=now
        )
    elif job.state in UNFINISHED_JOBS and job.cancel_asked_at is None:
        asked = {"cancel_asked_at": now, "updated_at": now}
        transaction.execute(update(jobs).where(jobs.c.job_id == job.job_id).values(asked))


def is_cancel_asked(transaction: Transaction, job_id: JobId) -> bool:
    asked = select(jobs.c.cancel_asked_at).where(jobs.c.job_id == job_id)
    return transaction.execute(asked).scalar_one() is not None


def set_priority(transaction: Transaction, job_id: JobId, priority: int) -> None:
    """Of a job that has not ended; what runs goes on."""
    changed = update(jobs).where(jobs.c.job_id == job_id, jobs.c.state.in_(UNFINISHED_JOBS))
    transaction.execute(changed.values(rank=MAX_PRIORITY - priority))


def set_job_state(
    transaction: Transaction,
    job_id: JobId,
    following: JobState,
    now: int,
    detail: str = "",
    **changes: Any,
) -> None:
    """Raises InvariantBroken for a step that no job may take; to stay, with another detail, is none."""
    current = JobState(cast(str, transaction.execute(_STATE, {"job": job_id}).scalar_one()))
    if current != following:
        check_job_transition(current, following)
    statement = _SET_STATE.values(changes) if changes else _SET_STATE
    transaction.execute(statement, {"job": job_id, "following": following, "why": detail, "now": now})


def count_jobs(transaction: Transaction, lease_id: LeaseId) -> int:
    """By the number of the lease's last."""
    return int(transaction.execute(_LAST_NUMBER, {"lease": lease_id}).scalar() or 0)


def count_orphans(transaction: Transaction, renter: Address | None = None) -> int:
    """Waiting jobs whose lease was not indexed when they were last looked at, of one renter or of all."""
    query = select(func.count()).select_from(jobs).where(ORPHANED)
    if renter is not None:
        query = query.where(jobs.c.renter == renter)
    return int(transaction.execute(query).scalar_one())


def job_states(transaction: Transaction, job_ids: Iterable[JobId]) -> dict[JobId, JobState]:
    wanted = list(job_ids)
    found: dict[JobId, JobState] = {}
    for start in range(0, len(wanted), 500):
        query = select(jobs.c.job_id, jobs.c.state).where(jobs.c.job_id.in_(wanted[start : start + 500]))
        found.update({JobId(row[0]): JobState(row[1]) for row in transaction.execute(query)})
    return found


def _entry(row: Any) -> JobEntry:
    columns = row._mapping
    proof_hash = columns["proof_hash"]
    return JobEntry(
        sequence=columns["sequence"],
        job_id=JobId(columns["job_id"]),
        lease_id=LeaseId(columns["lease_id"]),
        renter=Address(columns["renter"]),
        state=JobState(columns["state"]),
        detail=columns["detail"],
        priority=MAX_PRIORITY - columns["rank"],
        terms=from_json(Terms, json.loads(columns["terms"])),
        signed_order=SignedOrder.from_json(json.loads(columns["signed_order"])),
        created_at=columns["created_at"],
        updated_at=columns["updated_at"],
        cancel_asked_at=columns["cancel_asked_at"],
        outcome=columns["outcome"],
        proof_hash=None if proof_hash is None else ProofHash(proof_hash),
    )
