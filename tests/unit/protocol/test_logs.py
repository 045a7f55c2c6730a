"""Logs as nodes give them: read strictly, in pieces that a node will answer, nothing kept between calls."""

import gc
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from web3 import Web3
from web3.providers import JSONBaseProvider

from protocol.bloom import bloom_bits, bloom_of, may_hold
from protocol.errors import AnswerTooLarge, ChainTimeout, ChainUnavailable, RpcError
from protocol.logs import Span, fetch_logs, log_entry, read_logs
from protocol.units import address_of

EMITTER = address_of(b"\x11" * 20)
LOG = {
    "address": EMITTER.lower(),
    "topics": ["0x" + "aa" * 32],
    "data": "0x1234",
    "blockNumber": "0x7",
    "blockHash": "0x" + "bb" * 32,
    "transactionHash": "0x" + "cc" * 32,
    "transactionIndex": "0x0",
    "logIndex": "0x3",
    "removed": False,
}


class Script(JSONBaseProvider):
    """A transport of one callable: method and parameters to the answer."""

    def __init__(self, answer: Callable[[str, list[Any]], dict[str, Any]]) -> None:
        super().__init__()
        self._answer = answer
        self.asked: list[tuple[int, int]] = []

    def make_request(self, method: Any, params: Any) -> Any:
        self.asked.append((int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)))
        return {"jsonrpc": "2.0", "id": 1, **self._answer(method, params)}


def answered(logs: object) -> Web3:
    return Web3(Script(lambda _method, _params: {"result": logs}))


def refused(message: str, code: int = -32005) -> Web3:
    return Web3(Script(lambda _method, _params: {"error": {"code": code, "message": message}}))


def test_fetch_logs__logs_of_a_node__as_one_by_one_in_the_order_of_the_chain() -> None:
    later = {**LOG, "blockNumber": "0x10", "logIndex": "0x0"}
    removed = {**LOG, "removed": True}
    found = fetch_logs(answered([later, removed, LOG]), [EMITTER], 0, 20)
    assert found == [log_entry(LOG), log_entry(later)]
    assert fetch_logs(answered([]), [EMITTER], 0, 20) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "0x1234"},
        {"address": None},
        {"topics": None},
        {"topics": ["0xzz"]},
        {"data": "0x123"},
        {"data": 5},
        {"blockNumber": "seven"},
        {"blockNumber": None},
        {"blockHash": "0x1234"},
        {"transactionHash": "0x" + "cc" * 33},
        {"logIndex": None},
    ],
)
def test_fetch_logs__malformed_log__is_unavailable(changes: dict[str, Any]) -> None:
    with pytest.raises(ChainUnavailable):
        fetch_logs(answered([LOG, {**LOG, **changes}]), [EMITTER], 0, 20)
    with pytest.raises(ChainUnavailable):
        fetch_logs(answered([{k: v for k, v in LOG.items() if k not in changes}]), [EMITTER], 0, 20)


@pytest.mark.parametrize("answer", [None, {}, "0x", 5, [5], [None]])
def test_fetch_logs__answer_that_is_no_list_of_logs__is_unavailable(answer: object) -> None:
    with pytest.raises(ChainUnavailable):
        fetch_logs(answered(answer), [EMITTER], 0, 20)


@pytest.mark.parametrize(
    "message",
    [
        "query returned more than 10000 results",
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
        "eth_getLogs is limited to a 10,000 block range",
        "exceed maximum block range: 5000",
        "block range is too wide",
        "query timeout exceeded",
        "request timed out",
        "response is too big",
    ],
)
def test_fetch_logs__refusal_that_less_would_help__asks_for_less(message: str) -> None:
    with pytest.raises(AnswerTooLarge):
        fetch_logs(refused(message), [EMITTER], 0, 20)


@pytest.mark.parametrize("message", ["method not found", "header not found", "invalid address"])
def test_fetch_logs__other_refusal__is_the_nodes_error(message: str) -> None:
    with pytest.raises(RpcError):
        fetch_logs(refused(message), [EMITTER], 0, 20)


def narrow(most: int) -> Script:
    """A node that answers for so many blocks: a log in each."""

    def answer(_method: str, params: list[Any]) -> dict[str, Any]:
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if last - first + 1 > most:
            return {"error": {"code": -32005, "message": "query returned more than 10000 results"}}
        return {"result": [{**LOG, "blockNumber": hex(number)} for number in range(first, last + 1)]}

    return Script(answer)


@pytest.mark.parametrize("most", [1, 3, 64, 1000])
def test_read_logs__node_with_a_limit__every_block_once_and_in_few_calls(most: int) -> None:
    node, span = narrow(most), Span(512, 512)
    found = read_logs(Web3(node), [EMITTER], 10, 609, span)
    assert [entry.position.block_number for entry in found] == list(range(10, 610))
    assert span.blocks <= 2 * most + 1
    assert len(node.asked) < 2.5 * 600 / min(most, 512) + 12


def test_read_logs__one_block_too_much__says_so() -> None:
    with pytest.raises(AnswerTooLarge):
        read_logs(Web3(narrow(0)), [EMITTER], 0, 9, Span(4, 4))


def test_read_logs__time_out__asks_for_less() -> None:
    def answer(_method: str, params: list[Any]) -> dict[str, Any]:
        if params[0]["fromBlock"] != params[0]["toBlock"]:
            raise ChainTimeout("slow")
        return {"result": []}

    span = Span(8, 8)
    assert read_logs(Web3(Script(answer)), [EMITTER], 0, 3, span) == []
    assert span.blocks <= 3


def test_span__shrinks_by_halves_and_grows_slowly_to_its_most() -> None:
    span = Span(100, 100)
    assert [span.shrink() and span.blocks for _ in range(7)] == [50, 25, 12, 6, 3, 1, False]
    for _ in range(60):
        span.grow()
    assert span.blocks == 100


def test_fetch_logs__again_and_again__keeps_nothing() -> None:
    number = iter(range(1 << 30))

    def answer(_method: str, _params: list[Any]) -> dict[str, Any]:
        start = next(number) * 100
        logs = [
            {
                **LOG,
                "blockHash": f"0x{at:064x}",
                "transactionHash": f"0x{at:064x}",
                "address": f"0x{at:040x}",
                "topics": [f"0x{at:064x}"],
            }
            for at in range(start, start + 100)
        ]
        return {"result": json.loads(json.dumps(logs))}

    web3 = Web3(Script(answer))

    def grown(rounds: int) -> int:
        for _ in range(rounds):
            for entry in fetch_logs(web3, [EMITTER], 0, 9):
                bloom_bits(entry.topics[0])
        web3.provider.asked.clear()  # type: ignore[union-attr]
        gc.collect()
        return sys.getallocatedblocks()

    grown(100)  # more addresses and topics than any cache holds
    before = grown(5)
    assert grown(100) < before * 1.01 + 500


def test_bloom__what_was_put_in__is_found_and_others_hardly_ever() -> None:
    values = [number.to_bytes(32) for number in range(40)]
    bloom = bloom_of(values)
    assert all(may_hold(bloom, value) for value in values)
    assert sum(may_hold(bloom, number.to_bytes(32)) for number in range(1000, 2000)) < 10
    assert not may_hold(bytes(256), values[0])
    assert bloom_of([]) == bytes(256)
