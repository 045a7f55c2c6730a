"""Jobs: orders as they came in, where each stands, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import func, select, update

from oracle.jobs import UNFINISHED_JOBS, JobState, check_job_transition
from oracle.store.artifacts import use_artifacts
from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import jobs, leases
from protocol.signed import SignedOrder
from protocol.structs import Terms, from_json, to_json
from protocol.units import ZERO_DIGEST, Address, Digest, JobId, LeaseId, ProofHash


@dataclass(frozen=True, slots=True)
class OpenJob:
    """What the dispatcher needs to know of a job that has not ended. Instants in Unix seconds."""

    job_id: JobId
    lease_id: LeaseId
    renter: Address
    state: JobState
    detail: str
    bundle_digest: Digest
    data_digest: Digest | None
    deadline: int
    created_at: int
    not_before: int


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as it is stored. Instants in Unix seconds."""

    sequence: int
    job_id: JobId
    lease_id: LeaseId
    renter: Address
    state: JobState
    detail: str
    terms: Terms
    signed_order: SignedOrder
    created_at: int
    updated_at: int
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
_OPEN_COLUMNS = (
    jobs.c.job_id,
    jobs.c.lease_id,
    jobs.c.renter,
    jobs.c.state,
    jobs.c.detail,
    jobs.c.bundle_digest,
    jobs.c.data_digest,
    jobs.c.deadline,
    jobs.c.created_at,
    jobs.c.not_before,
)


def insert_job(
    transaction: Transaction,
    job_id: JobId,
    renter: Address,
    terms: Terms,
    signed: SignedOrder,
    now: int,
) -> None:
    """A new job, waiting. Does nothing where the job is known."""
    order = signed.order
    data_digest = order.data.ciphertext_digest
    row = {
        "job_id": job_id,
        "lease_id": order.lease_id,
        "renter": renter,
        "state": JobState.WAITING,
        "detail": "",
        "terms": json.dumps(to_json(terms)),
        "signed_order": json.dumps(signed.to_json()),
        "bundle_digest": order.bundle.ciphertext_digest,
        "data_digest": None if data_digest == ZERO_DIGEST else data_digest,
        "deadline": order.deadline,
        "created_at": now,
        "updated_at": now,
        "not_before": 0,
    }
    insert_new(transaction, jobs, row)
    named = {"bundle": order.bundle.ciphertext_digest}
    if data_digest != ZERO_DIGEST:
        named["data"] = data_digest
    use_artifacts(transaction, job_id, named)


def get_job(transaction: Transaction, job_id: JobId) -> JobEntry | None:
    row = transaction.execute(select(jobs).where(jobs.c.job_id == job_id)).first()
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


def list_open_jobs(transaction: Transaction) -> list[OpenJob]:
    """Every job that has not ended, in the order in which they came in."""
    query = select(*_OPEN_COLUMNS).where(jobs.c.state.in_(UNFINISHED_JOBS)).order_by(jobs.c.sequence)
    return [_open_job(row) for row in transaction.execute(query)]


def set_job_state(
    transaction: Transaction,
    job_id: JobId,
    following: JobState,
    now: int,
    detail: str = "",
    **changes: Any,
) -> None:
    """Raises InvariantBroken for a step that no job may take; to stay, with another detail, is none."""
    query = select(jobs.c.state).where(jobs.c.job_id == job_id)
    current = JobState(cast(str, transaction.execute(query).scalar_one()))
    if current != following:
        check_job_transition(current, following)
    values = {"state": following, "detail": detail, "updated_at": now, **changes}
    transaction.execute(update(jobs).where(jobs.c.job_id == job_id).values(values))


def count_jobs(transaction: Transaction, lease_id: LeaseId) -> int:
    query = select(func.count()).select_from(jobs).where(jobs.c.lease_id == lease_id)
    return int(transaction.execute(query).scalar_one())


def count_orphans(transaction: Transaction, renter: Address | None = None) -> int:
    """Waiting jobs whose lease is not indexed, of one renter or of all."""
    query = (
        select(func.count())
        .select_from(jobs.outerjoin(leases, leases.c.lease_id == jobs.c.lease_id))
        .where(jobs.c.state == JobState.WAITING, leases.c.lease_id.is_(None))
    )
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


def _open_job(row: Any) -> OpenJob:
    return OpenJob(
        job_id=JobId(row.job_id),
        lease_id=LeaseId(row.lease_id),
        renter=Address(row.renter),
        state=JobState(row.state),
        detail=row.detail,
        bundle_digest=Digest(row.bundle_digest),
        data_digest=None if row.data_digest is None else Digest(row.data_digest),
        deadline=row.deadline,
        created_at=row.created_at,
        not_before=row.not_before,
    )


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
        terms=from_json(Terms, json.loads(columns["terms"])),
        signed_order=SignedOrder.from_json(json.loads(columns["signed_order"])),
        created_at=columns["created_at"],
        updated_at=columns["updated_at"],
        outcome=columns["outcome"],
        proof_hash=None if proof_hash is None else ProofHash(proof_hash),
    )
