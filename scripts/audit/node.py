"""What the auditor reads of the chain: logs in pieces and block headers in batches."""

from collections.abc import Iterable, Sequence

from web3 import Web3

from protocol import logs
from protocol.blocks import Block, read_headers
from protocol.logs import LogEntry, Span
from protocol.units import Address, address_bytes, to_hex

BLOCKS_PER_QUERY = 5_000


def read_logs(web3: Web3, addresses: Sequence[Address], from_block: int, to_block: int) -> list[LogEntry]:
    """All logs of the contracts in these blocks, both included, as `fetch_logs` gives them."""
    return logs.read_logs(web3, addresses, from_block, to_block, _span())


def read_indexed(
    web3: Web3,
    tokens: Sequence[Address],
    topic: bytes,
    party: Address,
    place: int,
    from_block: int,
    to_block: int,
) -> list[LogEntry]:
    """Logs of `topic` by these tokens in which `party` is the indexed field number `place`, from 1 on."""
    named = to_hex(address_bytes(party).rjust(32, b"\0"))
    topics = [to_hex(topic), *([None] * (place - 1)), named]
    return logs.read_logs(web3, tokens, from_block, to_block, _span(), topics)


def read_blocks(web3: Web3, numbers: Iterable[int]) -> dict[int, Block]:
    """By number; those that the node does not have are left out. ChainUnavailable."""
    return {number: header.block for number, header in read_headers(web3, numbers).items()}


def _span() -> Span:
    return Span(BLOCKS_PER_QUERY, BLOCKS_PER_QUERY)
