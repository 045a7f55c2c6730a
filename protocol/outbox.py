"""Where a sender keeps what it is about to send: SQLite, on disk before anything reaches the network."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from protocol.calls import Call
from protocol.errors import BadInput
from protocol.logs import LogEntry, log_entry
from protocol.units import BlockNumber, parse_address


class IntentState(StrEnum):
    """RESERVED -> SIGNED -> MINED or FAILED; back to SIGNED where a reorganisation takes the block away."""

    RESERVED = "reserved"  # has a nonce, not signed yet
    SIGNED = "signed"  # signed bytes on disk, perhaps broadcast
    MINED = "mined"
    FAILED = "failed"  # mined and reverted, or never to be mined


UNCONFIRMED: Final = (IntentState.RESERVED, IntentState.SIGNED)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction. `status` is 0 where it reverted; `gas_price_wei` is what a unit of gas cost."""

    transaction_hash: bytes
    block_number: BlockNumber
    block_hash: bytes
    status: int
    gas_used: int
    gas_price_wei: int
    logs: tuple[LogEntry, ...]
    raw: dict[str, Any]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Receipt":
        """Out of eth_getTransactionReceipt's result."""
        return cls(
            transaction_hash=bytes.fromhex(raw["transactionHash"][2:]),
            block_number=BlockNumber(int(raw["blockNumber"], 16)),
            block_hash=bytes.fromhex(raw["blockHash"][2:]),
            status=int(raw["status"], 16),
            gas_used=int(raw["gasUsed"], 16),
            gas_price_wei=int(raw["effectiveGasPrice"], 16),
            logs=tuple(log_entry(log) for log in raw["logs"]),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class SignedAttempt:
    """One signed transaction of an intent; a replacement adds another."""

    transaction_hash: bytes
    raw: bytes
    nonce: int
    max_fee_wei: int
    priority_fee_wei: int
    signed_at: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """What shall get a nonce."""

    intent: str
    call: Call
    gas_limit: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An intent and all that was signed for it, oldest first."""

    intent: str
    call: Call
    nonce: int
    gas_limit: int
    state: IntentState
    attempts: tuple[SignedAttempt, ...]
    receipt: Receipt | None
    error: str | None


class Outbox(Protocol):
    """Every method returns once its change is on disk. Rows of other scopes are not seen."""

    def bind(self, scope: bytes) -> None:
        """First of all: which chain and account the rows are of."""
        ...

    def find(self, intent: str) -> OutboxRow | None: ...

    def at_nonce(self, nonce: int) -> OutboxRow | None: ...

    def reserve(self, wanted: Sequence[Reservation], first_nonce: int) -> list[OutboxRow]:
        """A row each, in their order; a new one gets the nonce after the last one, at least `first_nonce`."""
        ...

    def reserve_at(self, wanted: Reservation, nonce: int) -> OutboxRow:
        """The row of this nonce: this one, unless another has it."""
        ...

    def move(self, intent: str, first_nonce: int) -> OutboxRow:
        """Gives the row a new nonce, as `reserve` does: its old one was spent by a stranger."""
        ...

    def save_signed(self, signed: Sequence[tuple[str, SignedAttempt]]) -> list[OutboxRow]:
        """Intents and what was signed for them: all of it is on disk, or nothing."""
        ...

    def list_unconfirmed(self) -> list[OutboxRow]:
        """RESERVED and SIGNED rows by nonce."""
        ...

    def mark_mined(self, intent: str, receipt: Receipt) -> OutboxRow: ...

    def mark_failed(self, intent: str, error: str, receipt: Receipt | None) -> OutboxRow:
        """Without a receipt the row gives its nonce back: somebody else has spent it."""
        ...

    def reopen(self, intent: str) -> OutboxRow:
        """SIGNED again: the block that held its transaction is gone."""
        ...

    def list_included(self, first_block: int) -> list[OutboxRow]:
        """Rows whose receipt is of this block or a later one, by nonce."""
        ...

    def newest_inclusion(self) -> int | None:
        """The last block of any receipt."""
        ...

    def spent_wei(self, since: float) -> int:
        """What transactions signed since then have cost, or may cost at most until they are mined."""
        ...

    def count_nonces(self, first: int, end: int) -> int:
        """Rows with a nonce in [first, end)."""
        ...

    def next_nonce(self) -> int:
        """After the last one of any row, or zero."""
        ...


def worst_wei(row: OutboxRow) -> int:
    """What the intent costs at most, whichever of its transactions is mined."""
    max_fee_wei = max((attempt.max_fee_wei for attempt in row.attempts), default=0)
    return row.gas_limit * max_fee_wei + row.call.value if row.attempts else 0


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS intents (
    scope BLOB NOT NULL, intent TEXT NOT NULL, nonce INTEGER NOT NULL,
    to_address TEXT NOT NULL, data BLOB NOT NULL, value_wei TEXT NOT NULL, gas_limit INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'signed', 'mined', 'failed')),
    receipt TEXT, error TEXT, created_at REAL NOT NULL,
    PRIMARY KEY (scope, intent), UNIQUE (scope, nonce)
) STRICT;
CREATE INDEX IF NOT EXISTS unconfirmed ON intents (scope, nonce) WHERE state IN ('reserved', 'signed');
CREATE TABLE IF NOT EXISTS attempts (
    scope BLOB NOT NULL, intent TEXT NOT NULL, transaction_hash BLOB NOT NULL, raw BLOB NOT NULL,
    nonce INTEGER NOT NULL, max_fee_wei TEXT NOT NULL, priority_fee_wei TEXT NOT NULL,
    signed_at REAL NOT NULL,
    PRIMARY KEY (scope, transaction_hash), FOREIGN KEY (scope, intent) REFERENCES intents (scope, intent)
) STRICT;
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (scope, intent);
CREATE TABLE IF NOT EXISTS costs (
    scope BLOB NOT NULL, intent TEXT NOT NULL, wei TEXT NOT NULL, signed_at REAL NOT NULL,
    block_number INTEGER,
    PRIMARY KEY (scope, intent), FOREIGN KEY (scope, intent) REFERENCES intents (scope, intent)
) STRICT;
CREATE INDEX IF NOT EXISTS costs_by_time ON costs (scope, signed_at);
CREATE INDEX IF NOT EXISTS costs_by_block ON costs (scope, block_number);
"""
_COLUMNS: Final = "intent, nonce, to_address, data, value_wei, gas_limit, state, receipt, error"


class SqliteOutbox:
    """An Outbox in one SQLite file. Threads and processes may share the file, each object is of one scope."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._scope: bytes | None = None
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def bind(self, scope: bytes) -> None:
        if self._scope not in (None, scope):
            raise BadInput("outbox: expected one account of one chain for each object, got another")
        self._scope = scope

    def find(self, intent: str) -> OutboxRow | None:
        return self._one("intent = ?", intent)

    def at_nonce(self, nonce: int) -> OutboxRow | None:
        return self._one("nonce = ?", nonce)

    def reserve(self, wanted: Sequence[Reservation], first_nonce: int) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        with self._transaction():
            nonce = max(self.next_nonce(), first_nonce)
            for each in wanted:
                row = self.find(each.intent)  # another process may have been first
                if row is None:
                    row, nonce = self._insert(each, nonce), nonce + 1
                rows.append(row)
        return rows

    def reserve_at(self, wanted: Reservation, nonce: int) -> OutboxRow:
        with self._transaction():
            return self.at_nonce(nonce) or self._insert(wanted, nonce)

    def move(self, intent: str, first_nonce: int) -> OutboxRow:
        with self._transaction():
            nonce = max(self.next_nonce(), first_nonce)
            return self._update(intent, "nonce = ?, state = ?", nonce, IntentState.RESERVED)

    def save_signed(self, signed: Sequence[tuple[str, SignedAttempt]]) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        with self._transaction():
            for intent, attempt in signed:
                self._connection.execute(
                    "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        self._bound(),
                        intent,
                        attempt.transaction_hash,
                        attempt.raw,
                        attempt.nonce,
                        str(attempt.max_fee_wei),
                        str(attempt.priority_fee_wei),
                        attempt.signed_at,
                    ),
                )
                row = self._update(intent, "state = ?", IntentState.SIGNED)
                self._set_cost(row, worst_wei(row), None)
                rows.append(row)
        return rows

    def list_unconfirmed(self) -> list[OutboxRow]:
        return self._select("state IN ('reserved', 'signed') ORDER BY nonce")

    def mark_mined(self, intent: str, receipt: Receipt) -> OutboxRow:
        with self._transaction():
            row = self._update(intent, "state = ?, receipt = ?", IntentState.MINED, json.dumps(receipt.raw))
            spent_wei = receipt.gas_used * receipt.gas_price_wei + row.call.value
            return self._set_cost(row, spent_wei, receipt.block_number)

    def mark_failed(self, intent: str, error: str, receipt: Receipt | None) -> OutboxRow:
        with self._transaction():
            if receipt is None:
                self._update(intent, "state = ?, error = ?", IntentState.FAILED, error)
                row = self._update(intent, "nonce = min(-1, (SELECT min(nonce) - 1 FROM intents))")
                return self._set_cost(row, 0, None)
            text = json.dumps(receipt.raw)
            row = self._update(intent, "state = ?, error = ?, receipt = ?", IntentState.FAILED, error, text)
            return self._set_cost(row, receipt.gas_used * receipt.gas_price_wei, receipt.block_number)

    def reopen(self, intent: str) -> OutboxRow:
        with self._transaction():
            row = self._update(intent, "state = ?, error = NULL, receipt = NULL", IntentState.SIGNED)
            return self._set_cost(row, worst_wei(row), None)

    def list_included(self, first_block: int) -> list[OutboxRow]:
        intents = "SELECT intent FROM costs WHERE scope = intents.scope AND block_number >= ?"
        return self._select(f"intent IN ({intents}) ORDER BY nonce", first_block)

    def newest_inclusion(self) -> int | None:
        return self._scalar("SELECT max(block_number) FROM costs WHERE scope = ?")

    def spent_wei(self, since: float) -> int:
        sql = "SELECT wei FROM costs WHERE scope = ? AND signed_at >= ?"
        with self._lock:
            # Wider than an SQL integer.
            return sum(int(wei) for (wei,) in self._connection.execute(sql, (self._bound(), since)))

    def count_nonces(self, first: int, end: int) -> int:
        sql = "SELECT count(*) FROM intents WHERE scope = ? AND nonce >= ? AND nonce < ?"
        return self._scalar(sql, first, end)

    def next_nonce(self) -> int:
        return max(0, self._scalar("SELECT COALESCE(MAX(nonce) + 1, 0) FROM intents WHERE scope = ?"))

    def _scalar(self, sql: str, *values: object) -> Any:
        with self._lock:
            return self._connection.execute(sql, (self._bound(), *values)).fetchone()[0]

    def _bound(self) -> bytes:
        if self._scope is None:
            raise RuntimeError("outbox: expected bind() before use")
        return self._scope

    @contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _insert(self, wanted: Reservation, nonce: int) -> OutboxRow:
        self._connection.execute(
            "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?)",
            (
                self._bound(),
                wanted.intent,
                nonce,
                wanted.call.to,
                wanted.call.data,
                str(wanted.call.value),
                wanted.gas_limit,
                IntentState.RESERVED,
                self._clock(),
            ),
        )
        return self._existing(wanted.intent)

    def _set_cost(self, row: OutboxRow, wei: int, block_number: int | None) -> OutboxRow:
        """Counts from when the last attempt was signed."""
        signed_at = row.attempts[-1].signed_at if row.attempts else 0.0
        sql = "INSERT OR REPLACE INTO costs VALUES (?, ?, ?, ?, ?)"
        self._connection.execute(sql, (self._bound(), row.intent, str(wei), signed_at, block_number))
        return row

    def _update(self, intent: str, assignments: str, *values: object) -> OutboxRow:
        # The assignments are literals of this module; values are bound.
        sql = f"UPDATE intents SET {assignments} WHERE scope = ? AND intent = ?"  # noqa: S608
        self._connection.execute(sql, (*values, self._bound(), intent))
        return self._existing(intent)

    def _existing(self, intent: str) -> OutboxRow:
        row = self.find(intent)
        if row is None:
            raise BadInput(f"outbox: expected a row for {intent}, there is none")
        return row

    def _one(self, condition: str, value: object) -> OutboxRow | None:
        rows = self._select(condition, value)
        return rows[0] if rows else None

    def _select(self, condition: str, *values: object) -> list[OutboxRow]:
        # The condition is a literal of this module; values are bound.
        sql = f"SELECT {_COLUMNS} FROM intents WHERE scope = ? AND {condition}"  # noqa: S608
        with self._lock:
            found = self._connection.execute(sql, (self._bound(), *values)).fetchall()
            return [self._row(columns) for columns in found]

    def _row(self, columns: tuple[Any, ...]) -> OutboxRow:
        intent, nonce, to_address, data, value_wei, gas_limit, state, receipt, error = columns
        return OutboxRow(
            intent=intent,
            call=Call(parse_address(to_address), data, int(value_wei)),
            nonce=nonce,
            gas_limit=gas_limit,
            state=IntentState(state),
            attempts=self._attempts(intent),
            receipt=None if receipt is None else Receipt.of(json.loads(receipt)),
            error=error,
        )

    def _attempts(self, intent: str) -> tuple[SignedAttempt, ...]:
        rows = self._connection.execute(
            "SELECT transaction_hash, raw, nonce, max_fee_wei, priority_fee_wei, signed_at"
            " FROM attempts WHERE scope = ? AND intent = ? ORDER BY rowid",
            (self._bound(), intent),
        )
        return tuple(
            SignedAttempt(hash_, raw, nonce, int(max_fee), int(priority), signed_at)
            for hash_, raw, nonce, max_fee, priority, signed_at in rows
        )
