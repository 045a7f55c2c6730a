"""A JSON-RPC proxy in front of a real node that fails, lags and lies as it is told: repeatably, by a seed."""

import copy
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

JSON = {"Content-Type": "application/json"}
Rewrite = Callable[[str, list[Any], Any], Any]
"""Of method, parameters and result, what is answered instead."""


@dataclass(slots=True)
class Faults:
    """Shares of requests, 0 to 1; may be changed while the proxy runs.

    `suppressed` is the share of logs that eth_getLogs leaves out, always the same ones. A hanging request is
    answered never, and its connection closed after `hang_seconds`.
    """

    errors: float = 0.0
    timeouts: float = 0.0
    stale: float = 0.0
    malformed: float = 0.0
    suppressed: float = 0.0
    stale_blocks: int = 3
    hang_seconds: float = 5.0
    blackout: bool = False
    """Every connection is closed without an answer."""
    max_span_blocks: int | None = None
    """Of eth_getLogs; more is refused as public nodes do."""
    takes_batches: bool = True
    shuffles: bool = False
    """Answers of a batch come in another order."""
    unknown_methods: frozenset[str] = frozenset()
    rewrite: Rewrite | None = None


@dataclass(slots=True)
class FaultyNode:
    """`counts`: how often each fault was given, and each method was asked."""

    url: str
    faults: Faults
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def draw(self, number: int) -> str:
        """Which fault a request meets, or "": of its number and the seed alone."""
        at = random.Random(f"{self.seed}:{number}").random()
        faults = self.faults
        if faults.blackout:
            return "blackout"
        for name in ("errors", "timeouts", "stale", "malformed"):
            share: float = getattr(faults, name)
            if at < share:
                return name
            at -= share
        return ""

    def hides(self, log: dict[str, Any]) -> bool:
        place = f"{self.seed}:{log['blockHash']}:{log['logIndex']}"
        return random.Random(place).random() < self.faults.suppressed


class _Upstream:
    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=16)

    def forward(self, body: bytes) -> Any:
        return json.loads(self._pool.request("POST", self._url, body=body, headers=JSON, timeout=60).data)

    def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.forward(json.dumps(body).encode())["result"]

    def close(self) -> None:
        self._pool.clear()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone."""


@contextmanager
def faulty_node(honest_url: str, faults: Faults | None = None, seed: int = 0) -> Iterator[FaultyNode]:
    """A running proxy; nothing of it is left afterwards."""
    upstream, stopping, numbers = _Upstream(honest_url), threading.Event(), iter(range(1 << 62))
    node = FaultyNode("", faults or Faults(), seed)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault = node.draw(next(numbers))
            node.counts[fault or "answered"] += 1
            if fault in ("blackout", "timeouts"):
                stopping.wait(node.faults.hang_seconds if fault == "timeouts" else 0)
                self.close_connection = True
            elif fault == "errors":
                self._answer(503, b"busy")
            elif fault == "malformed":
                self._answer(200, b'{"jsonrpc": "2.0", "id": 1, "result": "0x')
            else:
                self._answer(200, json.dumps(_answer(node, upstream, body, fault == "stale")).encode())

        def _answer(self, status: int, data: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # whoever asked has gone

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
        upstream.close()


def _answer(node: FaultyNode, upstream: _Upstream, body: bytes, stale: bool) -> Any:
    asked = json.loads(body)
    if isinstance(asked, list) and not node.faults.takes_batches:
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches here"}}
    calls = asked if isinstance(asked, list) else [asked]
    answers: list[Any] = []
    for call in calls:
        node.counts[call["method"]] += 1
        refusal = _refusal(node.faults, call)
        if refusal is not None:
            answers.append({"jsonrpc": "2.0", "id": call["id"], "error": refusal})
            continue
        aged = _aged(call, upstream, node.faults.stale_blocks) if stale else None
        answer = aged or upstream.forward(json.dumps(call).encode())
        answers.append(_rewritten(node, call, {**answer, "id": call["id"]}))
    if node.faults.shuffles:
        answers.reverse()
    return answers if isinstance(asked, list) else answers[0]


def _refusal(faults: Faults, call: dict[str, Any]) -> dict[str, Any] | None:
    if call["method"] in faults.unknown_methods:
        return {"code": -32601, "message": "method not found"}
    if faults.max_span_blocks is None or call["method"] != "eth_getLogs":
        return None
    query = call["params"][0]
    span = int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1
    if span <= faults.max_span_blocks:
        return None
    return {"code": -32005, "message": f"query exceeds max block range {faults.max_span_blocks}"}


def _aged(call: dict[str, Any], upstream: _Upstream, blocks: int) -> dict[str, Any] | None:
    """What a node says of its head that is so many blocks behind; None where it is not asked for it."""
    latest = call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest"
    if not latest and call["method"] != "eth_blockNumber":
        return None
    head = hex(max(int(upstream.call("eth_blockNumber"), 16) - blocks, 0))
    return {"jsonrpc": "2.0", "result": upstream.call(call["method"], head, False) if latest else head}


def _rewritten(node: FaultyNode, call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    if "result" not in answer:
        return answer
    result = answer["result"]
    if call["method"] == "eth_getLogs" and node.faults.suppressed:
        kept = [log for log in result if not node.hides(log)]
        node.counts["suppressed logs"] += len(result) - len(kept)
        result = kept
    if node.faults.rewrite is not None:
        result = node.faults.rewrite(call["method"], call["params"], copy.deepcopy(result))
    return {**answer, "result": result}
