"""Which artifacts are stored, who uploaded them, which jobs refer to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from sqlalchemy import delete, exists, func, select

from oracle.store.dialects import insert_into, insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import artifact_owners, artifact_uses, artifacts, jobs, leases, units
from protocol.units import Address, Digest, JobId


def add_artifact(
    transaction: Transaction, digest: Digest, size_bytes: int, account: Address, now: int
) -> None:
    """The bytes are stored, and `account` has shown to possess them."""
    row = {"digest": digest, "size_bytes": size_bytes, "stored_at": now}
    insert_new(transaction, artifacts, row)
    owner = insert_into(transaction, artifact_owners).values(
        {"digest": digest, "account": account, "stored_at": now}
    )
    transaction.execute(
        owner.on_conflict_do_update(index_elements=["digest", "account"], set_={"stored_at": now})
    )


def artifact_size(transaction: Transaction, digest: Digest) -> int | None:
    """Bytes, or None where it is not stored."""
    query = select(artifacts.c.size_bytes).where(artifacts.c.digest == digest)
    return cast("int | None", transaction.execute(query).scalar())


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
    """What counts toward an account's quota."""
    query = (
        select(func.coalesce(func.sum(artifacts.c.size_bytes), 0))
        .join(artifact_owners, artifact_owners.c.digest == artifacts.c.digest)
        .where(artifact_owners.c.account == account)
    )
    return int(transaction.execute(query).scalar_one())


def is_newcomer(transaction: Transaction, account: Address) -> bool:
    """True: the account is of no lease and no unit."""
    known = select(1).where(
        exists().where(leases.c.renter == account) | exists().where(units.c.worker == account)
    )
    return transaction.execute(known).first() is None


def newcomers_bytes(transaction: Transaction) -> int:
    """What the accounts that are of no lease and no unit have stored together."""
    query = (
        select(func.coalesce(func.sum(artifacts.c.size_bytes), 0))
        .join(artifact_owners, artifact_owners.c.digest == artifacts.c.digest)
        .where(
            ~exists().where(leases.c.renter == artifact_owners.c.account),
            ~exists().where(units.c.worker == artifact_owners.c.account),
        )
    )
    return int(transaction.execute(query).scalar_one())


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


def delete_unused_artifacts(transaction: Transaction, stored_before: int) -> list[Digest]:
    """Forgets artifacts that no job refers to and that nobody has uploaded lately."""
    used = exists().where(artifact_uses.c.digest == artifacts.c.digest)
    recent = exists().where(
        artifact_owners.c.digest == artifacts.c.digest, artifact_owners.c.stored_at >= stored_before
    )
    query = select(artifacts.c.digest).where(artifacts.c.stored_at < stored_before, ~used, ~recent)
    digests = [Digest(row[0]) for row in transaction.execute(query)]
    for digest in digests:
        transaction.execute(delete(artifact_owners).where(artifact_owners.c.digest == digest))
        transaction.execute(delete(artifacts).where(artifacts.c.digest == digest))
    return digests
