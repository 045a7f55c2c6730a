"""Signed receipts: sent until the oracle answers, then waiting for the proof that carries them."""

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from protocol.json_text import canonical_json, parse_json
from protocol.signed import SignedReceipt
from protocol.units import JobId, LeaseId, ProofHash
from worker.journal.attempts import AttemptState, Begin


class ReceiptState(StrEnum):
    """`STALE`: the oracle has given the job to another attempt; no proof may carry the receipt."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    job_id: JobId
    attempt: int
    lease_id: LeaseId
    fencing_token: int
    signed: SignedReceipt
    state: ReceiptState
    proof_hash: ProofHash | None


class ReceiptRows:
    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def add(self, signed: SignedReceipt, fencing_token: int) -> None:
        """The attempt is finished from now on: both in one transaction. A receipt that is there is kept."""
        receipt = signed.receipt
        with self._begin() as db:
            db.execute(
                "INSERT INTO receipts (job_id, attempt, lease_id, fencing_token, signed, state) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    receipt.order_digest,
                    receipt.attempt,
                    receipt.lease_id,
                    fencing_token,
                    canonical_json(signed.to_json()),
                    ReceiptState.WAITING,
                ),
            )
            db.execute(
                "UPDATE attempts SET state = ? WHERE job_id = ? AND attempt = ? AND state = ?",
                (AttemptState.FINISHED, receipt.order_digest, receipt.attempt, AttemptState.UPLOADING),
            )

    def get(self, job_id: JobId, attempt: int) -> ReceiptRow | None:
        with self._begin() as db:
            row = db.execute(
                "SELECT * FROM receipts WHERE job_id = ? AND attempt = ?", (job_id, attempt)
            ).fetchone()
        return None if row is None else _receipt(row)

    def unacknowledged(self) -> list[ReceiptRow]:
        with self._begin() as db:
            rows = db.execute(
                "SELECT * FROM receipts WHERE state = ? ORDER BY rowid", (ReceiptState.WAITING,)
            )
            return [_receipt(row) for row in rows]

    def acknowledge(self, job_id: JobId, attempt: int, state: ReceiptState, code: str) -> None:
        """An answer counts once: the first."""
        with self._begin() as db:
            db.execute(
                "UPDATE receipts SET state = ?, code = ? WHERE job_id = ? AND attempt = ? AND state = ?",
                (state, code, job_id, attempt, ReceiptState.WAITING),
            )

    def count_unproven(self, lease_id: LeaseId) -> dict[ReceiptState, int]:
        """Of those in no proof: what `unproven` would read is not read."""
        with self._begin() as db:
            rows = db.execute(
                "SELECT state, count(*) AS count FROM receipts WHERE lease_id = ? AND proof_hash IS NULL "
                "GROUP BY state",
                (lease_id,),
            )
            return {ReceiptState(row["state"]): int(row["count"]) for row in rows}

    def unproven(self, lease_id: LeaseId) -> list[ReceiptRow]:
        """Not stale and in no proof, oldest first."""
        with self._begin() as db:
            rows = db.execute(
                "SELECT * FROM receipts WHERE lease_id = ? AND proof_hash IS NULL AND state != ? "
                "ORDER BY rowid",
                (lease_id, ReceiptState.STALE),
            )
            return [_receipt(row) for row in rows]


def _receipt(row: sqlite3.Row) -> ReceiptRow:
    proof_hash = row["proof_hash"]
    return ReceiptRow(
        job_id=JobId(row["job_id"]),
        attempt=row["attempt"],
        lease_id=LeaseId(row["lease_id"]),
        fencing_token=row["fencing_token"],
        signed=SignedReceipt.from_json(parse_json(row["signed"], "receipt")),
        state=ReceiptState(row["state"]),
        proof_hash=None if proof_hash is None else ProofHash(proof_hash),
    )
