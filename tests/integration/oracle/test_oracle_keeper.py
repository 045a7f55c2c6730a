"""The keeper on a real chain: matured proofs of many leases go in one transaction where that works."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oracle.keeper import Keeper
from oracle.store.engine import open_store
from oracle.store.outbox import StoreOutbox
from oracle.watcher import Watcher
from protocol.outbox import Outbox, SqliteOutbox
from protocol.sender import Sender, SenderSettings
from tests.anvil import CHAIN_ID, Deployment, account
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.oracle_fleet import Fleet
from tests.integration.sender_bench import Clock, pay

LEASES = 6
KEEPER = 5


@dataclass(slots=True)
class Bench:
    """A keeper whose store a watcher fills; `step` is a turn of both and a block."""

    fleet: Fleet
    keeper: Keeper
    watcher: Watcher
    outbox: Outbox
    clock: Clock

    def read(self) -> None:
        while self.watcher.turn():
            pass

    def step(self) -> list[str]:
        """The intents that went out."""
        self.read()
        before = {row.intent for row in self.outbox.list_unconfirmed()}
        self.keeper.turn()
        sent = [row.intent for row in self.outbox.list_unconfirmed() if row.intent not in before]
        self.fleet.rental.deployment.anvil.mine()
        return sent

    def pending(self) -> int:
        market = self.fleet.rental.deployment.market
        return sum(market.lease_state(lease).mature_offset != 0 for lease in self.fleet.ids())


@pytest.fixture
def bench(still_deployment: Deployment, tmp_path: Path, database_url: str) -> Iterator[Bench]:
    """Whose outbox is a file beside SQLite, and in the store of PostgreSQL."""
    rental = rig.make_rental(still_deployment)
    fleet = Fleet.open(rental, LEASES)
    anvil = still_deployment.anvil
    anvil.send_all(rental.worker, [(call, b"") for call in fleet.single_calls(fleet.terms)])
    fleet.mature()
    store, file, clock = open_store(database_url), SqliteOutbox(tmp_path / "outbox.sqlite"), Clock()
    outbox = StoreOutbox(store) if store.shared else file
    clock.now = float(anvil.now())
    sender = Sender(anvil.web3, account(KEEPER), outbox, CHAIN_ID, SenderSettings(), clock)
    keeper = Keeper(
        store,
        still_deployment.market,
        sender,
        outbox,
        lambda: int(clock.now),
        confirmations=0,
        proof_grace_seconds=5,
        batch_gas=6_000_000,
    )
    watcher = Watcher(anvil.web3, still_deployment.manifest, store, retained_blocks=64, batch_blocks=1000)
    yield Bench(fleet, keeper, watcher, outbox, clock)
    file.close()
    store.close()


def test_turn__several_matured__are_settled_by_one_transaction_once(bench: Bench) -> None:
    assert bench.pending() == LEASES
    (intent,) = bench.step()
    assert intent.startswith("settle_many:")
    assert bench.pending() == 0
    bench.keeper.turn()  # mined, but not read yet: nothing is sent twice
    assert bench.step() == [] == bench.step()
    row = bench.outbox.find(intent)
    assert row is not None and row.receipt is not None and len(row.receipt.logs) == LEASES
    assert row.receipt.gas_used < row.gas_limit < 200_000 * LEASES


def test_turn__batch_that_the_gas_forbids__is_halved_and_ends_in_single_calls(bench: Bench) -> None:
    single = bench.fleet.rental.deployment.market.build_settle(bench.fleet.terms[0])
    gas = bench.keeper._sender.estimate(single)
    bench.keeper._batch_gas = gas + 1
    sent = bench.step()
    assert len(sent) == LEASES and all(intent.startswith("settle:") for intent in sent)
    assert bench.pending() == 0


def test_turn__batch_that_reverted_when_mined__is_followed_by_single_calls(bench: Bench) -> None:
    anvil = bench.fleet.rental.deployment.anvil
    bench.read()
    bench.keeper.turn()
    (row,) = bench.outbox.list_unconfirmed()
    market = bench.fleet.rental.deployment.market.address
    code = anvil.call("eth_getCode", market, "latest")
    anvil.call("anvil_setCode", market, "0x60006000fd")
    anvil.mine()
    anvil.call("anvil_setCode", market, code)
    sent = bench.step()
    assert len(sent) == LEASES and all(intent.startswith("settle:") for intent in sent)
    assert bench.pending() == 0
    failed = bench.outbox.find(row.intent)
    assert failed is not None and failed.receipt is not None and failed.receipt.status == 0


def test_turn__stranger_on_the_key__rests_for_good_and_says_so(bench: Bench) -> None:
    anvil = bench.fleet.rental.deployment.anvil
    bench.read()
    bench.keeper.turn()
    anvil.call("anvil_dropAllTransactions")
    anvil.send(account(KEEPER), pay())
    bench.clock.now += 16
    bench.keeper.turn()
    bench.clock.now += 16
    assert bench.keeper.turn() is False
    assert bench.keeper.standing().contested
    assert bench.step() == [] and bench.pending() == LEASES
