"""Which open jobs have their inputs here, uploaded by their own renters."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, select

from oracle.jobs import JobState
from oracle.store.artifact_tables import artifact_owners
from oracle.store.engine import Transaction
from oracle.store.tables import jobs
from protocol.units import JobId


def jobs_with_artifacts(transaction: Transaction) -> frozenset[JobId]:
    """Of the jobs that wait or are queued, those whose bundle and data are stored."""
    query = select(jobs.c.job_id).where(
        jobs.c.state.in_((JobState.WAITING, JobState.QUEUED)),
        _uploaded(jobs.c.bundle_digest),
        jobs.c.data_digest.is_(None) | _uploaded(jobs.c.data_digest),
    )
    return frozenset(JobId(row[0]) for row in transaction.execute(query))


def _uploaded(digest: ColumnElement[bytes]) -> ColumnElement[bool]:
    return exists().where(artifact_owners.c.digest == digest, artifact_owners.c.account == jobs.c.renter)
