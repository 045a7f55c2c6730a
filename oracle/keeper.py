"""Keeps leases moving on the chain: settles matured proofs, frees hours, closes what can be closed.

Anyone may send these calls and they move nobody's money elsewhere, so a keeper that fails costs only time.
What is needed is computed anew from the ledger at each turn; an intent that was mined is repeated only where
the ledger, having read that block, still needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.clock import Now, later_of
from oracle.schedule import can_close, can_release, can_settle
from oracle.store import entities, history
from oracle.store.engine import Store
from oracle.watcher import confirmed
from protocol.chain import Block
from protocol.contracts import Call, Market
from protocol.errors import BadInput, TransactionReverted
from protocol.ledger import LeaseEntry
from protocol.outbox import UNCONFIRMED, IntentState, Outbox, OutboxRow
from protocol.sender import Sender
from protocol.structs import LeaseStatus
from protocol.units import to_hex

log = structlog.get_logger(__name__)

MAX_PAUSE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Need:
    """One call that a lease is ready for. `key` names it whatever the try."""

    key: str
    call: Call


class Keeper:
    """Not thread-safe: one thread takes the turns."""

    def __init__(
        self,
        store: Store,
        market: Market,
        sender: Sender,
        outbox: Outbox,
        now: Now,
        *,
        confirmations: int,
        proof_grace_seconds: int,
        on_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._market = market
        self._sender = sender
        self._outbox = outbox
        self._now = now
        self._confirmations = confirmations
        self._proof_grace_seconds = proof_grace_seconds
        self._on_duty = on_duty
        self._failures: dict[str, int] = {}
        self._rest_until: dict[str, int] = {}

    def turn(self) -> bool:
        """Raises RetryableError where the chain does not take transactions now."""
        for outcome in self._sender.turn():
            log.info("transaction", intent=outcome.intent, state=outcome.state)
            if outcome.state is IntentState.FAILED:
                self._rest(outcome.intent.split("#")[0])
        with self._store.read() as transaction:
            cursor = history.get_cursor(transaction)
            leases = entities.list_leases_of_status(transaction, (LeaseStatus.OPEN, LeaseStatus.BREACHED))
        if cursor is None:
            return False
        for lease in leases:
            for need in self._needs(lease, cursor):
                self._meet(need, cursor)
        return False

    def _needs(self, lease: LeaseEntry, cursor: Block) -> Iterator[Need]:
        now = later_of(self._now(), cursor.timestamp)
        name = to_hex(lease.lease_id)
        if not confirmed(lease.opened_at.block_number, cursor, self._confirmations):
            return
        if can_close(lease, now, self._proof_grace_seconds):
            yield Need(f"close:{name}", self._market.build_close(lease.terms))
            return
        if can_settle(lease, now):
            key = f"settle:{name}:{to_hex(lease.proof_hash)}"
            yield Need(key, self._market.build_settle(lease.terms))
        if can_release(lease, now):
            yield Need(f"release:{name}", self._market.build_release_hours(lease.terms))

    def _meet(self, need: Need, cursor: Block) -> None:
        if self._rest_until.get(need.key, 0) > self._now() or not self._on_duty():
            return
        number, last = self._last_try(need.key)
        if last is not None and last.state in UNCONFIRMED:
            return
        if last is not None and last.receipt is not None and last.receipt.block_number > cursor.number:
            return  # mined, but the ledger has not read that block yet
        try:
            self._sender.submit(f"{need.key}#{number}", need.call)
        except TransactionReverted as error:
            # Someone else was faster, or the node's clock is behind ours.
            self._rest(need.key)
            log.info("call_refused", need=need.key, reason=error.message)
            return
        log.info("call_sent", need=need.key, number=number)

    def _last_try(self, key: str) -> tuple[int, OutboxRow | None]:
        """The number of the next try, and the row of the last one."""
        number, last = 0, None
        while (row := self._outbox.find(f"{key}#{number}")) is not None:
            number, last = number + 1, row
            if row.state in UNCONFIRMED:
                break
        return number, last

    def _rest(self, key: str) -> None:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        self._rest_until[key] = self._now() + min(2**failures, MAX_PAUSE_SECONDS)


def load_account(keystore: Path, password_file: Path) -> LocalAccount:
    """The key of a V3 file. BadInput, which repeats nothing of either file."""
    try:
        encrypted: Any = json.loads(keystore.read_text())
        password = password_file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(
            f"keystore: cannot read {keystore} and {password_file}: {type(error).__name__}"
        ) from None
    try:
        return Account.from_key(Account.decrypt(encrypted, password))
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"keystore: expected a V3 key file that the password opens, got {keystore}") from None
