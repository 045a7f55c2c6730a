"""The connection to a chain by one node or several, and checks for the start."""

import time
from collections.abc import Sequence
from typing import Final

from web3 import Web3

from protocol.blocks import Block, BlockTag, find_block, read_block, read_headers
from protocol.endpoint import Endpoint
from protocol.errors import BadInput, DigestMismatch, NoCode, ProtocolError
from protocol.failover import Failover
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest
from protocol.nodes import Limits, Node, Nodes
from protocol.rpc import rpc, rpc_bytes, rpc_integer, sound
from protocol.units import to_hex

__all__ = [
    "SERVICE_ATTEMPTS",
    "Block",
    "BlockTag",
    "check_deployment",
    "connect",
    "disconnect",
    "find_block",
    "read_block",
    "read_headers",
    "rpc",
    "rpc_bytes",
    "rpc_integer",
    "sound",
]

SERVICE_ATTEMPTS: Final = 3
"""`attempts` of oracle and worker: they may make each call again, for a transaction's bytes stay the same."""


def connect(
    rpc_urls: str | Sequence[str],
    expected_chain_id: int,
    timeout_seconds: float = 10,
    limits: Limits | None = None,
    attempts: int = 1,
) -> Web3:
    """Nodes of the expected chain, one of which answers now. ChainUnavailable, WrongChain.

    With several addresses each call goes to the first node that is fit; `failover.nodes_of` has them all.
    `attempts` is of calls that fail fast: more than one where all that is called may be called twice.
    """
    urls = [rpc_urls] if isinstance(rpc_urls, str) else list(dict.fromkeys(rpc_urls))
    if not urls:
        raise BadInput("RPC addresses: expected at least one, got none")
    endpoints = [Endpoint(url, timeout_seconds, attempts) for url in urls]
    found = [Node(endpoint.name, Web3(endpoint)) for endpoint in endpoints]
    nodes = Nodes(found, expected_chain_id, time.monotonic, limits or Limits())
    web3 = found[0].web3 if nodes.alone else Web3(Failover(nodes))
    try:
        nodes.greet()
    except ProtocolError:
        disconnect(web3)
        raise
    return web3


def disconnect(web3: Web3) -> None:
    """Closes the sockets of a connection that `connect` made; a later call opens new ones."""
    if isinstance(web3.provider, Endpoint | Failover):
        web3.provider.close()


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
