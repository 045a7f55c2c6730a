"""JSON-RPC batches, against a node that takes them, and one that says what is asked of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from web3 import Web3

from protocol.batch import MAX_CALLS, MAX_CHARACTERS, rpc_each
from protocol.endpoint import Endpoint
from protocol.errors import ChainUnavailable, RpcError
from tests.anvil import Anvil, account

Answer = Callable[[Any], Any]


@contextmanager
def node(answer: Answer) -> Iterator[tuple[Web3, list[Any]]]:
    """A connection to a node that answers so, and the requests that came to it."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(request)
            body = json.dumps(answer(request)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}", timeout_seconds=10)
        try:
            yield Web3(endpoint), asked
        finally:
            endpoint.close()
            server.shutdown()
            thread.join()


def echo(request: Any) -> Any:
    if isinstance(request, list):
        return [echo(each) for each in reversed(request)]
    return {"jsonrpc": "2.0", "id": request["id"], "result": request["params"][0]}


def refuse_batches(request: Any) -> Any:
    refused = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
    return refused if isinstance(request, list) else echo(request)


def test_rpc_each__errors_among_results__stand_in_their_place(still_anvil: Anvil) -> None:
    addresses = [account(1).address, "nonsense", account(2).address]
    found = rpc_each(still_anvil.web3, "eth_getBalance", [[each, "latest"] for each in addresses])
    assert isinstance(found[1], RpcError)
    assert int(found[0], 16) == int(found[2], 16) == 10**24
    assert rpc_each(still_anvil.web3, "eth_getBalance", []) == []


def test_rpc_each__answers_in_another_order__are_put_right_in_few_requests() -> None:
    with node(echo) as (web3, asked):
        params = [[index] for index in range(2 * MAX_CALLS + 1)]
        assert rpc_each(web3, "echo", params) == [index for (index,) in params]
        assert [len(request) if isinstance(request, list) else 1 for request in asked] == [200, 200, 1]
        asked.clear()
        large = ["x" * (MAX_CHARACTERS // 2 - 10)] * 3
        assert rpc_each(web3, "echo", [[each] for each in large]) == large
        assert [len(request) if isinstance(request, list) else 1 for request in asked] == [2, 1]


def test_rpc_each__node_that_takes_no_batches__is_asked_one_by_one() -> None:
    with node(refuse_batches) as (web3, asked):
        assert rpc_each(web3, "echo", [[1], [2]]) == [1, 2]
        assert len(asked) == 3


def without_ids(request: Any) -> Any:
    return [{**echo(each), "id": None} for each in request]


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: [echo(request[0])],
        lambda request: [echo(request[0])] * 2,
        lambda _: ["what"],
        lambda _: [{"id": 1}, {"id": 2}],
        without_ids,
    ],
)
def test_rpc_each__answers_missing_or_malformed__are_no_answers(answer: Answer) -> None:
    with node(answer) as (web3, _), pytest.raises(ChainUnavailable):
        rpc_each(web3, "echo", [[1], [2]])
