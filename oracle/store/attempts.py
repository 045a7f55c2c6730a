"""Attempts at jobs: who runs which, under which fencing token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, update

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


COLUMNS = (
    attempts.c.job_id,
    attempts.c.attempt,
    attempts.c.fencing_token,
    attempts.c.unit_id,
    attempts.c.state,
    attempts.c.detail,
    attempts.c.created_at,
    attempts.c.updated_at,
)
_OF_JOB = attempts.c.job_id == bindparam("job")
_LAST = select(func.coalesce(func.max(attempts.c.attempt), 0)).where(_OF_JOB)
_LATEST = select(*COLUMNS).where(_OF_JOB).order_by(attempts.c.attempt.desc()).limit(1)
_ADD = attempts.insert().returning(attempts.c.fencing_token)
_SET_STATE = (
    update(attempts)
    .where(attempts.c.fencing_token == bindparam("token"))
    .values(state=bindparam("following"), detail=bindparam("why"), updated_at=bindparam("now"))
)


def add_attempt(transaction: Transaction, job_id: JobId, unit_id: UnitId, now: int) -> AttemptEntry:
    """The next attempt at the job, its fencing token higher than any given before."""
    number = int(transaction.execute(_LAST, {"job": job_id}).scalar_one()) + 1
    row = {
        "job_id": job_id,
        "attempt": number,
        "unit_id": unit_id,
        "state": AttemptState.ASSIGNED,
        "detail": "",
        "created_at": now,
        "updated_at": now,
    }
    token = transaction.execute(_ADD, row).scalar_one()
    return AttemptEntry(job_id, number, int(token), unit_id, AttemptState.ASSIGNED, "", now, now)


def latest_attempt(transaction: Transaction, job_id: JobId) -> AttemptEntry | None:
    row = transaction.execute(_LATEST, {"job": job_id}).first()
    return None if row is None else read_attempt(row)


def active_attempts(transaction: Transaction, unit_id: UnitId | None = None) -> list[AttemptEntry]:
    """What is being run, of one unit or of all, oldest first."""
    query = select(*COLUMNS).where(attempts.c.state.in_(ACTIVE_ATTEMPTS)).order_by(attempts.c.fencing_token)
    if unit_id is not None:
        query = query.where(attempts.c.unit_id == unit_id)
    return [read_attempt(row) for row in transaction.execute(query)]


def set_attempt_state(
    transaction: Transaction, fencing_token: int, state: AttemptState, now: int, detail: str = ""
) -> None:
    values = {"token": fencing_token, "following": state, "why": detail, "now": now}
    transaction.execute(_SET_STATE, values)


def read_attempt(row: Any) -> AttemptEntry:
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
