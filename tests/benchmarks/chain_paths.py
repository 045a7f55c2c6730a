"""Paths that begin on a chain: indexing, the way of one transaction into the store, and the audit."""

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from web3 import HTTPProvider, Web3

from oracle.heads import Heads
from oracle.loops import Loop, Shutdown
from oracle.store import history
from oracle.store.engine import Store, open_store
from oracle.watcher import Watcher
from protocol.abi import load_abi
from protocol.chain import connect, disconnect, read_block
from protocol.events import emitters
from protocol.units import to_hex
from scripts.audit.replay import Scope, replay
from tests.anvil import CHAIN_ID, Deployment, deploy, run_anvil
from tests.benchmarks import busy_market
from tests.benchmarks.harness import Figure, Goal, figure, median_seconds

EVENTS: Final = 4000
BLOCKS_PER_QUERY: Final = 1000
POLL_SECONDS: Final = 1.0
TRANSACTIONS: Final = 40
WAIT_SECONDS: Final = 30
_NEVER_EMITTED: Final = "EIP712DomainChanged"

INDEX_GOAL: Final = Goal(
    ">= 25x web3.py `get_logs`; >= 8x ponder + PostgreSQL; >= 0.7x cryo (Rust, memory only)",
    times={"web3.py get_logs": 25, "ponder + PostgreSQL": 8, "cryo": 0.7},
)
ROW_GOAL: Final = Goal("p50 <= 30 ms", at_most=30)
AUDIT_GOAL: Final = Goal(
    ">= 20,000 events/s from the node; >= 100,000/s from a local log file", at_least=20_000
)


def index_events(rounds: int) -> Figure:
    """Events a second from a node into a durable store, with ledger and cursor; web3.py only decodes them."""
    with _busy_deployment(EVENTS) as deployment:
        count = _indexed(deployment)
        paths: dict[str, Callable[[], object]] = {
            "ours": lambda: _index(deployment),
            "web3.py get_logs": lambda: _get_logs(deployment, count),
        }
        seconds = median_seconds(paths, rounds)
    return figure({name: count / value for name, value in seconds.items()}, "events/s", INDEX_GOAL)


def audit_replay(rounds: int) -> Figure:
    """Events a second of a whole audit from nothing, reconciliation included; web3.py only decodes them."""
    with _busy_deployment(EVENTS) as deployment:
        count = _indexed(deployment)
        web3 = connect(deployment.anvil.rpc_url, CHAIN_ID)

        def ours() -> None:
            report = replay(web3, deployment.manifest, Scope(), lambda _: None)
            assert report.is_clean, report.differences

        seconds = median_seconds(
            {"ours": ours, "web3.py get_logs": lambda: _get_logs(deployment, count)}, rounds
        )
        disconnect(web3)
    return figure({name: count / value for name, value in seconds.items()}, "events/s", AUDIT_GOAL)


def transaction_to_row(rounds: int) -> Figure:
    """Milliseconds from the sending of a transaction to the commit that holds its event."""
    with _busy_deployment(0) as deployment, tempfile.TemporaryDirectory() as folder:
        deployment.anvil.call("evm_setAutomine", True)
        store = open_store(f"sqlite:///{folder}/store.sqlite")
        ours = _row_milliseconds(deployment, store, TRANSACTIONS * rounds)
        polled = _polled_milliseconds(deployment, 4 * rounds)
        store.close()
    return figure({"ours": ours, "1 s poll": polled}, "ms", ROW_GOAL, less_is_better=True)


@contextlib.contextmanager
def _busy_deployment(events: int) -> Iterator[Deployment]:
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil)
        if events:
            busy_market.fill(deployment, events)
        yield deployment


def _indexed(deployment: Deployment) -> int:
    """How many events there are, by web3.py."""
    return sum(1 for _ in _events_by_web3(deployment))


def _index(deployment: Deployment) -> float:
    web3 = connect(deployment.anvil.rpc_url, CHAIN_ID)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/store.sqlite")
        watcher = _watcher(web3, deployment, store)
        began = time.perf_counter()
        while watcher.turn():
            pass
        seconds = time.perf_counter() - began
        store.close()
    disconnect(web3)
    return seconds


def _watcher(web3: Web3, deployment: Deployment, store: Store) -> Watcher:
    return Watcher(web3, deployment.manifest, store, retained_blocks=256, batch_blocks=BLOCKS_PER_QUERY)


def _get_logs(deployment: Deployment, expected: int) -> None:
    actual = sum(1 for _ in _events_by_web3(deployment))
    assert actual == expected, f"expected {expected} events, got {actual}"


def _events_by_web3(deployment: Deployment) -> Iterator[object]:
    """As its documentation has it: event by event, decoded by the contract's ABI."""
    web3 = Web3(HTTPProvider(deployment.anvil.rpc_url))
    head = web3.eth.block_number
    for address, name in emitters(deployment.manifest).items():
        for event in web3.eth.contract(address=web3.to_checksum_address(address), abi=load_abi(name)).events:
            if event.event_name == _NEVER_EMITTED:
                continue
            for start in range(0, head + 1, BLOCKS_PER_QUERY):
                yield from event().get_logs(
                    from_block=start, to_block=min(start + BLOCKS_PER_QUERY - 1, head)
                )


def _row_milliseconds(deployment: Deployment, store: Store, count: int) -> float:
    """p50 of transactions sent one after the other, while the watcher runs as it does in the oracle."""
    web3 = connect(deployment.anvil.rpc_url, CHAIN_ID)
    watcher, shutdown, written = _watcher(web3, deployment, store), Shutdown(), threading.Condition()

    def turn() -> bool:
        changed = watcher.turn()
        with written:
            written.notify_all()
        return changed

    loop = Loop("watcher", turn, POLL_SECONDS, shutdown)
    heads = Heads(deployment.anvil.rpc_url.replace("http", "ws"), loop.wake, shutdown)
    loop.start()
    heads.start()
    found: list[float] = []
    try:
        for raw in _signed(deployment, 0, count + 1):
            block = read_block(deployment.anvil.web3, "latest").number + 1
            began = time.perf_counter()
            deployment.anvil.call("eth_sendRawTransaction", raw)
            with written:
                assert written.wait_for(lambda block=block: _cursor(store) >= block, WAIT_SECONDS)
            found.append(time.perf_counter() - began)
    finally:
        shutdown.ask()
        loop.join()
        heads.join()
        disconnect(web3)
    return 1e3 * statistics.median(found[1:])


def _polled_milliseconds(deployment: Deployment, count: int) -> float:
    """p50 where a loop asks web3.py once a second: of transactions sent at moments spread over the second."""
    web3 = Web3(HTTPProvider(deployment.anvil.rpc_url))
    market = web3.eth.contract(
        address=web3.to_checksum_address(deployment.manifest.market), abi=load_abi("LeaseMarket")
    )
    found: list[float] = []
    for number, raw in enumerate(_signed(deployment, 1 << 32, count)):
        block = read_block(deployment.anvil.web3, "latest").number + 1
        began = time.perf_counter()
        deployment.anvil.call("eth_sendRawTransaction", raw)
        next_poll = began + POLL_SECONDS * (number + 0.5) / count
        time.sleep(max(next_poll - time.perf_counter(), 0))
        assert len(market.events.SaltCancelled().get_logs(from_block=block, to_block="latest")) == 1
        found.append(time.perf_counter() - began)
    return 1e3 * statistics.median(found)


def _signed(deployment: Deployment, salt: int, count: int) -> list[str]:
    """Transactions of one account with one event each; with automine, each makes a block."""
    anvil, sender = deployment.anvil, deployment.anvil.accounts[4]
    nonce = int(anvil.call("eth_getTransactionCount", sender.address, "latest"), 16)
    signed: list[str] = []
    for offset in range(count):
        call = deployment.market.build_cancel_salt(salt + offset)
        transaction = {
            "type": 2,
            "chainId": anvil.chain_id,
            "nonce": nonce + offset,
            "to": call.to,
            "value": 0,
            "data": call.data,
            "gas": 200_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        }
        signed.append(to_hex(bytes(sender.sign_transaction(transaction).raw_transaction)))
    return signed


def _cursor(store: Store) -> int:
    with store.read() as transaction:
        cursor = history.get_cursor(transaction)
    return -1 if cursor is None else cursor.number
