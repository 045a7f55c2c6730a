"""What workers have signed: receipts and heartbeats."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

from sqlalchemy import func, select

from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import heartbeats, leases, receipts
from protocol.signed import SignedHeartbeat, SignedReceipt
from protocol.units import Digest, JobId, LeaseId, UnitId, to_hex


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    signed: SignedReceipt
    digest: Digest
    fencing_token: int


def get_receipt(transaction: Transaction, job_id: JobId) -> StoredReceipt | None:
    row = transaction.execute(select(receipts).where(receipts.c.job_id == job_id)).first()
    if row is None:
        return None
    signed = SignedReceipt.from_json(json.loads(row.body))
    return StoredReceipt(signed, Digest(row.digest), row.fencing_token)


def insert_receipt(transaction: Transaction, job_id: JobId, receipt: StoredReceipt, now: int) -> None:
    row = {
        "job_id": job_id,
        "fencing_token": receipt.fencing_token,
        "digest": receipt.digest,
        "body": json.dumps(receipt.signed.to_json()),
        "received_at": now,
    }
    transaction.execute(receipts.insert().values(row))


def insert_heartbeat(transaction: Transaction, signed: SignedHeartbeat, now: int) -> bool:
    """False: one for this lease and block is stored already."""
    beat = signed.heartbeat
    row = {
        "lease_id": beat.lease_id,
        "block_number": beat.block_number,
        "body": json.dumps(signed.to_json()["heartbeat"]),
        "signature": to_hex(signed.signature),
        "received_at": now,
    }
    return insert_new(transaction, heartbeats, row)


def last_heartbeat_at(transaction: Transaction, lease_id: LeaseId) -> int | None:
    """When the newest came in, Unix seconds."""
    query = select(func.max(heartbeats.c.received_at)).where(heartbeats.c.lease_id == lease_id)
    return cast("int | None", transaction.execute(query).scalar())


def last_seen_at(transaction: Transaction, unit_id: UnitId) -> int | None:
    """When the newest heartbeat of the unit's worker came in, on whichever lease; Unix seconds."""
    newest = select(func.max(heartbeats.c.received_at)).where(heartbeats.c.lease_id == leases.c.lease_id)
    query = select(func.max(newest.scalar_subquery())).where(leases.c.unit_id == unit_id)
    return cast("int | None", transaction.execute(query).scalar())
