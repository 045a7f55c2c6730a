"""The wake-up by new heads: it comes at once, comes back after the node does, and ends when it is told to."""

import threading
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from oracle.heads import Heads
from oracle.loops import Shutdown
from tests.anvil import Anvil, free_port, run_anvil
from tests.integration.oracle import oracle_rig as rig


class Woken:
    def __init__(self) -> None:
        self.count = 0
        self.event = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.event.set()


@pytest.fixture
def shutdown() -> Iterator[Shutdown]:
    made = Shutdown()
    yield made
    made.ask()


def follow(url: str, shutdown: Shutdown) -> tuple[Heads, Woken]:
    woken = Woken()
    heads = Heads(url, woken, shutdown)
    heads.start()
    return heads, woken


def socket_of(anvil: Anvil) -> str:
    return anvil.rpc_url.replace("http", "ws")


def test_heads__block_mined__wakes_and_shutdown_ends_it(still_anvil: Anvil, shutdown: Shutdown) -> None:
    heads, woken = follow(socket_of(still_anvil), shutdown)
    assert woken.event.wait(10), "once at the start: what came before is read too"
    for expected in (2, 3):
        still_anvil.mine()
        rig.until(lambda expected=expected: woken.count >= expected, "a head wakes")
    began = time.monotonic()
    shutdown.ask()
    heads.join()
    assert time.monotonic() - began < 5


def test_heads__node_gone_and_back__subscribed_anew(shutdown: Shutdown) -> None:
    port = free_port()
    with run_anvil(block_time_seconds=None, port=port) as anvil:
        heads, woken = follow(socket_of(anvil), shutdown)
        assert woken.event.wait(10)
    woken.event.clear()
    with run_anvil(block_time_seconds=None, port=port):
        assert woken.event.wait(20)
    shutdown.ask()
    heads.join()


def test_heads__nobody_there__says_so_without_the_secret_and_can_be_stopped(shutdown: Shutdown) -> None:
    with capture_logs() as lines:
        heads, woken = follow(f"ws://u:secret@127.0.0.1:{free_port()}/key", shutdown)
        rig.until(lambda: lines, "a line")
        shutdown.ask()
        heads.join()
    assert lines[0]["event"] == "heads_lost"
    assert "secret" not in str(lines) and "/key" not in str(lines)
    assert woken.count == 0
