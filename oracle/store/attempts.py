"""Attempts at jobs: who runs which, under which fencing token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update

from oracle.jobs import ACTIVE_ATTEMPTS, AttemptState
from oracle.store.engine import Transaction
from oracle.store.tables import attempts
from protocol.units import JobId, UnitId


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    job_id: JobId
    attempt: int
    fencing_token: int
    unit_id: UnitId
    state: AttemptState
    detail: str
    created_at: int
    updated_at: int


_COLUMNS = (
    attempts.c.job_id,
    attempts.c.attempt,
    attempts.c.fencing_token,
    attempts.c.unit_id,
    attempts.c.state,
    attempts.c.detail,
    attempts.c.created_at,
    attempts.c.updated_at,
)


def add_attempt(transaction: Transaction, job_id: JobId, unit_id: UnitId, now: int) -> AttemptEntry:
    """The next attempt at the job, its fencing token higher than any given before."""
    last = select(func.coalesce(func.max(attempts.c.attempt), 0)).where(attempts.c.job_id == job_id)
    number = int(transaction.execute(last).scalar_one()) + 1
    row = {
        "job_id": job_id,
        "attempt": number,
        "unit_id": unit_id,
        "state": AttemptState.ASSIGNED,
        "detail": "",
        "created_at": now,
        "updated_at": now,
    }
    token = transaction.execute(
        attempts.insert().values(row).returning(attempts.c.fencing_token)
    ).scalar_one()
    return AttemptEntry(job_id, number, int(token), unit_id, AttemptState.ASSIGNED, "", now, now)


def latest_attempt(transaction: Transaction, job_id: JobId) -> AttemptEntry | None:
    query = select(*_COLUMNS).where(attempts.c.job_id == job_id).order_by(attempts.c.attempt.desc()).limit(1)
    row = transaction.execute(query).first()
    return None if row is None else _entry(row)


def latest_attempts(transaction: Transaction, job_ids: Iterable[JobId]) -> dict[JobId, AttemptEntry]:
    """Of each job that has one, its newest."""
    wanted = list(job_ids)
    found: dict[JobId, AttemptEntry] = {}
    for start in range(0, len(wanted), 500):
        query = (
            select(*_COLUMNS)
            .where(attempts.c.job_id.in_(wanted[start : start + 500]))
            .order_by(attempts.c.attempt)
        )
        found.update({entry.job_id: entry for entry in map(_entry, transaction.execute(query))})
    return found


def active_attempts(transaction: Transaction, unit_id: UnitId | None = None) -> list[AttemptEntry]:
    """What is being run, of one unit or of all, oldest first."""
    query = select(*_COLUMNS).where(attempts.c.state.in_(ACTIVE_ATTEMPTS)).order_by(attempts.c.fencing_token)
    if unit_id is not None:
        query = query.where(attempts.c.unit_id == unit_id)
    return [_entry(row) for row in transaction.execute(query)]


def set_attempt_state(
    transaction: Transaction, fencing_token: int, state: AttemptState, now: int, detail: str = ""
) -> None:
    values = {"state": state, "detail": detail, "updated_at": now}
    transaction.execute(update(attempts).where(attempts.c.fencing_token == fencing_token).values(values))


def _entry(row: Any) -> AttemptEntry:
    return AttemptEntry(
        job_id=JobId(row.job_id),
        attempt=row.attempt,
        fencing_token=row.fencing_token,
        unit_id=UnitId(row.unit_id),
        state=AttemptState(row.state),
        detail=row.detail,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
