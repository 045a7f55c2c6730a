"""Which artifacts are stored, who uploaded them, which jobs refer to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, select, update

from oracle.store.artifact_tables import artifact_owners, artifact_uses, artifacts, uploads
from oracle.store.dialects import insert_into
from oracle.store.engine import Transaction
from oracle.store.queues import look_again
from oracle.store.tables import jobs, leases, units
from protocol.units import Address, Digest, JobId


@dataclass(frozen=True, slots=True)
class ArtifactEntry:
    """`block_digests` None: they have not been taken."""

    size_bytes: int
    block_digests: bytes | None


def add_artifact(
    transaction: Transaction,
    digest: Digest,
    size_bytes: int,
    account: Address,
    now: int,
    block_digests: bytes | None = None,
) -> None:
    """The bytes are stored, and `account` has shown to possess them."""
    row = {"digest": digest, "size_bytes": size_bytes, "stored_at": now, "block_digests": block_digests}
    stored = insert_into(transaction, artifacts).values(row)
    taken = {"block_digests": func.coalesce(stored.excluded.block_digests, artifacts.c.block_digests)}
    transaction.execute(stored.on_conflict_do_update(index_elements=["digest"], set_=taken))
    owner = insert_into(transaction, artifact_owners).values(
        {"digest": digest, "account": account, "stored_at": now}
    )
    transaction.execute(
        owner.on_conflict_do_update(index_elements=["digest", "account"], set_={"stored_at": now})
    )
    look_again(transaction, digest, account)


def get_artifact(transaction: Transaction, digest: Digest) -> ArtifactEntry | None:
    query = select(artifacts.c.size_bytes, artifacts.c.block_digests).where(artifacts.c.digest == digest)
    row = transaction.execute(query).first()
    return None if row is None else ArtifactEntry(row.size_bytes, row.block_digests)


def set_block_digests(transaction: Transaction, digest: Digest, block_digests: bytes | None) -> None:
    """None: the bytes are in doubt, and are measured as a whole before they are read again."""
    transaction.execute(
        update(artifacts).where(artifacts.c.digest == digest).values(block_digests=block_digests)
    )


def owns_artifact(transaction: Transaction, digest: Digest, account: Address) -> bool:
    query = select(artifact_owners.c.digest).where(
        artifact_owners.c.digest == digest, artifact_owners.c.account == account
    )
    return transaction.execute(query).first() is not None


def owned_sizes(transaction: Transaction, digests: Iterable[Digest], account: Address) -> dict[Digest, int]:
    """Those of the digests whose bytes `account` has uploaded."""
    wanted = list(digests)
    found: dict[Digest, int] = {}
    for start in range(0, len(wanted), 500):
        query = (
            select(artifacts.c.digest, artifacts.c.size_bytes)
            .join(artifact_owners, artifact_owners.c.digest == artifacts.c.digest)
            .where(artifact_owners.c.account == account, artifacts.c.digest.in_(wanted[start : start + 500]))
        )
        found.update({Digest(row[0]): int(row[1]) for row in transaction.execute(query)})
    return found


def used_bytes(transaction: Transaction, account: Address) -> int:
    """What counts toward an account's quota: what it has stored, and what its uploads will be."""
    stored = (
        select(func.coalesce(func.sum(artifacts.c.size_bytes), 0))
        .join(artifact_owners, artifact_owners.c.digest == artifacts.c.digest)
        .where(artifact_owners.c.account == account)
    )
    coming = select(func.coalesce(func.sum(uploads.c.size_bytes), 0)).where(uploads.c.account == account)
    return sum(int(transaction.execute(query).scalar_one()) for query in (stored, coming))


def is_newcomer(transaction: Transaction, account: Address) -> bool:
    """True: the account is of no lease and no unit."""
    known = select(1).where(
        exists().where(leases.c.renter == account) | exists().where(units.c.worker == account)
    )
    return transaction.execute(known).first() is None


def newcomers_bytes(transaction: Transaction) -> int:
    """What the accounts that are of no lease and no unit have stored and are storing together."""
    stored = (
        select(func.coalesce(func.sum(artifacts.c.size_bytes), 0))
        .join(artifact_owners, artifact_owners.c.digest == artifacts.c.digest)
        .where(_of_newcomer(artifact_owners.c.account))
    )
    coming = select(func.coalesce(func.sum(uploads.c.size_bytes), 0)).where(_of_newcomer(uploads.c.account))
    return sum(int(transaction.execute(query).scalar_one()) for query in (stored, coming))


def use_artifacts(transaction: Transaction, job_id: JobId, named: Mapping[str, Digest]) -> None:
    rows = [{"job_id": job_id, "name": name, "digest": digest} for name, digest in named.items()]
    if rows:
        transaction.execute(insert_into(transaction, artifact_uses).on_conflict_do_nothing(), rows)


def may_read_artifact(transaction: Transaction, digest: Digest, account: Address) -> bool:
    """The uploader; and the renter and worker of a job that refers to it, where one of the two uploaded it.

    The last condition: naming the digest of a stranger's bundle in an order of one's own opens nothing.
    """
    if owns_artifact(transaction, digest, account):
        return True
    uploaded_by = (
        select(1)
        .where(artifact_owners.c.digest == digest)
        .where((artifact_owners.c.account == jobs.c.renter) | (artifact_owners.c.account == units.c.worker))
        .correlate(jobs, units)
    )
    query = (
        select(1)
        .select_from(artifact_uses)
        .join(jobs, jobs.c.job_id == artifact_uses.c.job_id)
        .join(leases, leases.c.lease_id == jobs.c.lease_id)
        .join(units, units.c.unit_id == leases.c.unit_id)
        .where(
            artifact_uses.c.digest == digest,
            (jobs.c.renter == account) | (units.c.worker == account),
            uploaded_by.exists(),
        )
    )
    return transaction.execute(query).first() is not None


def _of_newcomer(account: ColumnElement[str]) -> ColumnElement[bool]:
    return ~exists().where(leases.c.renter == account) & ~exists().where(units.c.worker == account)
