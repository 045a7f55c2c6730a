"""Senders of a chain that mines when it is told to, and what their tests look at."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from protocol.calls import Call
from protocol.outbox import IntentState, OutboxRow, SqliteOutbox
from protocol.sender import Sender, SenderSettings
from protocol.units import address_of
from tests.anvil import CHAIN_ID, Anvil, account

TARGET = address_of(b"\x99" * 20)
STUCK = SenderSettings(bump_after_seconds=30, rebroadcast_seconds=5)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Senders of one chain, each with an outbox of its own unless they share a path."""

    def __init__(self, anvil: Anvil, folder: Path) -> None:
        self.anvil = anvil
        self.folder = folder
        self.clock = Clock()
        self.open: list[SqliteOutbox] = []

    def sender(
        self, index: int = 3, outbox: str = "outbox.sqlite", settings: SenderSettings = STUCK
    ) -> Sender:
        return self.sender_of(account(index), outbox, settings)

    def sender_of(
        self, signer: LocalAccount, outbox: str = "outbox.sqlite", settings: SenderSettings = STUCK
    ) -> Sender:
        self.open.append(SqliteOutbox(self.folder / outbox))
        return Sender(self.anvil.web3, signer, self.open[-1], CHAIN_ID, settings, self.clock)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    def balance(self, address: str = TARGET) -> int:
        return int(self.anvil.call("eth_getBalance", address, "latest"), 16)

    def transaction_count(self, index: int = 3) -> int:
        return int(self.anvil.call("eth_getTransactionCount", account(index).address, "latest"), 16)


@pytest.fixture
def bench(still_anvil: Anvil, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(still_anvil, tmp_path)
    yield found
    for outbox in found.open:
        outbox.close()


def pay(value: int = 1) -> Call:
    return Call(TARGET, b"", value)


def row_of(sender: Sender, intent: str) -> OutboxRow:
    row = sender.row(intent)
    assert row is not None
    return row


def transaction_of(sender: Sender, intent: str) -> str:
    return "0x" + row_of(sender, intent).attempts[-1].transaction_hash.hex()


def raise_base_fee(anvil: Anvil, wei: int) -> None:
    anvil.call("anvil_setNextBlockBaseFeePerGas", hex(wei))
    anvil.mine()


def states(sender: Sender) -> dict[str, IntentState]:
    return {outcome.intent: outcome.state for outcome in sender.turn()}
