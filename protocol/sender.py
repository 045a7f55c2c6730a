"""Sends transactions so that each intent is carried out once, whatever dies on the way.

Nonce and signed bytes are on disk before the network sees them. `turn` compares what should be with what is:
it signs, broadcasts, replaces what is stuck by a better paid twin, fills gaps, and concludes what is mined.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from eth_account.signers.local import LocalAccount
from web3 import Web3

from protocol.calls import Call, call_object, eth_call, revert_of
from protocol.chain import read_block, rpc, rpc_integer, sound
from protocol.errors import (
    BadInput,
    ChainUnavailable,
    InsufficientFunds,
    RpcError,
    TransactionPending,
    TransactionReverted,
    WrongChain,
)
from protocol.keccak import keccak256
from protocol.outbox import IntentState, Outbox, OutboxRow, Receipt, SignedAttempt
from protocol.units import Address, address_bytes, parse_address, to_hex

TRANSFER_GAS: Final = 21_000
_SENT: Final = ("already known", "already imported", "known transaction", "nonce too low", "alreadyknown")
_CHEAP: Final = ("underpriced", "less than block base fee", "fee too low", "below base fee")
_POOR: Final = ("insufficient funds", "insufficient balance")
_ERROR_NAME: Final = re.compile(r"[A-Z]\w*(?=\()", re.ASCII)


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """`confirmations`: blocks, its own included, after which a transaction counts as mined for good."""

    confirmations: int = 1
    bump_after_seconds: float = 30
    rebroadcast_seconds: float = 5
    nonce_taken_seconds: float = 15
    bump_percent: int = 25  # nodes demand 10
    gas_margin_percent: int = 25
    min_priority_fee_wei: int = 10**8
    max_fee_cap_wei: int = 2 * 10**12
    poll_seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn found out about an intent: concluded, or still SIGNED with what the node had against it."""

    intent: str
    state: IntentState
    receipt: Receipt | None
    error: str | None


class Sender:
    """The one sender of a key. Threads may share it; processes may share the outbox's file."""

    def __init__(
        self,
        web3: Web3,
        account: LocalAccount,
        outbox: Outbox,
        chain_id: int,
        settings: SenderSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """ChainUnavailable, WrongChain. Rows of another chain, even one with the same id, are left alone."""
        actual = rpc_integer(web3, "eth_chainId", [])
        if actual != chain_id:
            raise WrongChain(f"sender: expected chain {chain_id}, got {actual}")
        self.address: Address = parse_address(account.address)
        self._web3 = web3
        self._account = account
        self._outbox = outbox
        self._chain_id = chain_id
        self._settings = settings or SenderSettings()
        self._clock = clock
        self._lock = threading.RLock()
        self._broadcast_at: dict[bytes, float] = {}
        self._underpriced: set[str] = set()
        self._taken_since: dict[str, float] = {}
        genesis = read_block(web3, 0).hash
        outbox.bind(keccak256(chain_id.to_bytes(32) + genesis + address_bytes(self.address)))

    def submit(self, intent: str, call: Call) -> IntentState:
        """Afterwards the call is on disk under `intent`, and broadcast where the node could be reached.

        An intent is carried out once: a second submit says where it stands. TransactionReverted where the
        call would revert now (no row is left), InsufficientFunds (a row that is there stays and is tried
        again), BadInput where the intent was used for another call.
        """
        with self._lock:
            row = self._outbox.find(intent)
            if row is None:
                gas_limit = self._estimate(call)
                row = self._outbox.reserve(intent, call, gas_limit, self._nonce("pending"))
            if row.call != call:
                raise BadInput(f"intent {intent}: expected the call it was first used for, got another")
            if row.state is IntentState.RESERVED:
                row = self._sign(row)
            if row.state is IntentState.SIGNED:
                self._broadcast_new(row)
            return row.state

    def turn(self) -> list[Outcome]:
        """Moves every unconfirmed intent on; returns what was concluded or is held up. ChainUnavailable."""
        with self._lock:
            rows = self._outbox.list_unconfirmed()
            if not rows:
                return []
            mined = self._nonce("latest")
            outcomes = [self._advance(row, mined) for row in [*self._fill_gaps(rows, mined), *rows]]
            return [outcome for outcome in outcomes if outcome is not None]

    def wait(self, intent: str, timeout_seconds: float) -> Receipt:
        """The receipt, once mined. TransactionReverted, TransactionPending, ChainUnavailable."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            row = self._outbox.find(intent)
            if row is None:
                raise BadInput(f"intent {intent}: expected one that was submitted")
            if row.state is IntentState.MINED and row.receipt is not None:
                return row.receipt
            if row.state is IntentState.FAILED:
                raise _reverted(row)
            try:
                if any(outcome.intent == intent and _concluded(outcome) for outcome in self.turn()):
                    continue
            except ChainUnavailable:
                if time.monotonic() >= deadline:
                    raise
            if time.monotonic() >= deadline:
                raise TransactionPending(f"intent {intent}: not mined within {timeout_seconds} seconds")
            time.sleep(self._settings.poll_seconds)

    def row(self, intent: str) -> OutboxRow | None:
        """Where an intent stands on disk."""
        return self._outbox.find(intent)

    def _advance(self, row: OutboxRow, mined: int) -> Outcome | None:
        receipt = self._receipt(row, mined)
        if receipt is not None:
            return self._conclude(row, receipt)
        if row.nonce < mined:
            return self._nonce_taken(row)
        if row.state is IntentState.RESERVED:
            return self._broadcast(self._sign(row))
        now, last = self._clock(), row.attempts[-1]
        stuck = now - last.signed_at >= self._settings.bump_after_seconds
        if stuck or row.intent in self._underpriced:
            return self._bump(row)
        if now - self._broadcast_at.get(last.transaction_hash, 0) >= self._settings.rebroadcast_seconds:
            return self._broadcast(row)
        return None

    def _receipt(self, row: OutboxRow, mined: int) -> Receipt | None:
        """Of whichever of the intent's transactions was mined."""
        for attempt in reversed(row.attempts):
            if attempt.nonce < mined:
                raw = rpc(self._web3, "eth_getTransactionReceipt", [to_hex(attempt.transaction_hash)])
                if raw is not None:
                    with sound("eth_getTransactionReceipt"):
                        return Receipt.of(raw)
        return None

    def _conclude(self, row: OutboxRow, receipt: Receipt) -> Outcome | None:
        if self._settings.confirmations > 1:
            head = rpc_integer(self._web3, "eth_blockNumber", [])
            if head - receipt.block_number + 1 < self._settings.confirmations:
                return None
        if receipt.status == 1:
            row = self._outbox.mark_mined(row.intent, receipt)
        else:
            row = self._outbox.mark_failed(row.intent, self._revert_reason(row, receipt), receipt)
        self._forget(row)
        return Outcome(row.intent, row.state, row.receipt, row.error)

    def _revert_reason(self, row: OutboxRow, receipt: Receipt) -> str:
        """Best knowledge: the same call on the state that its block left."""
        try:
            eth_call(self._web3, row.call, receipt.block_number, self.address)
        except TransactionReverted as error:
            return error.message
        except RpcError as error:
            return f"reverted; the node does not say why: {error.message}"
        return "reverted, though it would not any more"

    def _nonce_taken(self, row: OutboxRow) -> Outcome | None:
        """A stranger with our key spent the nonce, or the node lags behind: wait, then take a new one."""
        since = self._taken_since.setdefault(row.intent, self._clock())
        if self._clock() - since < self._settings.nonce_taken_seconds:
            return None
        del self._taken_since[row.intent]
        try:
            self._estimate(row.call)
        except InsufficientFunds as error:
            return Outcome(row.intent, row.state, None, error.message)
        except TransactionReverted as error:
            row = self._outbox.mark_failed(row.intent, error.message, None)
            self._forget(row)
            return Outcome(row.intent, row.state, None, row.error)
        moved = self._outbox.move(row.intent, self._nonce("pending"))
        return self._broadcast(self._sign(moved))

    def _fill_gaps(self, rows: list[OutboxRow], mined: int) -> list[OutboxRow]:
        """Nonces below ours that nobody will use: what a reorganisation took back is sent again, the rest is
        spent on empty transfers to ourselves, which are returned. Our own signed transactions never move into
        a gap: the old twin would still be valid.
        """
        known = {row.nonce for row in rows}
        gaps = [nonce for nonce in range(mined, max(known)) if nonce not in known]
        pending = self._nonce("pending") if gaps else 0
        fillers: list[OutboxRow] = []
        for nonce in gaps:
            if nonce < pending:
                continue  # somebody else's transaction waits there
            former = self._outbox.at_nonce(nonce)
            if former is None:
                empty = Call(self.address, b"")
                fillers.append(self._outbox.reserve_at(f"gap:{nonce}", empty, TRANSFER_GAS, nonce))
            elif former.attempts:
                self._broadcast(former)
        return fillers

    def _bump(self, row: OutboxRow) -> Outcome | None:
        """Replaces the last transaction by one that pays more, unless the cap forbids it."""
        self._underpriced.discard(row.intent)
        last = row.attempts[-1]
        max_fee, priority = self._fees(last)
        needed = _raised(last.max_fee_wei, self._settings.bump_percent)
        if max_fee < needed:
            error = f"stuck: a replacement needs {needed} wei a gas, the cap is {max_fee}"
            return self._broadcast(row) or Outcome(row.intent, row.state, None, error)
        return self._broadcast(self._sign(row, (max_fee, priority)))

    def _fees(self, last: SignedAttempt | None) -> tuple[int, int]:
        """Maximum and priority fee in wei: twice the base fee, and above the attempt before by the bump."""
        settings = self._settings
        block = rpc(self._web3, "eth_getBlockByNumber", ["latest", False])
        with sound("eth_getBlockByNumber"):
            base_fee = int(block["baseFeePerGas"], 16)
        priority = max(settings.min_priority_fee_wei, self._suggested_priority())
        max_fee = 2 * base_fee + priority
        if last is not None:
            priority = max(priority, _raised(last.priority_fee_wei, settings.bump_percent))
            max_fee = max(max_fee, priority, _raised(last.max_fee_wei, settings.bump_percent))
        max_fee = min(max_fee, settings.max_fee_cap_wei)
        return max_fee, min(priority, max_fee)

    def _suggested_priority(self) -> int:
        try:
            return rpc_integer(self._web3, "eth_maxPriorityFeePerGas", [])
        except RpcError:
            return 0  # not every node has the method; the minimum stands

    def _sign(self, row: OutboxRow, fees: tuple[int, int] | None = None) -> OutboxRow:
        """Afterwards the signed bytes are on disk; nobody else has seen them."""
        max_fee, priority = fees or self._fees(None)
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": row.nonce,
            "to": row.call.to,
            "data": row.call.data,
            "value": row.call.value,
            "gas": row.gas_limit,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": priority,
        }
        signed = self._account.sign_transaction(cast(Any, transaction))
        attempt = SignedAttempt(
            transaction_hash=bytes(signed.hash),
            raw=bytes(signed.raw_transaction),
            nonce=row.nonce,
            max_fee_wei=max_fee,
            priority_fee_wei=priority,
            signed_at=self._clock(),
        )
        return self._outbox.save_signed(row.intent, attempt)

    def _broadcast_new(self, row: OutboxRow) -> None:
        """For `submit`: the row is safe on disk, so that a silent node is no error."""
        try:
            outcome = self._broadcast(row)
        except ChainUnavailable:
            return
        if outcome is not None and outcome.error is not None and _says(outcome.error, _POOR):
            raise InsufficientFunds(f"intent {row.intent}: {outcome.error}")

    def _broadcast(self, row: OutboxRow) -> Outcome | None:
        """None where the node has the transaction, else what it has against it."""
        attempt = row.attempts[-1]
        self._broadcast_at[attempt.transaction_hash] = self._clock()
        try:
            rpc(self._web3, "eth_sendRawTransaction", [to_hex(attempt.raw)])
        except RpcError as error:
            if _says(error.rpc_message, _SENT):
                return None
            if _says(error.rpc_message, _CHEAP):
                self._underpriced.add(row.intent)
            return Outcome(row.intent, row.state, None, error.rpc_message)
        return None

    def _estimate(self, call: Call) -> int:
        """Gas limit with a margin, on the state that includes what is pending."""
        try:
            estimate = rpc_integer(
                self._web3, "eth_estimateGas", [call_object(call, self.address), "pending"]
            )
        except RpcError as error:
            if _says(error.rpc_message, _POOR):
                raise InsufficientFunds(error.rpc_message) from error
            raise revert_of(error) from error
        return estimate if estimate == TRANSFER_GAS else _raised(estimate, self._settings.gas_margin_percent)

    def _nonce(self, tag: str) -> int:
        return rpc_integer(self._web3, "eth_getTransactionCount", [self.address, tag])

    def _forget(self, row: OutboxRow) -> None:
        self._underpriced.discard(row.intent)
        self._taken_since.pop(row.intent, None)
        for attempt in row.attempts:
            self._broadcast_at.pop(attempt.transaction_hash, None)


def _raised(value: int, percent: int) -> int:
    return value + value * percent // 100 + 1


def _says(message: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in message.lower() for phrase in phrases)


def _concluded(outcome: Outcome) -> bool:
    return outcome.state in (IntentState.MINED, IntentState.FAILED)


def _reverted(row: OutboxRow) -> TransactionReverted:
    message = row.error or "reverted"
    name = _ERROR_NAME.match(message)
    return TransactionReverted(
        f"intent {row.intent}: {message}",
        name=name.group() if name else "",
        transaction_hash=row.receipt.transaction_hash if row.receipt else None,
    )
