"""Sends transactions so that each intent is carried out once, whatever dies on the way.

Nonce and signed bytes are on disk before the network sees them. `turn` compares what should be with what is:
it signs, broadcasts, replaces what is stuck by a better paid twin, fills gaps, concludes what is mined, and
sends again what a reorganisation took back.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from eth_account.signers.local import LocalAccount
from web3 import Web3

from protocol.batch import rpc_each
from protocol.broadcast import Broadcaster, is_poor
from protocol.calls import Call, call_object, revert_of
from protocol.chain import read_block, rpc_integer, sound
from protocol.errors import (
    BadInput,
    ChainUnavailable,
    InsufficientFunds,
    ProtocolError,
    RpcError,
    TransactionPending,
    TransactionReverted,
    WrongChain,
)
from protocol.fees import FeeMarket, Fees, better_fees, first_fees, raised, read_market
from protocol.inclusion import ForkWatch, receipts_of, revert_reason, reverted
from protocol.intents import Intent, Outcome, SenderSettings, Standing
from protocol.keccak import keccak256
from protocol.outbox import UNCONFIRMED, IntentState, Outbox, OutboxRow, Receipt, Reservation
from protocol.rivals import Rivals
from protocol.signing import Signing
from protocol.units import Address, address_bytes, parse_address

__all__ = ["Intent", "Outcome", "Sender", "SenderSettings", "Standing"]

TRANSFER_GAS: Final = 21_000
PASSED_OVER_BLOCKS: Final = 2


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
        self._outbox = outbox
        self._settings = settings or SenderSettings()
        self._clock = clock
        self._lock = threading.RLock()
        self._broadcaster = Broadcaster(web3, clock, self._settings.rebroadcast_seconds)
        self._signing = Signing(account, outbox, chain_id, self._settings.spend_cap_wei, clock)
        self._waits_since: dict[bytes, int] = {}  # block in which a signed attempt was first looked at
        self._forks = ForkWatch(web3, self._settings.reorg_blocks)
        genesis = read_block(web3, 0).hash
        outbox.bind(keccak256(chain_id.to_bytes(32) + genesis + address_bytes(self.address)))
        known = max(self._nonce("pending"), outbox.next_nonce())
        patience = self._settings.nonce_taken_seconds
        self._rivals = Rivals(web3, self.address, outbox, clock, patience, known)

    def submit(self, intent: str, call: Call, gas_limit: int | None = None) -> IntentState:
        """Afterwards the call is on disk under `intent`, and broadcast where node and spend cap allow it.

        An intent is carried out once: a second submit says where it stands. TransactionReverted where the
        call would revert now (no row is left), InsufficientFunds (a row that is there stays and is tried
        again), BadInput where the intent was used for another call, KeyContested.
        """
        (result,) = self.submit_many([Intent(intent, call, gas_limit)])
        if isinstance(result, ProtocolError):
            raise result
        return result

    def submit_many(self, intents: Sequence[Intent]) -> list[IntentState | ProtocolError]:
        """As `submit` for each, in few requests and one write; what it would raise stands in its place.

        A call is tried on the state that all before it leave only where it comes with a gas limit.
        """
        with self._lock:
            self._rivals.require_none()
            results = self._reserve(intents)
            results.update(self._send_new([row for row in results.values() if isinstance(row, OutboxRow)]))
            answers: list[IntentState | ProtocolError] = []
            for each in intents:
                result = results[each.name]
                if isinstance(result, OutboxRow) and result.call != each.call:
                    message = f"intent {each.name}: expected the call it was first used for, got another"
                    result = BadInput(message)
                answers.append(result.state if isinstance(result, OutboxRow) else result)
            return answers

    def turn(self) -> list[Outcome]:
        """Moves every unconfirmed intent on; returns what was concluded or is held up.

        ChainUnavailable. KeyContested where somebody else sends with this key: nothing is sent any more.
        """
        with self._lock:
            self._rivals.require_none()
            outcomes = self._reopen()
            rows = self._outbox.list_unconfirmed()
            if not rows:
                return outcomes
            mined = self._nonce("latest")
            if not self._settings.shared_key:
                self._rivals.check_spent(mined)
            rows = sorted([*self._fill_gaps(rows, mined), *rows], key=lambda row: row.nonce)
            outcomes += self._conclude_spent([row for row in rows if _lowest_nonce(row) < mined], mined)
            concluded = {each.intent for each in outcomes if each.state not in UNCONFIRMED}
            waiting = [row for row in rows if row.nonce >= mined and row.intent not in concluded]
            return outcomes + self._move_on(waiting, mined)

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
                raise reverted(row)
            try:
                if any(each.intent == intent and each.state not in UNCONFIRMED for each in self.turn()):
                    continue
            except ChainUnavailable:
                if time.monotonic() >= deadline:
                    raise
            if time.monotonic() >= deadline:
                raise TransactionPending(f"intent {intent}: not mined within {timeout_seconds} seconds")
            time.sleep(self._settings.poll_seconds)

    def estimate(self, call: Call) -> int:
        """Gas limit that `submit` would choose. TransactionReverted, InsufficientFunds, RpcError."""
        limit = self._gas_limits([Intent("", call)])[""]
        if isinstance(limit, ProtocolError):
            raise limit
        return limit

    def row(self, intent: str) -> OutboxRow | None:
        """Where an intent stands on disk."""
        return self._outbox.find(intent)

    def standing(self) -> Standing:
        """As it is on disk, whatever a turn is waiting for."""
        return Standing(
            unconfirmed=len(self._outbox.list_unconfirmed()),
            held=len(self._signing.held),
            spent_wei=self._signing.spent_wei(),
            spend_cap_wei=self._settings.spend_cap_wei,
            contested=self._rivals.contested,
        )

    def _reserve(self, intents: Sequence[Intent]) -> dict[str, OutboxRow | ProtocolError]:
        """A row each, or why there is none."""
        found = {each.name: self._outbox.find(each.name) for each in intents}
        fresh = {each.name: each for each in intents if found[each.name] is None}
        limits = self._gas_limits(list(fresh.values()))
        results: dict[str, OutboxRow | ProtocolError] = {
            name: row for name, row in found.items() if row is not None
        }
        wanted: list[Reservation] = []
        for name, limit in limits.items():
            if isinstance(limit, ProtocolError):
                results[name] = limit
            else:
                wanted.append(Reservation(name, fresh[name].call, limit))
        if wanted:
            rows = self._outbox.reserve(wanted, self._nonce("pending"))
            results.update({row.intent: row for row in rows})
        return results

    def _send_new(self, rows: Sequence[OutboxRow]) -> dict[str, OutboxRow | ProtocolError]:
        """What changed by it. The rows are safe on disk, so that a silent node is no error."""
        changed: dict[str, OutboxRow | ProtocolError] = {}
        reserved = [row for row in rows if row.state is IntentState.RESERVED]
        sent = [row for row in rows if row.state is IntentState.SIGNED]
        try:
            if reserved:
                sent += self._sign_first(reserved)
                changed.update({row.intent: row for row in sent})
            for intent, error in self._broadcaster.send(sent).items():
                if is_poor(error):
                    changed[intent] = InsufficientFunds(f"intent {intent}: {error}")
        except (ChainUnavailable, RpcError):
            pass
        return changed

    def _sign_first(self, reserved: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Unless some wait for the spend cap already: those come first."""
        if self._signing.held:
            return []
        market = read_market(self._web3)
        return self._signing.sign([(row, first_fees(market, self._settings)) for row in reserved])

    def _reopen(self) -> list[Outcome]:
        """What a reorganisation took back is unconfirmed again, and sent by the turn that finds it."""
        first = self._forks.suspects_from(self._outbox.newest_inclusion())
        if first is None:
            return []
        rows = self._outbox.list_included(first)
        receipts = receipts_of(self._web3, rows)
        outcomes: list[Outcome] = []
        for row in rows:
            receipt = receipts.get(row.intent)
            if receipt is None:
                row = self._outbox.reopen(row.intent)
                outcomes.append(Outcome(row.intent, row.state, None, "the block that held it is gone"))
            elif row.receipt is None or receipt.block_hash != row.receipt.block_hash:
                outcomes += self._conclude(row, receipt)
        self._forks.settle()
        return outcomes

    def _conclude(self, row: OutboxRow, receipt: Receipt) -> list[Outcome]:
        if receipt.status == 1:
            row = self._outbox.mark_mined(row.intent, receipt)
        else:
            reason = revert_reason(self._web3, row.call, receipt.block_number, self.address)
            row = self._outbox.mark_failed(row.intent, reason, receipt)
        self._forget(row)
        return [Outcome(row.intent, row.state, row.receipt, row.error)]

    def _conclude_spent(self, rows: Sequence[OutboxRow], mined: int) -> list[Outcome]:
        """Rows whose nonces, or former ones, are spent: by themselves unless a rival was faster."""
        if not rows:
            return []
        settled = rpc_integer(self._web3, "eth_blockNumber", []) - self._settings.confirmations + 1
        receipts = receipts_of(self._web3, rows)
        outcomes: list[Outcome] = []
        for row in rows:
            receipt, by = receipts.get(row.intent), ""
            if receipt is None and row.nonce < mined and self._rivals.waited(row):
                receipt, by = self._rivals.own_receipt(row)
            if receipt is not None:
                outcomes += self._conclude(row, receipt) if receipt.block_number <= settled else []
            elif by and self._settings.shared_key:
                outcomes += self._take_new_nonce(row)
            elif by:
                self._rivals.contest(f"nonce {row.nonce} of intent {row.intent} went to {by}")
        return outcomes

    def _take_new_nonce(self, row: OutboxRow) -> list[Outcome]:
        limit = self._gas_limits([Intent(row.intent, row.call)])[row.intent]
        if isinstance(limit, ProtocolError) and not isinstance(limit, TransactionReverted):
            return [Outcome(row.intent, row.state, None, limit.message)]
        self._forget(row)
        if isinstance(limit, TransactionReverted):
            row = self._outbox.mark_failed(row.intent, limit.message, None)
            return [Outcome(row.intent, row.state, None, row.error)]
        self._send_new([self._outbox.move(row.intent, self._nonce("pending"))])
        return []

    def _fill_gaps(self, rows: list[OutboxRow], mined: int) -> list[OutboxRow]:
        """Nonces below ours that nobody will use: what a reorganisation took back is sent again, the rest is
        spent on empty transfers to ourselves. Our own signed transactions never move into a gap: the old twin
        would still be valid.
        """
        known = {row.nonce for row in rows}
        gaps = [nonce for nonce in range(mined, max(known)) if nonce not in known]
        pending = self._nonce("pending") if gaps else 0
        fillers: list[OutboxRow] = []
        for nonce in gaps:
            former = self._outbox.at_nonce(nonce)
            if former is not None:
                fillers.append(self._outbox.reopen(former.intent))
            elif nonce >= pending:  # else somebody else's transaction waits there
                empty = Reservation(f"gap:{nonce}", Call(self.address, b""), TRANSFER_GAS)
                fillers.append(self._outbox.reserve_at(empty, nonce))
        return fillers

    def _move_on(self, rows: Sequence[OutboxRow], mined: int) -> list[Outcome]:
        """Signs what is not signed, replaces what is stuck, and broadcasts both and what may be lost."""
        self._signing.held.clear()
        offers, against = self._offers(rows, mined)
        signed = {row.intent: row for row in self._signing.sign(offers)}
        current = [signed.get(row.intent, row) for row in rows]
        due = [row for row in current if row.intent in signed or self._broadcaster.is_due(row)]
        against = {**self._broadcaster.send(due), **against, **self._signing.held}
        held = [row for row in current if row.intent in against]
        return [Outcome(row.intent, row.state, None, against[row.intent]) for row in held]

    def _offers(
        self, rows: Sequence[OutboxRow], mined: int
    ) -> tuple[list[tuple[OutboxRow, Fees]], dict[str, str]]:
        """What to sign and for how much; and what the cap on fees forbids."""
        aged = [row for row in rows if row.state is IntentState.RESERVED or self._is_old(row)]
        offers: list[tuple[OutboxRow, Fees]] = []
        forbidden: dict[str, str] = {}
        if not aged:
            return offers, forbidden
        market = read_market(self._web3)
        for row in aged:
            if row.state is IntentState.RESERVED:
                offers.append((row, first_fees(market, self._settings)))
            elif self._is_stuck(row, market, mined):
                last = row.attempts[-1]
                fees = better_fees(market, self._settings, Fees(last.max_fee_wei, last.priority_fee_wei))
                if fees is not None:
                    offers.append((row, fees))
                else:
                    cap = self._settings.max_fee_cap_wei
                    forbidden[row.intent] = f"stuck: a replacement needs more than the cap of {cap} wei a gas"
        return offers, forbidden

    def _is_old(self, row: OutboxRow) -> bool:
        """Whether it is time to ask why it is not mined."""
        waited = self._clock() - row.attempts[-1].signed_at >= self._settings.bump_after_seconds
        return waited or self._broadcaster.is_cheap(row)

    def _is_stuck(self, row: OutboxRow, market: FeeMarket, mined: int) -> bool:
        """Whether its price is what keeps it: where no blocks come, or one before it is stuck, it is not."""
        last = row.attempts[-1]
        since = self._waits_since.setdefault(last.transaction_hash, market.block_number)
        if self._broadcaster.is_cheap(row) or last.max_fee_wei < market.base_fee_wei:
            return True
        return row.nonce == mined and market.block_number >= since + PASSED_OVER_BLOCKS

    def _gas_limits(self, intents: Sequence[Intent]) -> dict[str, int | ProtocolError]:
        """With a margin, on the state that includes what is pending; or why the call cannot be made."""
        asked = [each for each in intents if each.gas_limit is None]
        params = [[call_object(each.call, self.address), "pending"] for each in asked]
        answers = rpc_each(self._web3, "eth_estimateGas", params)
        limits = {each.name: self._limit(answer) for each, answer in zip(asked, answers, strict=True)}
        return {
            each.name: limits[each.name] if each.gas_limit is None else each.gas_limit for each in intents
        }

    def _limit(self, answer: object) -> int | ProtocolError:
        if isinstance(answer, RpcError):
            return InsufficientFunds(answer.rpc_message) if is_poor(answer.rpc_message) else revert_of(answer)
        with sound("eth_estimateGas"):
            estimate = int(cast(str, answer), 16)
        return estimate if estimate == TRANSFER_GAS else raised(estimate, self._settings.gas_margin_percent)

    def _nonce(self, tag: str) -> int:
        return rpc_integer(self._web3, "eth_getTransactionCount", [self.address, tag])

    def _forget(self, row: OutboxRow) -> None:
        self._broadcaster.forget(row)
        self._rivals.forget(row)
        for attempt in row.attempts:
            self._waits_since.pop(attempt.transaction_hash, None)


def _lowest_nonce(row: OutboxRow) -> int:
    return min([row.nonce, *(attempt.nonce for attempt in row.attempts)])
