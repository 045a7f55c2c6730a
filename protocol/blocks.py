"""Blocks by number or tag, and headers in batches with what they say of their logs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from web3 import Web3

from protocol.errors import ChainUnavailable
from protocol.rpc import rpc_typed, rpc_typed_batch, sound
from protocol.units import BlockNumber, UnixTime

BlockTag = int | str
"""A number, or "latest", "safe", "finalized", "pending", "earliest"."""

HEADERS_PER_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Block:
    number: BlockNumber
    hash: bytes
    timestamp: UnixTime


@dataclass(frozen=True, slots=True)
class Header:
    """`logs_bloom`: 256 bytes, or none where the node leaves it out."""

    block: Block
    logs_bloom: bytes


class _RawHeader(msgspec.Struct, rename="camel"):
    number: str
    hash: str
    timestamp: str
    logs_bloom: str | None = None

    def block(self) -> Block:
        found = bytes.fromhex(self.hash[2:])
        if len(found) != 32:
            raise ValueError(f"block hash: expected 32 bytes, got {len(found)}")
        return Block(BlockNumber(int(self.number, 16)), found, UnixTime(int(self.timestamp, 16)))

    def header(self) -> Header:
        return Header(self.block(), bytes.fromhex((self.logs_bloom or "0x")[2:]))


def read_block(web3: Web3, block: BlockTag) -> Block:
    """Number, hash and time of a block. ChainUnavailable where the node does not have it."""
    found = find_block(web3, block)
    if found is None:
        raise ChainUnavailable(f"block {block}: expected a block, the node has none")
    return found


def find_block(web3: Web3, block: BlockTag) -> Block | None:
    """As `read_block`; None where the node says that it has no such block."""
    found = rpc_typed(web3, "eth_getBlockByNumber", [_tag(block), False], _HEADER)
    with sound("eth_getBlockByNumber"):
        return None if found is None else found.block()


def find_blocks(web3: Web3, blocks: Sequence[BlockTag]) -> list[Block | None]:
    """As `find_block`, several at once."""
    found = rpc_typed_batch(web3, "eth_getBlockByNumber", [(_tag(block), False) for block in blocks], _HEADER)
    with sound("eth_getBlockByNumber"):
        return [None if raw is None else raw.block() for raw in found]


def read_headers(web3: Web3, numbers: Iterable[int]) -> dict[int, Header]:
    """By number, asked in batches; those that the node does not have are left out. ChainUnavailable."""
    wanted = sorted(set(numbers))
    headers: dict[int, Header] = {}
    for start in range(0, len(wanted), HEADERS_PER_BATCH):
        for header in _read_batch(web3, wanted[start : start + HEADERS_PER_BATCH]):
            headers[header.block.number] = header
    return headers


def _read_batch(web3: Web3, numbers: Sequence[int]) -> list[Header]:
    calls = [(_tag(number), False) for number in numbers]
    answers = rpc_typed_batch(web3, "eth_getBlockByNumber", calls, _HEADER)
    with sound("eth_getBlockByNumber"):
        headers = [answer.header() for answer in answers if answer is not None]
    if not {header.block.number for header in headers} <= set(numbers):
        raise ChainUnavailable("eth_getBlockByNumber: expected the blocks asked for, got others")
    return headers


def _tag(block: BlockTag) -> str:
    return hex(block) if isinstance(block, int) else block


_HEADER: Final = msgspec.json.Decoder(_RawHeader | None)
