"""Raw logs of the chain, and where each stands in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from web3 import Web3

from protocol.codec import exact_keys
from protocol.errors import AnswerTooLarge, BadInput, ChainTimeout, ChainUnavailable, RpcError
from protocol.rpc import rpc_typed, sound
from protocol.units import Address, BlockNumber, address_of, hex_bytes, shorten, to_hex

_POSITION_KEYS: Final = ("block_number", "block_hash", "transaction_hash", "log_index")


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """Where a log stands; positions sort as the chain orders its logs."""

    block_number: BlockNumber
    log_index: int
    block_hash: bytes
    transaction_hash: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "block_number": self.block_number,
            "block_hash": to_hex(self.block_hash),
            "transaction_hash": to_hex(self.transaction_hash),
            "log_index": self.log_index,
        }

    @classmethod
    def from_json(cls, data: object) -> "LogPosition":
        found = exact_keys(data, _POSITION_KEYS, "LogPosition")
        for name in ("block_number", "log_index"):
            if type(found[name]) is not int or not 0 <= found[name] < 1 << 48:
                raise BadInput(f"LogPosition.{name}: expected a natural number, got {shorten(found[name])}")
        return cls(
            block_number=BlockNumber(found["block_number"]),
            log_index=found["log_index"],
            block_hash=hex_bytes(found["block_hash"], 32, "LogPosition.block_hash"),
            transaction_hash=hex_bytes(found["transaction_hash"], 32, "LogPosition.transaction_hash"),
        )


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One log as the node gives it."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    position: LogPosition


class _RawLog(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    log_index: str
    removed: bool | None = None


class _RawReceipt(msgspec.Struct):
    logs: list[_RawLog]


@dataclass(slots=True)
class Span:
    """How many blocks are asked for at once: halved where a node refuses so many, and slowly grown again."""

    blocks: int
    most: int

    def shrink(self) -> bool:
        """False where it cannot: one block is too much."""
        if self.blocks == 1:
            return False
        self.blocks = max(self.blocks // 2, 1)
        return True

    def grow(self) -> None:
        """After an answer; by an eighth, since a refusal costs a call."""
        self.blocks = min(self.blocks + max(self.blocks // 8, 1), self.most)


def fetch_logs(
    web3: Web3,
    addresses: Sequence[Address],
    from_block: int,
    to_block: int,
    topics: Sequence[str | None] = (),
) -> list[LogEntry]:
    """All logs of these contracts in these blocks, both included, in the chain's order.

    AnswerTooLarge where fewer blocks may bring an answer; ChainUnavailable.
    """
    query: dict[str, Any] = {
        "address": list(addresses),
        "fromBlock": hex(from_block),
        "toBlock": hex(to_block),
    }
    if topics:
        query["topics"] = list(topics)
    try:
        found = rpc_typed(web3, "eth_getLogs", [query], _LOGS)
    except ChainTimeout as error:
        raise AnswerTooLarge(f"blocks {from_block} to {to_block}: {error.message}") from error
    except RpcError as error:
        if not _RANGE_REFUSED.search(error.rpc_message):
            raise
        raise AnswerTooLarge(f"blocks {from_block} to {to_block}: {error.message}") from error
    with sound("eth_getLogs"):
        entries = _entries(found)
    entries.sort(key=lambda entry: (entry.position.block_number, entry.position.log_index))
    return entries


def read_logs(
    web3: Web3,
    addresses: Sequence[Address],
    from_block: int,
    to_block: int,
    span: Span,
    topics: Sequence[str | None] = (),
) -> list[LogEntry]:
    """As `fetch_logs` gives them, in as many pieces as the node wants."""
    logs: list[LogEntry] = []
    start = from_block
    while start <= to_block:
        end = min(start + span.blocks - 1, to_block)
        try:
            logs += fetch_logs(web3, addresses, start, end, topics)
        except AnswerTooLarge:
            if not span.shrink():
                raise
            continue
        span.grow()
        start = end + 1
    return logs


def read_receipt_logs(web3: Web3, block_number: int) -> list[LogEntry]:
    """All logs of a block, whoever emitted them, out of its receipts. ChainUnavailable."""
    found = rpc_typed(web3, "eth_getBlockReceipts", [hex(block_number)], _RECEIPTS)
    if found is None:
        raise ChainUnavailable(f"block {block_number}: expected its receipts, the node has none")
    with sound("eth_getBlockReceipts"):
        return _entries([log for receipt in found for log in receipt.logs])


def _entries(found: Sequence[_RawLog]) -> list[LogEntry]:
    """Logs of one block share its hash, those of one transaction its own."""
    hashes: dict[str, bytes] = {}
    unhex = bytes.fromhex
    entries: list[LogEntry] = []
    for raw in found:
        if raw.removed:
            continue
        for text in (raw.block_hash, raw.transaction_hash):
            if text not in hashes:
                hashes[text] = hex_bytes(text, 32, "hash")
        if raw.address not in hashes:
            hashes[raw.address] = unhex(raw.address[2:])
        entries.append(
            LogEntry(
                address_of(hashes[raw.address]),
                tuple([unhex(topic[2:]) for topic in raw.topics]),
                unhex(raw.data[2:]),
                LogPosition(
                    BlockNumber(int(raw.block_number, 16)),
                    int(raw.log_index, 16),
                    hashes[raw.block_hash],
                    hashes[raw.transaction_hash],
                ),
            )
        )
    return entries


def log_entry(log: dict[str, Any]) -> LogEntry:
    """A log out of JSON-RPC, be it of eth_getLogs or of a receipt; read it inside `chain.sound`."""
    return LogEntry(
        address=address_of(bytes.fromhex(log["address"][2:])),
        topics=tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]),
        data=bytes.fromhex(log["data"][2:]),
        position=LogPosition(
            block_number=BlockNumber(int(log["blockNumber"], 16)),
            log_index=int(log["logIndex"], 16),
            block_hash=bytes.fromhex(log["blockHash"][2:]),
            transaction_hash=bytes.fromhex(log["transactionHash"][2:]),
        ),
    )


_LOGS: Final = msgspec.json.Decoder(list[_RawLog])
_RECEIPTS: Final = msgspec.json.Decoder(list[_RawReceipt] | None)
_RANGE_REFUSED: Final = re.compile(
    r"more than \d|block range|range is|range too|response size|size exceed|too (many|large|big|wide)|"
    r"limit exceeded|exceeds? .*(limit|max)|time-?d? ?out",
    re.IGNORECASE,
)
"""How nodes say that a query asks for too much: there is no code that they share."""
