"""The watcher over nodes that fail, lag and lie: its index ends as a fresh replay of the chain does."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from web3 import Web3

from oracle.store import history
from oracle.store.engine import Store, open_store
from oracle.watcher import Watcher
from protocol.chain import connect, disconnect, read_block, rpc
from protocol.errors import ChainUnavailable, RejectedError, RetryableError, WrongChain
from protocol.failover import nodes_of
from protocol.nodes import Limits
from protocol.units import hex_bytes
from tests.anvil import CHAIN_ID, Deployment, free_port
from tests.faulty_node import Faults, FaultyNode, faulty_node
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.test_oracle_watcher import assert_equals_replay, catch_up
from tests.scale import chosen

TURNS = 2000
SECONDS = 1.0
BRISK_SECONDS = 0.05
LIMITS = Limits(check_seconds=0, rest_seconds=0.01, max_rest_seconds=0.05, reorg_blocks=3)


@pytest.fixture
def rental(still_deployment: Deployment) -> rig.Rental:
    return rig.make_rental(still_deployment)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


class Scene:
    """Faulty nodes before one chain, and a watcher that has them all, in their order."""

    def __init__(self, stack: ExitStack, rental: rig.Rental, store: Store) -> None:
        self._stack = stack
        self.rental = rental
        self.deployment = rental.deployment
        self.store = store
        self.nodes: list[FaultyNode] = []

    def node(self, faults: Faults | None = None) -> FaultyNode:
        made = faulty_node(self.deployment.anvil.rpc_url, faults, seed=len(self.nodes))
        self.nodes.append(self._stack.enter_context(made))
        return self.nodes[-1]

    def connect(self, limits: Limits = LIMITS, timeout_seconds: float = SECONDS, attempts: int = 1) -> Web3:
        urls = [node.url for node in self.nodes]
        web3 = connect(urls, CHAIN_ID, timeout_seconds, limits, attempts)
        self._stack.callback(disconnect, web3)
        return web3

    def watcher(self, web3: Web3, batch: int = 1000) -> Watcher:
        return Watcher(web3, self.deployment.manifest, self.store, retained_blocks=64, batch_blocks=batch)

    def list_offers(self, first: int, count: int) -> None:
        """So many blocks with an event each."""
        market = self.deployment.market
        for salt in range(first, first + count):
            offer = replace(self.rental.offer, salt=salt)
            self.deployment.anvil.send(self.rental.provider, market.build_list(offer))

    def persist(self, watcher: Watcher) -> int:
        """Turns, as the oracle's loop takes them, until all is read. How many failed."""
        head, failed = read_block(self.deployment.anvil.web3, "latest").number, 0
        for _ in range(TURNS):
            try:
                watcher.turn()
            except RetryableError:
                failed += 1
            with self.store.read() as transaction:
                cursor = history.get_cursor(transaction)
            if cursor is not None and cursor.number >= head:
                return failed
        raise AssertionError(f"not read in {TURNS} turns, {failed} of which failed")


@pytest.fixture
def scene(rental: rig.Rental, store: Store) -> Iterator[Scene]:
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    with ExitStack() as stack:
        yield Scene(stack, rental, store)


@pytest.mark.parametrize("count", [1, 2])
def test_watcher__errors_timeouts_and_stale_heads__index_equals_a_fresh_replay(
    scene: Scene, tmp_path: Path, count: int
) -> None:
    faults = Faults(errors=0.3, timeouts=0.1, stale=0.05, malformed=0.02, hang_seconds=2 * BRISK_SECONDS)
    for _ in range(count):
        scene.node()
    watcher = scene.watcher(scene.connect(timeout_seconds=BRISK_SECONDS, attempts=3), batch=3)
    for node in scene.nodes:
        node.faults = replace(faults)
    for first in range(100, 100 + 5 * len(chosen(range(3), range(60))), 5):
        scene.list_offers(first, 5)
        scene.persist(watcher)
    counts = scene.nodes[0].counts
    assert counts["errors"] and counts["timeouts"] and counts["stale"], counts
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


@pytest.mark.parametrize("blocks_behind", [3, 40], ids=["live", "backfill"])
def test_watcher__one_of_two_nodes_suppresses_events__all_are_found(
    scene: Scene, tmp_path: Path, blocks_behind: int
) -> None:
    liar = scene.node(Faults(suppressed=0.2))
    scene.node()
    watcher = scene.watcher(scene.connect())
    catch_up(watcher)
    for first in range(100, 100 + max(12, blocks_behind), blocks_behind):
        scene.list_offers(first, blocks_behind)
        scene.persist(watcher)
    assert liar.counts["suppressed logs"] > 0
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def test_watcher__only_node_suppresses_events__nothing_is_passed_over_and_all_read_once_it_stops(
    scene: Scene, tmp_path: Path
) -> None:
    node = scene.node()
    watcher = scene.watcher(scene.connect())
    catch_up(watcher)
    node.faults.suppressed = 1.0
    scene.list_offers(100, 1)
    for _ in range(3):
        with pytest.raises(ChainUnavailable, match=r"of 1 logs in block .* it told 0"):
            watcher.turn()
    node.faults.suppressed = 0.0
    assert scene.persist(watcher) == 0
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def test_watcher__receipts_suppressed_too__header_gives_the_node_away(scene: Scene) -> None:
    node = scene.node()
    watcher = scene.watcher(scene.connect())
    catch_up(watcher)

    def hide(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts":
            return [{**receipt, "logs": []} for receipt in result]
        return [] if method == "eth_getLogs" else result

    node.faults.rewrite = hide
    scene.list_offers(100, 1)
    with pytest.raises(ChainUnavailable, match="expected the receipts of its header"):
        watcher.turn()


def test_watcher__node_without_block_receipts__reads_on_and_says_so(scene: Scene, tmp_path: Path) -> None:
    node = scene.node()
    watcher = scene.watcher(scene.connect())

    def forget(method: str, params: list[Any], result: Any) -> Any:
        assert method != "eth_getBlockReceipts"
        return result

    catch_up(watcher)
    node.faults.unknown_methods = frozenset({"eth_getBlockReceipts"})
    node.faults.rewrite = forget
    scene.list_offers(100, 3)
    with capture_logs() as lines:
        scene.persist(watcher)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["no_block_receipts"]
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def lie(method_told: str, change: Callable[[Any], Any]) -> Callable[[str, list[Any], Any], Any]:
    return lambda method, params, result: change(result) if method == method_told else result


def wrong_hash(result: Any) -> Any:
    return None if result is None else {**result, "hash": "0x" + "ab" * 32}


def other_blocks(logs: Any) -> Any:
    return [{**log, "blockHash": "0x" + "cd" * 32} for log in logs]


def impossible(logs: Any) -> Any:
    """Each offer is listed with a byte of its hash changed: the ledger refuses it."""
    return [{**log, "topics": [log["topics"][0], "0x" + "ef" * 32, *log["topics"][2:]]} for log in logs]


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(rewrite=lie("eth_chainId", lambda _: "0x1")), "expected chain 31337, got 1"),
        (Faults(rewrite=lie("eth_blockNumber", lambda head: hex(int(head, 16) - 9))), "its head is"),
        (Faults(rewrite=lie("eth_getBlockByNumber", wrong_hash)), "is not that of its peers"),
        (Faults(rewrite=lie("eth_getLogs", other_blocks)), "logs whose blocks are not"),
        (Faults(rewrite=lie("eth_getLogs", impossible)), "malformed log|offer|it told"),
        (Faults(errors=1.0), "expected status 200, got 503"),
        (Faults(blackout=True), "ConnectionError"),
        (Faults(malformed=1.0), "JSONDecodeError|DecodeError"),
        (Faults(timeouts=1.0, hang_seconds=2 * SECONDS), "no answer in time"),
    ],
    ids=["chain", "lag", "hash", "logs of no block", "ledger", "errors", "blackout", "malformed", "timeouts"],
)
def test_watcher__first_of_three_nodes_is_bad__it_rests_by_name_and_the_others_are_read(
    scene: Scene, tmp_path: Path, faults: Faults, reason: str
) -> None:
    bad = scene.node()
    scene.node()
    scene.node()
    web3 = scene.connect()
    watcher = scene.watcher(web3)
    catch_up(watcher)
    bad.faults = faults
    first = nodes_of(web3, lambda: 0.0).nodes[0]
    first.verified = False
    with capture_logs() as lines:
        scene.list_offers(100, 2)
        scene.persist(watcher)
        scene.list_offers(102, 2)
        scene.persist(watcher)
    rested = [line for line in lines if line["event"] == "node_rests"]
    assert {line["node"] for line in rested} == {first.name} == {bad.url}
    assert any(re.search(reason, line["reason"]) for line in rested), rested
    assert_equals_replay(scene.deployment, scene.store, tmp_path)
    bad.faults = Faults()
    first.rested_until = 0.0
    asked = bad.counts["eth_getLogs"]
    scene.list_offers(104, 2)
    scene.persist(watcher)
    assert bad.counts["eth_getLogs"] > asked, "a node that is well again is asked again"
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def test_watcher__fork_on_one_of_two_nodes_alone__is_not_followed(scene: Scene, tmp_path: Path) -> None:
    forked = scene.node()
    scene.node()
    watcher = scene.watcher(scene.connect(Limits(check_seconds=3600, rest_seconds=0.01)))
    catch_up(watcher)
    forked.faults.rewrite = lie("eth_getBlockByNumber", wrong_hash)
    scene.list_offers(100, 2)
    with capture_logs() as lines:
        scene.persist(watcher)
    assert not [line for line in lines if line["event"] == "fork_undone"]
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def test_watcher__all_nodes_tell_a_history_that_cannot_be__halts(scene: Scene) -> None:
    for _ in range(2):
        scene.node(Faults(rewrite=lie("eth_getLogs", impossible)))
    watcher = scene.watcher(scene.connect(Limits(check_seconds=3600, max_rest_seconds=0.01)), batch=1000)
    watcher._completeness._without_receipts = {node.url for node in scene.nodes}
    with pytest.raises(RejectedError):
        scene.persist(watcher)


@pytest.mark.parametrize("limit", [1, 7])
def test_watcher__node_that_refuses_wide_queries__asked_for_fewer_blocks_then_more_again(
    scene: Scene, tmp_path: Path, limit: int
) -> None:
    node = scene.node(Faults(max_span_blocks=limit))
    watcher = scene.watcher(scene.connect())
    scene.list_offers(100, 10)
    assert scene.persist(watcher) == 0
    assert_equals_replay(scene.deployment, scene.store, tmp_path)
    node.faults.max_span_blocks = None
    scene.deployment.anvil.mine(60)
    scene.persist(watcher)
    assert watcher._span.blocks > limit


def test_connect__several_addresses__needs_one_that_answers(scene: Scene) -> None:
    dead = f"http://user:secret@127.0.0.1:{free_port()}/key"
    web3 = connect([dead, scene.deployment.anvil.rpc_url], CHAIN_ID)
    assert rpc(web3, "eth_chainId", []) == hex(CHAIN_ID)
    disconnect(web3)
    with pytest.raises(ChainUnavailable) as caught:
        connect([dead, dead + "2"], CHAIN_ID)
    assert "secret" not in str(caught.value) and "key" not in str(caught.value)
    with pytest.raises(WrongChain):
        connect([scene.deployment.anvil.rpc_url, scene.node().url], 1)


def test_failover__calls_of_every_kind__answered_while_one_node_answers(scene: Scene) -> None:
    scene.node()
    scene.node()
    web3 = scene.connect()
    for bad in scene.nodes:
        bad.faults.errors = 1.0
        block = read_block(web3, "latest")
        assert hex_bytes(rpc(web3, "eth_getBlockByNumber", [hex(block.number), False])["hash"]) == block.hash
        assert scene.deployment.market.registry() == scene.deployment.manifest.registry
        bad.faults.errors = 0.0


def test_log__of_rests__names_no_secret(scene: Scene) -> None:
    structlog.reset_defaults()
    url = scene.deployment.anvil.rpc_url
    dead = f"http://user:secret@127.0.0.1:{free_port()}/key"
    with capture_logs() as lines:
        disconnect(connect([dead, url], CHAIN_ID))
    assert lines and "secret" not in str(lines) and "/key" not in str(lines)


def test_watcher__node_that_takes_no_batches__asked_call_by_call(scene: Scene, tmp_path: Path) -> None:
    node = scene.node(Faults(takes_batches=False))
    watcher = scene.watcher(scene.connect())
    scene.list_offers(100, 3)
    assert scene.persist(watcher) == 0
    assert node.counts["eth_getBlockByNumber"] > 3
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def test_watcher__answers_in_another_order__read_all_the_same(scene: Scene, tmp_path: Path) -> None:
    scene.node(Faults(shuffles=True))
    watcher = scene.watcher(scene.connect())
    scene.list_offers(100, 6)
    assert scene.persist(watcher) == 0
    assert_equals_replay(scene.deployment, scene.store, tmp_path)


def test_oracle__first_of_two_nodes_goes_dark__goes_on_by_the_second_and_new_heads_wake_it(
    rental: rig.Rental, tmp_path: Path
) -> None:
    anvil = rental.deployment.anvil
    with faulty_node(anvil.rpc_url) as first:
        settings = {
            "rpc_url": first.url,
            "rpc_urls": [anvil.rpc_url],
            "heads_url": anvil.rpc_url.replace("http", "ws"),
            "poll_seconds": 600,
        }
        with rig.run_oracle(tmp_path / "oracle", rental.deployment, **settings) as oracle:
            rig.until(lambda: oracle.lines("heads_followed"), "heads are followed")
            rig.until(lambda: oracle.lines("blocks_read"), "the first blocks are read")
            first.faults.blackout = True
            read = len(oracle.lines("blocks_read"))
            anvil.send(rental.provider, rental.deployment.market.build_list(replace(rental.offer, salt=900)))
            rig.until(lambda: len(oracle.lines("blocks_read")) > read, "a block is read, without any poll")
            assert {line["node"] for line in oracle.lines("node_rests")} == {first.url}
            assert oracle.terminate() == 0
