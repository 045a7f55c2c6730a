"""The outbox in the store: oracles that share a database and a key share what they send, and its nonces."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, func, insert, select, update

from oracle.store.engine import Store, Transaction
from oracle.store.outbox_tables import outbox_attempts as attempts
from oracle.store.outbox_tables import outbox_intents as intents
from protocol.calls import Call
from protocol.errors import BadInput
from protocol.outbox import (
    UNCONFIRMED,
    IntentState,
    OutboxRow,
    Receipt,
    Reservation,
    SignedAttempt,
    worst_wei,
)
from protocol.units import parse_address


class StoreOutbox:
    """An Outbox. Writes to the store come one after the other, so that no nonce is given twice."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._scope: bytes | None = None

    def bind(self, scope: bytes) -> None:
        if self._scope not in (None, scope):
            raise BadInput("outbox: expected one account of one chain for each object, got another")
        self._scope = scope

    def find(self, intent: str) -> OutboxRow | None:
        return self._one(intents.c.intent == intent)

    def at_nonce(self, nonce: int) -> OutboxRow | None:
        return self._one(intents.c.nonce == nonce)

    def reserve(self, wanted: Sequence[Reservation], first_nonce: int) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        with self._store.write() as transaction:
            nonce = max(self._next_nonce(transaction), first_nonce)
            for each in wanted:
                row = self._find(transaction, each.intent)  # another process may have been first
                if row is None:
                    row, nonce = self._insert(transaction, each, nonce), nonce + 1
                rows.append(row)
        return rows

    def reserve_at(self, wanted: Reservation, nonce: int) -> OutboxRow:
        with self._store.write() as transaction:
            found = self._select(transaction, intents.c.nonce == nonce)
            return found[0] if found else self._insert(transaction, wanted, nonce)

    def move(self, intent: str, first_nonce: int) -> OutboxRow:
        with self._store.write() as transaction:
            nonce = max(self._next_nonce(transaction), first_nonce)
            return self._update(transaction, intent, nonce=nonce, state=IntentState.RESERVED)

    def save_signed(self, signed: Sequence[tuple[str, SignedAttempt]]) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        with self._store.write() as transaction:
            for intent, attempt in signed:
                row = self._existing(transaction, intent)
                if attempt.transaction_hash not in {each.transaction_hash for each in row.attempts}:
                    self._add_attempt(transaction, row, attempt)
                row = self._update(transaction, intent, state=IntentState.SIGNED)
                rows.append(self._cost(transaction, row, worst_wei(row), None))
        return rows

    def list_unconfirmed(self) -> list[OutboxRow]:
        with self._store.read() as transaction:
            return self._select(transaction, intents.c.state.in_(UNCONFIRMED))

    def mark_mined(self, intent: str, receipt: Receipt) -> OutboxRow:
        with self._store.write() as transaction:
            row = self._update(transaction, intent, state=IntentState.MINED, receipt=json.dumps(receipt.raw))
            spent_wei = receipt.gas_used * receipt.gas_price_wei + row.call.value
            return self._cost(transaction, row, spent_wei, receipt.block_number)

    def mark_failed(self, intent: str, error: str, receipt: Receipt | None) -> OutboxRow:
        with self._store.write() as transaction:
            row = self._update(transaction, intent, state=IntentState.FAILED, error=error)
            if receipt is None:
                lowest = transaction.execute(select(func.min(intents.c.nonce))).scalar() or 0
                row = self._update(transaction, intent, nonce=min(0, lowest) - 1)
                return self._cost(transaction, row, 0, None)
            row = self._update(transaction, intent, receipt=json.dumps(receipt.raw))
            spent_wei = receipt.gas_used * receipt.gas_price_wei
            return self._cost(transaction, row, spent_wei, receipt.block_number)

    def reopen(self, intent: str) -> OutboxRow:
        with self._store.write() as transaction:
            row = self._update(transaction, intent, state=IntentState.SIGNED, error=None, receipt=None)
            return self._cost(transaction, row, worst_wei(row), None)

    def list_included(self, first_block: int) -> list[OutboxRow]:
        with self._store.read() as transaction:
            return self._select(transaction, intents.c.included_block >= first_block)

    def newest_inclusion(self) -> int | None:
        return cast("int | None", self._scalar(func.max(intents.c.included_block)))

    def spent_wei(self, since: float) -> int:
        query = select(intents.c.cost_wei).where(self._own(), intents.c.signed_at >= since)
        with self._store.read() as transaction:
            return sum(int(wei) for (wei,) in transaction.execute(query))

    def count_nonces(self, first: int, end: int) -> int:
        found = self._scalar(func.count(), intents.c.nonce >= first, intents.c.nonce < end)
        return cast(int, found)

    def next_nonce(self) -> int:
        with self._store.read() as transaction:
            return self._next_nonce(transaction)

    def _next_nonce(self, transaction: Transaction) -> int:
        highest = transaction.execute(select(func.max(intents.c.nonce)).where(self._own())).scalar()
        return 0 if highest is None else max(0, highest + 1)

    def _own(self) -> ColumnElement[bool]:
        if self._scope is None:
            raise RuntimeError("outbox: expected bind() before use")
        return intents.c.scope == self._scope

    def _insert(self, transaction: Transaction, wanted: Reservation, nonce: int) -> OutboxRow:
        row = {
            "scope": self._scope,
            "intent": wanted.intent,
            "nonce": nonce,
            "to_address": wanted.call.to,
            "data": wanted.call.data,
            "value_wei": str(wanted.call.value),
            "gas_limit": wanted.gas_limit,
            "state": IntentState.RESERVED,
            "created_at": self._clock(),
            "cost_wei": "0",
        }
        transaction.execute(insert(intents).values(row))
        return self._existing(transaction, wanted.intent)

    def _add_attempt(self, transaction: Transaction, row: OutboxRow, attempt: SignedAttempt) -> None:
        values = {
            "scope": self._scope,
            "transaction_hash": attempt.transaction_hash,
            "intent": row.intent,
            "number": len(row.attempts),
            "raw": attempt.raw,
            "nonce": attempt.nonce,
            "max_fee_wei": str(attempt.max_fee_wei),
            "priority_fee_wei": str(attempt.priority_fee_wei),
            "signed_at": attempt.signed_at,
        }
        transaction.execute(insert(attempts).values(values))

    def _cost(self, transaction: Transaction, row: OutboxRow, wei: int, block: int | None) -> OutboxRow:
        """Counts from when the last attempt was signed."""
        signed_at = row.attempts[-1].signed_at if row.attempts else None
        return self._update(
            transaction, row.intent, cost_wei=str(wei), included_block=block, signed_at=signed_at
        )

    def _update(self, transaction: Transaction, intent: str, **values: Any) -> OutboxRow:
        where = self._own(), intents.c.intent == intent
        transaction.execute(update(intents).where(*where).values(values))
        return self._existing(transaction, intent)

    def _existing(self, transaction: Transaction, intent: str) -> OutboxRow:
        row = self._find(transaction, intent)
        if row is None:
            raise BadInput(f"outbox: expected a row for {intent}, there is none")
        return row

    def _find(self, transaction: Transaction, intent: str) -> OutboxRow | None:
        return next(iter(self._select(transaction, intents.c.intent == intent)), None)

    def _one(self, condition: ColumnElement[bool]) -> OutboxRow | None:
        with self._store.read() as transaction:
            return next(iter(self._select(transaction, condition)), None)

    def _scalar(self, expression: ColumnElement[Any], *conditions: ColumnElement[bool]) -> Any:
        query = select(expression).select_from(intents).where(self._own(), *conditions)
        with self._store.read() as transaction:
            return transaction.execute(query).scalar()

    def _select(self, transaction: Transaction, condition: ColumnElement[bool]) -> list[OutboxRow]:
        """By nonce, with their attempts."""
        query = select(intents).where(self._own(), condition).order_by(intents.c.nonce)
        found = transaction.execute(query).all()
        signed: dict[str, list[SignedAttempt]] = {row.intent: [] for row in found}
        own = select(intents.c.intent).where(self._own(), condition)
        tried = select(attempts).where(attempts.c.scope == self._scope, attempts.c.intent.in_(own))
        for each in transaction.execute(tried.order_by(attempts.c.number)) if found else ():
            signed[each.intent].append(_attempt(each))
        return [_row(row, signed[row.intent]) for row in found]


def _attempt(row: Any) -> SignedAttempt:
    return SignedAttempt(
        transaction_hash=row.transaction_hash,
        raw=row.raw,
        nonce=row.nonce,
        max_fee_wei=int(row.max_fee_wei),
        priority_fee_wei=int(row.priority_fee_wei),
        signed_at=row.signed_at,
    )


def _row(row: Any, signed: Sequence[SignedAttempt]) -> OutboxRow:
    return OutboxRow(
        intent=row.intent,
        call=Call(parse_address(row.to_address), row.data, int(row.value_wei)),
        nonce=row.nonce,
        gas_limit=row.gas_limit,
        state=IntentState(row.state),
        attempts=tuple(signed),
        receipt=None if row.receipt is None else Receipt.of(json.loads(row.receipt)),
        error=row.error,
    )
