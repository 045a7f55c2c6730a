"""The evidence of proofs, and the jobs that are proven by it once the chain holds the proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Select, exists, select

from oracle.jobs import JobState
from oracle.store.dialects import insert_into, insert_new
from oracle.store.engine import Transaction
from oracle.store.jobs import set_job_state
from oracle.store.tables import evidence, evidence_jobs, jobs, proofs, receipts
from protocol.units import Digest, JobId, LeaseId, ProofHash


def evidence_digest(transaction: Transaction, proof_hash: ProofHash) -> Digest | None:
    """SHA-256 of the stored file."""
    query = select(evidence.c.file_digest).where(evidence.c.proof_hash == proof_hash)
    found = transaction.execute(query).scalar()
    return None if found is None else Digest(cast(bytes, found))


def insert_evidence(
    transaction: Transaction,
    proof_hash: ProofHash,
    lease_id: LeaseId,
    file_digest: Digest,
    size_bytes: int,
    receipt_digests: Mapping[JobId, Digest],
    now: int,
) -> None:
    row = {
        "proof_hash": proof_hash,
        "lease_id": lease_id,
        "file_digest": file_digest,
        "size_bytes": size_bytes,
        "stored_at": now,
    }
    insert_new(transaction, evidence, row)
    rows = [
        {"proof_hash": proof_hash, "job_id": job_id, "receipt_digest": digest}
        for job_id, digest in receipt_digests.items()
    ]
    if rows:
        transaction.execute(insert_into(transaction, evidence_jobs).on_conflict_do_nothing(), rows)


def has_unmarked(transaction: Transaction) -> bool:
    """Whether `mark_jobs` would change anything."""
    return any(transaction.execute(query.limit(1)).first() for query in (_newly_proven(), _unproven()))


def mark_jobs(transaction: Transaction, now: int) -> None:
    """Finished jobs whose proof is on the chain are proven; those whose proof a fork undid are not."""
    for job_id, proof_hash in transaction.execute(_newly_proven()).all():
        set_job_state(transaction, JobId(job_id), JobState.PROVEN, now, proof_hash=proof_hash)
    for (job_id,) in transaction.execute(_unproven()).all():
        set_job_state(transaction, JobId(job_id), JobState.FINISHED, now, proof_hash=None)


def _newly_proven() -> Select[Any, Any]:
    return (
        select(evidence_jobs.c.job_id, evidence_jobs.c.proof_hash)
        .join(proofs, proofs.c.proof_hash == evidence_jobs.c.proof_hash)
        .join(evidence, evidence.c.proof_hash == evidence_jobs.c.proof_hash)
        .join(jobs, jobs.c.job_id == evidence_jobs.c.job_id)
        .join(receipts, receipts.c.job_id == evidence_jobs.c.job_id)
        .where(
            jobs.c.state == JobState.FINISHED,
            jobs.c.lease_id == evidence.c.lease_id,
            receipts.c.digest == evidence_jobs.c.receipt_digest,
        )
    )


def _unproven() -> Select[Any]:
    gone = ~exists().where(proofs.c.proof_hash == jobs.c.proof_hash)
    return select(jobs.c.job_id).where(jobs.c.state == JobState.PROVEN, gone)
