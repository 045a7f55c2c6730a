"""Which artifacts are still needed, since when the others are not, and how they leave without a race.

Needed is what is being uploaded; what a job refers to that has not ended; and what a job refers to whose
lease is not CLOSED (so that its proof is pending, disputable or disputed, or may still be posted), or has a
successor that is not: a failover resumes from the checkpoints of the lease before.

An artifact that was needless for a while goes in three steps, each of which can be taken again: its rows are
exchanged for one that says it is leaving, its bytes are removed, that row is removed. Uploads do not begin
meanwhile, and what is being uploaded does not leave.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update

from oracle.jobs import UNFINISHED_JOBS
from oracle.store.artifact_tables import (
    artifact_owners,
    artifact_uses,
    artifacts,
    leaving_artifacts,
    uploads,
)
from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.entities import get_leases, list_leases_of_status
from oracle.store.tables import jobs, leases
from protocol.structs import NO_LEASE, LeaseStatus
from protocol.units import Digest, LeaseId

_LIVE = (LeaseStatus.OPEN, LeaseStatus.BREACHED)
_CLOSED = LeaseStatus.CLOSED.name.lower()


def mark_unneeded(transaction: Transaction, now: int) -> None:
    """Afterwards `unneeded_since` is set for all that nothing needs, and for nothing else."""
    needed = _needed(_lease_ancestors(transaction))
    transaction.execute(
        update(artifacts).where(artifacts.c.unneeded_since.is_not(None), needed).values(unneeded_since=None)
    )
    transaction.execute(
        update(artifacts).where(artifacts.c.unneeded_since.is_(None), ~needed).values(unneeded_since=now)
    )


def expel_unneeded(transaction: Transaction, unneeded_before: int, limit: int) -> list[Digest]:
    """Forgets artifacts that nothing has needed and nobody has uploaded since: they leave."""
    recent = exists().where(
        artifact_owners.c.digest == artifacts.c.digest, artifact_owners.c.stored_at >= unneeded_before
    )
    stale = and_(artifacts.c.unneeded_since < unneeded_before, ~recent)
    needed = _needed(_lease_ancestors(transaction))
    free = select(artifacts.c.digest).where(stale, ~needed).limit(limit)
    leaving = [Digest(row[0]) for row in transaction.execute(free)]
    for digest in leaving:
        transaction.execute(delete(artifact_owners).where(artifact_owners.c.digest == digest))
        transaction.execute(delete(artifacts).where(artifacts.c.digest == digest))
        _insert_leaving(transaction, digest)
    return leaving


def expel_strays(transaction: Transaction, digests: Collection[Digest]) -> list[Digest]:
    """Those of the digests that no row knows leave too: bytes of an upload whose process was killed."""
    found: list[Digest] = []
    for digest in digests:
        known = select(1).where(
            exists().where(artifacts.c.digest == digest) | exists().where(uploads.c.digest == digest)
        )
        if transaction.execute(known).first() is None:
            _insert_leaving(transaction, digest)
            found.append(digest)
    return found


def leaving(transaction: Transaction) -> list[Digest]:
    return [Digest(row[0]) for row in transaction.execute(select(leaving_artifacts.c.digest))]


def is_leaving(transaction: Transaction, digest: Digest) -> bool:
    query = select(leaving_artifacts.c.digest).where(leaving_artifacts.c.digest == digest)
    return transaction.execute(query).first() is not None


def end_leaving(transaction: Transaction, digest: Digest) -> None:
    """Its bytes are gone."""
    transaction.execute(delete(leaving_artifacts).where(leaving_artifacts.c.digest == digest))


def _insert_leaving(transaction: Transaction, digest: Digest) -> None:
    insert_new(transaction, leaving_artifacts, {"digest": digest})


def _needed(ancestors: Collection[LeaseId]) -> ColumnElement[bool]:
    of_live_lease = exists().where(leases.c.lease_id == jobs.c.lease_id, leases.c.status != _CLOSED)
    by_job = (
        exists()
        .where(artifact_uses.c.digest == artifacts.c.digest, jobs.c.job_id == artifact_uses.c.job_id)
        .where(or_(jobs.c.state.in_(UNFINISHED_JOBS), of_live_lease, jobs.c.lease_id.in_(ancestors)))
    )
    return or_(by_job, exists().where(uploads.c.digest == artifacts.c.digest))


def _lease_ancestors(transaction: Transaction) -> set[LeaseId]:
    """Closed leases on which one that is not closed follows, however many lie between."""
    found: set[LeaseId] = set()
    fresh = {entry.terms.previous_lease_id for entry in list_leases_of_status(transaction, _LIVE)}
    while fresh := fresh - found - {NO_LEASE}:
        found |= fresh
        fresh = {entry.terms.previous_lease_id for entry in get_leases(transaction, fresh).values()}
    return found
