"""The connection to a node: one kind of error for all that transport can do, and checks for the start."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception
from web3.providers import JSONBaseProvider

from protocol.errors import ChainUnavailable, DigestMismatch, NoCode, ProtocolError, RpcError, WrongChain
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest
from protocol.units import BlockNumber, UnixTime, to_hex

BlockTag = int | str
"""A number, or "latest", "safe", "finalized", "pending", "earliest"."""


_SESSIONS: Final[WeakKeyDictionary[Web3, requests.Session]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Block:
    number: BlockNumber
    hash: bytes
    timestamp: UnixTime


def connect(rpc_url: str, expected_chain_id: int, timeout_seconds: float = 10) -> Web3:
    """A node that serves the expected chain. ChainUnavailable, WrongChain."""
    session = requests.Session()
    provider = HTTPProvider(
        rpc_url, {"timeout": timeout_seconds}, session=session, exception_retry_configuration=None
    )
    web3 = Web3(provider)
    _SESSIONS[web3] = session
    try:
        actual = rpc_integer(web3, "eth_chainId", [])
        if actual != expected_chain_id:
            raise WrongChain(f"{rpc_url}: expected chain {expected_chain_id}, got {actual}")
    except ProtocolError:
        disconnect(web3)
        raise
    return web3


def disconnect(web3: Web3) -> None:
    """Closes the sockets of a connection that `connect` made; a later call opens new ones."""
    session = _SESSIONS.get(web3)
    if session is not None:
        session.close()


def rpc(web3: Web3, method: str, params: Sequence[Any]) -> Any:
    """The result of one JSON-RPC call, as parsed JSON.

    ChainUnavailable where no sound answer comes; RpcError where the answer is an error.
    """
    provider = cast(JSONBaseProvider, web3.provider)
    try:
        response = provider.make_request(cast(Any, method), list(params))
    except (requests.RequestException, Web3Exception, OSError, ValueError) as error:
        raise ChainUnavailable(f"{method}: {type(error).__name__}: {error}") from error
    return answer_of(method, response)


def answer_of(method: str, response: object) -> Any:
    """The result in a JSON-RPC answer. RpcError where it is an error, ChainUnavailable where it is none."""
    if not isinstance(response, dict):
        raise ChainUnavailable(f"{method}: expected a JSON-RPC answer, got a {type(response).__name__}")
    answer = cast(dict[str, Any], response)
    if answer.get("error") is not None:
        raise _rpc_error(method, answer["error"])
    if "result" not in answer:
        raise ChainUnavailable(f"{method}: expected a result, got neither result nor error")
    return answer["result"]


def rpc_integer(web3: Web3, method: str, params: Sequence[Any]) -> int:
    """A result that is one hex quantity."""
    result = rpc(web3, method, params)
    with sound(method):
        return int(result, 16)


def rpc_bytes(web3: Web3, method: str, params: Sequence[Any]) -> bytes:
    """A result that is hex data."""
    result = rpc(web3, method, params)
    with sound(method):
        return bytes.fromhex(result[2:])


@contextmanager
def sound(method: str) -> Generator[None, None, None]:
    """Inside, an answer that is not of the form that the method's answers have is ChainUnavailable."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ChainUnavailable(f"{method}: malformed answer: {type(error).__name__}: {error}") from error


def check_deployment(web3: Web3, manifest: DeploymentManifest) -> None:
    """Returns where each address of the manifest carries the code that it says. NoCode, DigestMismatch."""
    named = {*manifest.contracts, manifest.stake_token}
    named |= {token.address for token in manifest.tokens.values()}
    for address in sorted(named | manifest.code_hashes.keys()):
        code = rpc_bytes(web3, "eth_getCode", [address, "latest"])
        if not code:
            raise NoCode(f"{address}: expected a contract, got no code")
        expected, actual = manifest.code_hashes.get(address), keccak256(code)
        if expected is not None and expected != actual:
            raise DigestMismatch(f"code of {address}: expected {to_hex(expected)}, got {to_hex(actual)}")


def read_block(web3: Web3, block: BlockTag) -> Block:
    """Number, hash and time of a block. ChainUnavailable where the node does not have it."""
    tag = hex(block) if isinstance(block, int) else block
    found = rpc(web3, "eth_getBlockByNumber", [tag, False])
    if found is None:
        raise ChainUnavailable(f"block {block}: expected a block, the node has none")
    with sound("eth_getBlockByNumber"):
        return Block(
            BlockNumber(int(found["number"], 16)),
            bytes.fromhex(found["hash"][2:]),
            UnixTime(int(found["timestamp"], 16)),
        )


def _rpc_error(method: str, error: object) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(method, 0, str(error), None)
    found = cast(dict[str, Any], error)
    code = found.get("code")
    return RpcError(
        method, code if isinstance(code, int) else 0, str(found.get("message", "")), found.get("data")
    )
