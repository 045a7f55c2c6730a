"""What the worker must not forget: a row is written before each effect, so that kill -9 loses and doubles
nothing.
"""

from worker.journal.attempts import ArtifactRow, AttemptRow, AttemptState
from worker.journal.database import Journal
from worker.journal.leases import LeaseRow
from worker.journal.proofs import ProofRow, ProofStage
from worker.journal.receipts import ReceiptRow, ReceiptState

__all__ = [
    "ArtifactRow",
    "AttemptRow",
    "AttemptState",
    "Journal",
    "LeaseRow",
    "ProofRow",
    "ProofStage",
    "ReceiptRow",
    "ReceiptState",
]
