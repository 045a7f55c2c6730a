"""Uploads under way: how far each has come. One for each account and digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from oracle.store.artifact_tables import uploads
from oracle.store.dialects import insert_into
from oracle.store.engine import Transaction
from oracle.store.retention import is_leaving
from protocol.errors import ServiceUnavailable
from protocol.units import Address, Digest


@dataclass(frozen=True, slots=True)
class UploadEntry:
    """`touched_at`: when its last piece came in, Unix seconds."""

    upload_id: str
    account: Address
    digest: Digest
    size_bytes: int
    offset_bytes: int
    touched_at: int


def upload_id_of(account: Address, digest: Digest) -> str:
    """The same for the same account and bytes: who has lost the way back asks again and finds it."""
    return hashlib.sha256(account.encode() + digest).hexdigest()[:32]


def begin_upload(
    transaction: Transaction, account: Address, digest: Digest, size_bytes: int, now: int
) -> UploadEntry:
    """The upload as it stands: a new one, or the one that is under way. Its digest stays from now on.

    ServiceUnavailable while the artifact is being removed: it comes back after that.
    """
    if is_leaving(transaction, digest):
        raise ServiceUnavailable(
            f"artifact {digest.hex()} is being removed: try again", code="artifact_leaving"
        )
    upload_id = upload_id_of(account, digest)
    row = {
        "upload_id": upload_id,
        "account": account,
        "digest": digest,
        "size_bytes": size_bytes,
        "offset_bytes": 0,
        "touched_at": now,
    }
    renewed = (
        insert_into(transaction, uploads)
        .values(row)
        .on_conflict_do_update(index_elements=["upload_id"], set_={"touched_at": now})
    )
    transaction.execute(renewed)
    entry = get_upload(transaction, upload_id)
    assert entry is not None  # noqa: S101 - inserted above, in the same transaction
    return entry


def get_upload(transaction: Transaction, upload_id: str) -> UploadEntry | None:
    row = transaction.execute(select(uploads).where(uploads.c.upload_id == upload_id)).first()
    return None if row is None else _entry(row)


def move_upload(transaction: Transaction, entry: UploadEntry, offset_bytes: int, now: int) -> bool:
    """False where the upload is not any more where `entry` has it."""
    changed = transaction.execute(
        update(uploads)
        .where(uploads.c.upload_id == entry.upload_id, uploads.c.offset_bytes == entry.offset_bytes)
        .values(offset_bytes=offset_bytes, touched_at=now)
    )
    return changed.rowcount == 1


def end_upload(transaction: Transaction, upload_id: str) -> None:
    transaction.execute(delete(uploads).where(uploads.c.upload_id == upload_id))


def count_uploads(transaction: Transaction, account: Address) -> int:
    query = select(func.count()).select_from(uploads).where(uploads.c.account == account)
    return int(transaction.execute(query).scalar_one())


def end_idle_uploads(transaction: Transaction, touched_before: int) -> list[str]:
    """Ids of those that nobody has gone on with."""
    query = select(uploads.c.upload_id).where(uploads.c.touched_at < touched_before)
    found = [str(row[0]) for row in transaction.execute(query)]
    for upload_id in found:
        end_upload(transaction, upload_id)
    return found


def upload_ids(transaction: Transaction) -> frozenset[str]:
    return frozenset(str(row[0]) for row in transaction.execute(select(uploads.c.upload_id)))


def _entry(row: Any) -> UploadEntry:
    return UploadEntry(
        upload_id=row.upload_id,
        account=Address(row.account),
        digest=Digest(row.digest),
        size_bytes=row.size_bytes,
        offset_bytes=row.offset_bytes,
        touched_at=row.touched_at,
    )
