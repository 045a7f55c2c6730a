"""Keeps leases moving on the chain: settles matured proofs, frees hours, closes what can be closed.

Anyone may send these calls and they move nobody's money elsewhere, so a keeper that fails costs only time.
What is needed is computed anew from the ledger at each turn; an intent that was mined is repeated only where
the ledger, having read that block, still needs it. Matured proofs of many leases are settled in one call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
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
from protocol.errors import (
    BadInput,
    KeyContested,
    ProtocolError,
    RetryableError,
    RpcError,
    TransactionReverted,
)
from protocol.keccak import keccak256
from protocol.ledger import LeaseEntry
from protocol.outbox import UNCONFIRMED, IntentState, Outbox, OutboxRow
from protocol.sender import Intent, Outcome, Sender, Standing
from protocol.structs import LeaseStatus
from protocol.units import to_hex

log = structlog.get_logger(__name__)

MAX_PAUSE_SECONDS = 600
MAX_SETTLED = 100  # leases in one transaction
BATCH = "settle_many:"


@dataclass(frozen=True, slots=True)
class Need:
    """One call that a lease is ready for. `key` names it whatever the try; None: the node estimates gas."""

    key: str
    call: Call
    gas_limit: int | None = None


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
        batch_gas: int,
        on_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._market = market
        self._sender = sender
        self._outbox = outbox
        self._now = now
        self._confirmations = confirmations
        self._proof_grace_seconds = proof_grace_seconds
        self._batch_gas = batch_gas
        self._on_duty = on_duty
        self._failures: dict[str, int] = {}
        self._rest_until: dict[str, int] = {}
        self._said: dict[str, str] = {}

    def turn(self) -> bool:
        """Raises RetryableError where the chain does not take transactions now.

        A key that somebody else sends with is left alone from then on; the rest of the oracle goes on.
        """
        try:
            self._take_turn()
        except KeyContested as error:
            self._say("key", error.message, log.critical, "key_contested")
        return False

    def standing(self) -> Standing:
        """Of the key: for metrics."""
        return self._sender.standing()

    def _take_turn(self) -> None:
        for outcome in self._sender.turn():
            self._note(outcome)
        with self._store.read() as transaction:
            cursor = history.get_cursor(transaction)
            leases = entities.list_leases_of_status(transaction, (LeaseStatus.OPEN, LeaseStatus.BREACHED))
        if cursor is None:
            return
        now = later_of(self._now(), cursor.timestamp)
        leases = [each for each in leases if self._is_confirmed(each, cursor)]
        singles = [need for lease in leases for need in self._needs(lease, now)]
        matured = [lease for lease in leases if self._is_settled_next(lease, now)]
        self._meet([*singles, *self._settlements(matured, cursor)], cursor)

    def _is_confirmed(self, lease: LeaseEntry, cursor: Block) -> bool:
        return confirmed(lease.opened_at.block_number, cursor, self._confirmations)

    def _needs(self, lease: LeaseEntry, now: int) -> Iterator[Need]:
        name = to_hex(lease.lease_id)
        if can_close(lease, now, self._proof_grace_seconds):
            yield Need(f"close:{name}", self._market.build_close(lease.terms))
        elif can_release(lease, now):
            yield Need(f"release:{name}", self._market.build_release_hours(lease.terms))

    def _is_settled_next(self, lease: LeaseEntry, now: int) -> bool:
        """Closing settles by itself."""
        return can_settle(lease, now) and not can_close(lease, now, self._proof_grace_seconds)

    def _settlements(self, matured: Sequence[LeaseEntry], cursor: Block) -> list[Need]:
        """As few calls as the gas allows; one a lease where those of several would revert."""
        if self._batches_at_work(cursor):
            return []
        ready = [lease for lease in matured if self._is_ready(_settle_key(lease), cursor)]
        needs: list[Need] = []
        size = 1 if self._batch_rests() else MAX_SETTLED
        while ready:
            size = min(size, len(ready))
            batch = ready[:size]
            need = self._settlement(batch)
            if need is None:
                size = max(1, size // 2)
                continue
            needs.append(need)
            ready = ready[size:]
        return needs

    def _settlement(self, leases: Sequence[LeaseEntry]) -> Need | None:
        """None: too much for one transaction, or some of them make it revert."""
        if len(leases) == 1:
            return Need(_settle_key(leases[0]), self._market.build_settle(leases[0].terms))
        call = self._market.build_settle_many([lease.terms for lease in leases])
        try:
            gas_limit = self._sender.estimate(call)
        except (TransactionReverted, RpcError) as error:
            log.info("batch_refused", leases=len(leases), reason=error.message)
            return None
        if gas_limit > self._batch_gas:
            return None
        keys = "".join(_settle_key(lease) for lease in leases)
        return Need(f"{BATCH}{to_hex(keccak256(keys.encode()))}", call, gas_limit)

    def _batches_at_work(self, cursor: Block) -> bool:
        """Whether the ledger has still to see what a batch does."""
        rows = [*self._outbox.list_unconfirmed(), *self._outbox.list_included(cursor.number + 1)]
        return any(row.intent.startswith(BATCH) for row in rows)

    def _batch_rests(self) -> bool:
        """Whether a batch reverted a short while ago."""
        now = self._now()
        return any(key.startswith(BATCH) and until > now for key, until in self._rest_until.items())

    def _meet(self, needs: Sequence[Need], cursor: Block) -> None:
        numbered = {
            f"{need.key}#{self._last_try(need.key)[0]}": need
            for need in needs
            if self._is_ready(need.key, cursor)
        }
        if not numbered or not self._on_duty():
            return
        intents = [Intent(name, need.call, need.gas_limit) for name, need in numbered.items()]
        unsent: list[RetryableError] = []
        for intent, result in zip(intents, self._sender.submit_many(intents), strict=True):
            key = numbered[intent.name].key
            if isinstance(result, RetryableError):
                unsent.append(result)
            elif isinstance(result, TransactionReverted):
                # Someone else was faster, or the node's clock is behind ours.
                self._rest(key)
                log.info("call_refused", need=key, reason=result.message)
            elif isinstance(result, ProtocolError):
                raise result
            else:
                log.info("call_sent", intent=intent.name, state=result)
        if unsent:
            raise unsent[0]

    def _is_ready(self, key: str, cursor: Block) -> bool:
        if self._rest_until.get(key, 0) > self._now():
            return False
        _, last = self._last_try(key)
        if last is None:
            return True
        # Where it was mined the ledger has still to read that block.
        return last.state not in UNCONFIRMED and (
            last.receipt is None or last.receipt.block_number <= cursor.number
        )

    def _note(self, outcome: Outcome) -> None:
        """Once for each thing that is said of an intent: one that waits is looked at every turn."""
        if outcome.state in UNCONFIRMED:
            self._say(outcome.intent, outcome.error or "", log.warning, "transaction_waits")
            return
        self._said.pop(outcome.intent, None)
        log.info("transaction", intent=outcome.intent, state=outcome.state, error=outcome.error or "")
        if outcome.state is IntentState.FAILED:
            self._rest(outcome.intent.split("#")[0])

    def _say(self, subject: str, reason: str, write: Callable[..., Any], event: str) -> None:
        if self._said.get(subject) != reason:
            self._said[subject] = reason
            write(event, subject=subject, reason=reason)

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


def _settle_key(lease: LeaseEntry) -> str:
    return f"settle:{to_hex(lease.lease_id)}:{to_hex(lease.proof_hash)}"


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
