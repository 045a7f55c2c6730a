"""The evidence of proofs, and the jobs that are proven by it once the chain holds the proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Select, bindparam, exists, select, update

from oracle.jobs import JobState
from oracle.store.dialects import insert_into, insert_new
from oracle.store.engine import Transaction
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


def has_unmarked(transaction: Transaction, suspect_from: int | None) -> bool:
    """Whether `mark_jobs` would change anything."""
    if suspect_from is not None:
        return bool(transaction.execute(_NEWS, {"suspect_from": suspect_from}).scalar_one())
    queries = (_newly_proven(everywhere=True), _taken_back(0))
    return any(transaction.execute(query.limit(1)).first() for query in queries)


def mark_jobs(transaction: Transaction, now: int, block: int, suspect_from: int | None) -> int:
    """Finished jobs whose proof is on the chain are proven; those whose proof a fork undid are not.

    How many that were. `block` is the last that is indexed. Proofs marked before block `suspect_from` are
    known to be there still; None: none are.
    """
    moved = 0
    for (proof_hash,) in transaction.execute(_taken_back(suspect_from or 0)).all():
        named = select(evidence_jobs.c.job_id).where(evidence_jobs.c.proof_hash == proof_hash)
        moved += _move(transaction, jobs.c.proof_hash == proof_hash, named, now, _FINISHED)
        _note(transaction, proof_hash, None)
    for (proof_hash,) in transaction.execute(_newly_proven(everywhere=suspect_from is None)).all():
        matching = _matching().where(evidence_jobs.c.proof_hash == proof_hash)
        proven = {"state": JobState.PROVEN, "detail": "", "proof_hash": proof_hash}
        moved += _move(transaction, jobs.c.state.in_(_UNMARKED), matching, now, proven)
        _note(transaction, proof_hash, block)
    return moved


def look_again(transaction: Transaction, job_id: JobId) -> None:
    """The job's receipt has come: evidence that names it may have been here, and its proof on the chain."""
    naming = select(evidence_jobs.c.proof_hash).where(evidence_jobs.c.job_id == job_id)
    transaction.execute(update(evidence).where(evidence.c.proof_hash.in_(naming)).values(proven_block=None))


_UNMARKED: Final = (JobState.FINISHED, JobState.UNPROVEN)
_FINISHED: Final = {"state": JobState.FINISHED, "detail": "", "proof_hash": None}


def _matching() -> Select[Any]:
    """Jobs that evidence names with the receipts that they have."""
    return (
        select(evidence_jobs.c.job_id)
        .join(receipts, receipts.c.job_id == evidence_jobs.c.job_id)
        .join(evidence, evidence.c.proof_hash == evidence_jobs.c.proof_hash)
        .where(receipts.c.digest == evidence_jobs.c.receipt_digest, evidence.c.lease_id == jobs.c.lease_id)
        .correlate(jobs)
    )


def _newly_proven(*, everywhere: bool) -> Select[Any]:
    """Proofs on the chain whose jobs are not marked, by what was noted, or by the jobs themselves."""
    on_chain = exists().where(proofs.c.proof_hash == evidence.c.proof_hash)
    unmarked = evidence.c.proven_block.is_(None)
    if everywhere:
        other = evidence.alias("other")
        named = (
            select(other.c.proof_hash)
            .join(evidence_jobs, evidence_jobs.c.proof_hash == other.c.proof_hash)
            .join(jobs, jobs.c.job_id == evidence_jobs.c.job_id)
            .join(receipts, receipts.c.job_id == evidence_jobs.c.job_id)
            .where(
                jobs.c.state.in_(_UNMARKED),
                jobs.c.lease_id == other.c.lease_id,
                receipts.c.digest == evidence_jobs.c.receipt_digest,
            )
        )
        unmarked = unmarked | evidence.c.proof_hash.in_(named)
    return select(evidence.c.proof_hash).where(unmarked, on_chain)


def _taken_back(suspect_from: int | ColumnElement[int]) -> Select[Any]:
    gone = ~exists().where(proofs.c.proof_hash == evidence.c.proof_hash)
    return select(evidence.c.proof_hash).where(evidence.c.proven_block >= suspect_from, gone)


_NEWS: Final = select(
    _newly_proven(everywhere=False).exists() | _taken_back(bindparam("suspect_from")).exists()
)


def _move(
    transaction: Transaction,
    chosen: ColumnElement[bool],
    named: Select[Any],
    now: int,
    values: Mapping[str, Any],
) -> int:
    query = update(jobs).where(chosen, jobs.c.job_id.in_(named)).values(**values, updated_at=now)
    return transaction.execute(query).rowcount


def _note(transaction: Transaction, proof_hash: bytes, block: int | None) -> None:
    noted = update(evidence).where(evidence.c.proof_hash == proof_hash).values(proven_block=block)
    transaction.execute(noted)
