"""What the auditor reads of the chain: logs in pieces and block headers in batches."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import requests
from web3 import Web3
from web3.exceptions import Web3Exception
from web3.providers import JSONBaseProvider

from protocol.chain import Block, rpc
from protocol.errors import ChainUnavailable
from protocol.logs import LogEntry, fetch_logs, log_entry
from protocol.units import Address, BlockNumber, UnixTime, address_bytes

BLOCKS_PER_QUERY = 5_000
HEADERS_PER_BATCH = 200


def read_logs(web3: Web3, addresses: Sequence[Address], from_block: int, to_block: int) -> list[LogEntry]:
    """All logs of the contracts in these blocks, both included, as `fetch_logs` gives them."""
    logs: list[LogEntry] = []
    for start in range(from_block, to_block + 1, BLOCKS_PER_QUERY):
        end = min(start + BLOCKS_PER_QUERY - 1, to_block)
        logs.extend(fetch_logs(web3, addresses, start, end))
    return logs


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
    named = "0x" + address_bytes(party).rjust(32, b"\0").hex()
    topics = ["0x" + topic.hex(), *([None] * (place - 1)), named]
    logs: list[LogEntry] = []
    for start in range(from_block, to_block + 1, BLOCKS_PER_QUERY):
        end = min(start + BLOCKS_PER_QUERY - 1, to_block)
        query = {"address": list(tokens), "topics": topics, "fromBlock": hex(start), "toBlock": hex(end)}
        found = cast(list[dict[str, Any]], rpc(web3, "eth_getLogs", [query]))
        logs.extend(log_entry(log) for log in found)
    return logs


def read_blocks(web3: Web3, numbers: Iterable[int]) -> dict[int, Block]:
    """Headers by number; those that the node does not have are left out. ChainUnavailable."""
    wanted = sorted(set(numbers))
    blocks: dict[int, Block] = {}
    for start in range(0, len(wanted), HEADERS_PER_BATCH):
        for header in _headers(web3, wanted[start : start + HEADERS_PER_BATCH]):
            blocks[header.number] = header
    return blocks


def _headers(web3: Web3, numbers: Sequence[int]) -> list[Block]:
    provider = cast(JSONBaseProvider, web3.provider)
    calls = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
    try:
        answers = provider.make_batch_request(cast(Any, calls))
    except (requests.RequestException, Web3Exception, OSError, ValueError) as error:
        raise ChainUnavailable(f"eth_getBlockByNumber: {type(error).__name__}: {error}") from error
    headers: list[Block] = []
    for answer in cast(list[dict[str, Any]], answers):
        found = answer.get("result")
        if found is not None:
            headers.append(
                Block(
                    BlockNumber(int(found["number"], 16)),
                    bytes.fromhex(found["hash"][2:]),
                    UnixTime(int(found["timestamp"], 16)),
                )
            )
    return headers
