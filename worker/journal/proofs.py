"""Proofs from the moment they are made until the chain has them."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.json_text import canonical_json, parse_json
from protocol.structs import CompletionProof, from_json, to_json
from protocol.units import JobId, LeaseId, ProofHash
from worker.journal.attempts import Begin


class ProofStage(StrEnum):
    """`BARE`: on the chain, its evidence not yet with the oracle. `VOID`: the chain will not take it; what it
    carried is free for the next one.
    """

    PREPARED = "prepared"
    UPLOADED = "uploaded"
    BARE = "bare"
    POSTED = "posted"
    VOID = "void"


OPEN_STAGES: Final = (ProofStage.PREPARED, ProofStage.UPLOADED)


@dataclass(frozen=True, slots=True)
class ProofRow:
    proof_hash: ProofHash
    lease_id: LeaseId
    proof: CompletionProof
    evidence: bytes
    stage: ProofStage
    prepared_at: int


class ProofRows:
    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def prepare(
        self,
        row: ProofRow,
        receipts: Sequence[tuple[JobId, int]],
        heartbeat_blocks: Sequence[int],
    ) -> None:
        """The proof, and that these receipts and heartbeats are in it: all in one transaction."""
        with self._begin() as db:
            db.execute(
                "INSERT OR REPLACE INTO proofs (proof_hash, lease_id, proof, evidence, stage, prepared_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    row.proof_hash,
                    row.lease_id,
                    canonical_json(to_json(row.proof)).decode(),
                    row.evidence,
                    row.stage,
                    row.prepared_at,
                ),
            )
            db.executemany(
                "UPDATE receipts SET proof_hash = ? WHERE job_id = ? AND attempt = ?",
                [(row.proof_hash, job_id, attempt) for job_id, attempt in receipts],
            )
            db.executemany(
                "UPDATE heartbeats SET proof_hash = ? WHERE lease_id = ? AND block_number = ?",
                [(row.proof_hash, row.lease_id, block) for block in heartbeat_blocks],
            )

    def open_of(self, lease_id: LeaseId) -> ProofRow | None:
        """The one that is not on the chain yet."""
        with self._begin() as db:
            row = db.execute(
                "SELECT * FROM proofs WHERE lease_id = ? AND stage IN (?, ?)", (lease_id, *OPEN_STAGES)
            ).fetchone()
        return None if row is None else _proof(row)

    def last_posted(self, lease_id: LeaseId) -> ProofRow | None:
        with self._begin() as db:
            row = db.execute(
                "SELECT * FROM proofs WHERE lease_id = ? AND stage IN (?, ?) ORDER BY rowid DESC LIMIT 1",
                (lease_id, ProofStage.BARE, ProofStage.POSTED),
            ).fetchone()
        return None if row is None else _proof(row)

    def without_evidence(self) -> list[ProofRow]:
        """On the chain, and the oracle lacks what they commit to."""
        with self._begin() as db:
            rows = db.execute("SELECT * FROM proofs WHERE stage = ?", (ProofStage.BARE,)).fetchall()
        return [_proof(row) for row in rows]

    def set_stage(self, proof_hash: ProofHash, stage: ProofStage) -> None:
        with self._begin() as db:
            db.execute("UPDATE proofs SET stage = ? WHERE proof_hash = ?", (stage, proof_hash))
            if stage is ProofStage.VOID:
                db.execute("UPDATE receipts SET proof_hash = NULL WHERE proof_hash = ?", (proof_hash,))
                db.execute("UPDATE heartbeats SET proof_hash = NULL WHERE proof_hash = ?", (proof_hash,))


def _proof(row: sqlite3.Row) -> ProofRow:
    return ProofRow(
        proof_hash=ProofHash(row["proof_hash"]),
        lease_id=LeaseId(row["lease_id"]),
        proof=from_json(CompletionProof, parse_json(row["proof"], "proof")),
        evidence=row["evidence"],
        stage=ProofStage(row["stage"]),
        prepared_at=row["prepared_at"],
    )
