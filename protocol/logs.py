"""Raw logs of the chain, and where each stands in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from web3 import Web3

from protocol.chain import rpc, sound
from protocol.codec import exact_keys
from protocol.errors import BadInput
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


def fetch_logs(web3: Web3, addresses: Sequence[Address], from_block: int, to_block: int) -> list[LogEntry]:
    """All logs of these contracts in these blocks, both included, in the chain's order. ChainUnavailable."""
    query = {"address": list(addresses), "fromBlock": hex(from_block), "toBlock": hex(to_block)}
    found = cast(list[dict[str, Any]], rpc(web3, "eth_getLogs", [query]))
    with sound("eth_getLogs"):
        entries = [log_entry(log) for log in found if not log.get("removed", False)]
    entries.sort(key=lambda entry: entry.position)
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
