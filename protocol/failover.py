"""Several nodes as one connection: each call goes to the first that is fit, and on where that one fails."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import orjson
from web3 import Web3
from web3.providers import JSONBaseProvider

from protocol.endpoint import Endpoint, encode_request
from protocol.errors import ChainUnavailable
from protocol.nodes import Node, Nodes
from protocol.rpc import MALFORMED

T = TypeVar("T")

_INTERNAL_ERRORS: Final = frozenset({-32603, -32005, -32016, -32097, 429})
"""JSON-RPC codes by which nodes say that they, and not the request, are at fault or out of breath."""


class Failover(JSONBaseProvider):
    """As web3 asks whichever node answers. Calls go to one node after the other, from any thread."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__()
        self.nodes = nodes

    def close(self) -> None:
        for node in self.nodes.nodes:
            endpoint_of(node).close()

    def ask(self, method: str, body: bytes, read: Callable[[bytes], T]) -> T:
        """ChainUnavailable where no node gives an answer that `read` can read."""
        failure: ChainUnavailable | None = None
        for _ in self.nodes.nodes:
            node = self.nodes.choose()
            try:
                answer = endpoint_of(node).ask(method, body, read)
            except ChainUnavailable as error:
                failure = error
            except MALFORMED as error:
                failure = ChainUnavailable(f"{node.name}: {method}: malformed answer: {type(error).__name__}")
            else:
                fault = _own_fault(method, answer)
                if not fault:
                    self.nodes.worked(node)
                    return answer
                failure = ChainUnavailable(f"{node.name}: {method}: {fault}")
            if not self.nodes.failed(node, failure):
                break
        raise failure or ChainUnavailable(f"{method}: no node was asked")

    def make_request(self, method: Any, params: Any) -> Any:
        return self.ask(method, encode_request(method, list(params)), orjson.loads)


def nodes_of(web3: Web3, now: Callable[[], float]) -> Nodes:
    """Those behind a connection; of one that has a provider of another kind, the connection itself."""
    provider = web3.provider
    if isinstance(provider, Failover):
        return provider.nodes
    return Nodes([Node(str(provider), web3, verified=True)], 0, now)


def endpoint_of(node: Node) -> Endpoint:
    return cast(Endpoint, node.web3.provider)


def _own_fault(method: str, answer: object) -> str:
    """The error that another node may well not have; empty where there is none.

    Refusals of a query for logs are no fault: whoever asked asks for fewer blocks.
    """
    found = cast(dict[str, Any], answer).get("error") if isinstance(answer, dict) else None
    error = cast(object, getattr(cast(object, answer), "error", found))
    if not isinstance(error, dict) or method == "eth_getLogs":
        return ""
    told = cast(dict[str, Any], error)
    message = str(told.get("message", ""))
    return message if told.get("code") in _INTERNAL_ERRORS and "revert" not in message.lower() else ""
