"""The journal's file: one SQLite database, one connection, one writer at a time."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from worker.journal.attempts import AttemptRows
from worker.journal.leases import LeaseRows
from worker.journal.proofs import ProofRows
from worker.journal.receipts import ReceiptRows

SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE leases (
    lease_id BLOB PRIMARY KEY,
    terms TEXT NOT NULL,
    energy_joules INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE offers (offer_hash BLOB PRIMARY KEY, offer TEXT NOT NULL) STRICT;
CREATE TABLE renters (
    lease_id BLOB NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (lease_id, account)
) STRICT;
CREATE TABLE cursor (id INTEGER PRIMARY KEY CHECK (id = 1), block_number INTEGER NOT NULL) STRICT;
CREATE TABLE attempts (
    job_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    fencing_token INTEGER NOT NULL,
    lease_id BLOB NOT NULL,
    assignment BLOB NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    ending TEXT,
    log_acked_bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, attempt)
) STRICT;
CREATE TABLE artifacts (
    job_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    uploaded INTEGER NOT NULL DEFAULT 0,
    sealed BLOB,
    PRIMARY KEY (job_id, attempt, name)
) STRICT;
CREATE TABLE receipts (
    job_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    lease_id BLOB NOT NULL,
    fencing_token INTEGER NOT NULL,
    signed BLOB NOT NULL,
    state TEXT NOT NULL,
    code TEXT NOT NULL DEFAULT '',
    proof_hash BLOB,
    PRIMARY KEY (job_id, attempt)
) STRICT;
CREATE TABLE heartbeats (
    lease_id BLOB NOT NULL,
    block_number INTEGER NOT NULL,
    block_timestamp INTEGER NOT NULL,
    signed BLOB NOT NULL,
    proof_hash BLOB,
    PRIMARY KEY (lease_id, block_number)
) STRICT;
CREATE TABLE proofs (
    proof_hash BLOB PRIMARY KEY,
    lease_id BLOB NOT NULL,
    proof TEXT NOT NULL,
    evidence BLOB NOT NULL,
    stage TEXT NOT NULL,
    prepared_at INTEGER NOT NULL
) STRICT;
CREATE INDEX receipts_by_lease ON receipts (lease_id, state, proof_hash);
CREATE INDEX proofs_by_lease ON proofs (lease_id, stage);
"""
_UPGRADES: Final = {1: "ALTER TABLE artifacts ADD COLUMN sealed BLOB;"}
"""What makes the schema of a version that of the next."""
# A file of this version may lack those that came later.
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS attempts_by_state ON attempts (state, fencing_token);
CREATE INDEX IF NOT EXISTS receipts_by_state ON receipts (state);
"""


class Journal:
    """Thread-safe. Each method of the four groups of rows is one durable transaction."""

    def __init__(self, path: Path) -> None:
        """RuntimeError where the file was written by another version."""
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._migrate(path)
        self.leases = LeaseRows(self.transaction)
        self.attempts = AttemptRows(self.transaction)
        self.receipts = ReceiptRows(self.transaction)
        self.proofs = ProofRows(self.transaction)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Committed and on disk where the block ends, undone where it raises. Blocks inside become part of
        it.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _migrate(self, path: Path) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
            version = SCHEMA_VERSION
        while version in _UPGRADES:
            self._connection.executescript(
                f"BEGIN; {_UPGRADES[version]} PRAGMA user_version={version + 1}; COMMIT;"
            )
            version += 1
        if version != SCHEMA_VERSION:
            raise RuntimeError(f"journal {path}: expected version {SCHEMA_VERSION}, got {version}")
        self._connection.executescript(f"BEGIN; {_INDEXES} COMMIT;")
