"""Whether a node has told all logs: its answer beside the receipts of a block, and beside another node's.

The receipts of a block are believed where their logs make the filter that its header carries. A node that
hides a log from queries alone is found out; one that forges headers too is left to `protocol.nodes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from protocol.blocks import Header, find_block, read_headers
from protocol.bloom import BLOOM_BYTES, bloom_of, may_hold
from protocol.errors import ChainUnavailable, RpcError
from protocol.logs import LogEntry, fetch_logs, read_receipt_logs
from protocol.nodes import Node, Nodes
from protocol.units import Address, address_bytes

log = structlog.get_logger(__name__)

LIVE_BLOCKS = 32
"""Of no more blocks than this, each is compared with its receipts; of more, a sample."""
SAMPLE = 16
"""Of so many blocks, one: which, their hashes decide."""
_NO_SUCH_METHOD = -32601


class LogsMissing(ChainUnavailable):
    """A node has kept logs to itself, or made some up."""

    default_code = "logs_missing"


class Completeness:
    """Remembers which nodes give no receipts, to ask them no more."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = frozenset(addresses)
        self._raw = [address_bytes(address) for address in addresses]
        self._without_receipts: set[str] = set()

    def missing(self, node: Node, entries: Sequence[LogEntry], headers: Iterable[Header]) -> str:
        """What the node has left out or put in, by the receipts of these blocks; empty where nothing.

        ChainUnavailable where its receipts are not those of its header.
        """
        if node.name in self._without_receipts:
            return ""
        by_block = _by_block(entries)
        for header in self._to_check(list(headers)):
            told = by_block.get(header.block.number, [])
            logged = self._logs_in(node, header)
            if logged is None:
                return ""
            if logged != told:
                return f"of {len(logged)} logs in block {header.block.number} it told {len(told)}"
        return ""

    def knows_receipts(self, node: Node) -> bool:
        return node.name not in self._without_receipts

    def contradicted(self, node: Node, nodes: Nodes, entries: Sequence[LogEntry], blocks: range) -> str:
        """As `missing`, by another node's answer to the same query; where they differ, receipts decide.

        The other one is distrusted where it is the one that is wrong. ChainUnavailable where nobody can tell.
        """
        for other in nodes.fit():
            if other is node:
                continue
            try:
                told = self._told_by(other, node, blocks)
            except (ChainUnavailable, RpcError) as error:
                nodes.failed(other, error)
                continue
            if told is None:
                continue
            return "" if told == list(entries) else self._decide(node, other, nodes, entries, told)
        return ""

    def _told_by(self, other: Node, node: Node, blocks: range) -> list[LogEntry] | None:
        """None where the two do not hold the same block at the end: one lags, or a fork is under way."""
        last = blocks.stop - 1
        if find_block(other.web3, last) != find_block(node.web3, last):
            return None
        return fetch_logs(other.web3, sorted(self._addresses), blocks.start, last)

    def _decide(
        self,
        node: Node,
        other: Node,
        nodes: Nodes,
        entries: Sequence[LogEntry],
        told: Sequence[LogEntry],
    ) -> str:
        ours, theirs = _by_block(entries), _by_block(told)
        number = min(n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n))
        for asked in (node, other):
            logged = self._logs_in(asked, read_headers(asked.web3, [number])[number])
            if logged is None:
                continue
            if logged != ours.get(number, []):
                return f"its logs of block {number} are not those of the receipts of {asked.name}"
            wrong = f"its logs of block {number} are not those of the receipts of {asked.name}"
            nodes.distrust(other, LogsMissing(wrong))
            return ""
        raise ChainUnavailable(
            f"block {number}: {node.name} and {other.name} tell different logs, and neither has receipts"
        )

    def _to_check(self, headers: Sequence[Header]) -> list[Header]:
        live = len(headers) <= LIVE_BLOCKS
        return [
            header
            for header in headers
            if (live or header.block.hash[-1] % SAMPLE == 0)
            and len(header.logs_bloom) == BLOOM_BYTES
            and any(may_hold(header.logs_bloom, raw) for raw in self._raw)
        ]

    def _logs_in(self, node: Node, header: Header) -> list[LogEntry] | None:
        """Ours among the logs of the block's receipts; None where the node has no call for them."""
        number = header.block.number
        try:
            logs = read_receipt_logs(node.web3, number)
        except RpcError as error:
            if error.rpc_code != _NO_SUCH_METHOD:
                raise
            log.warning("no_block_receipts", node=node.name, reason="omitted logs go unnoticed there")
            self._without_receipts.add(node.name)
            return None
        named = (value for entry in logs for value in (address_bytes(entry.address), *entry.topics))
        if any(entry.position.block_hash != header.block.hash for entry in logs):
            raise ChainUnavailable(f"{node.name}: block {number} was reorganised away meanwhile")
        if bloom_of(named) != header.logs_bloom:
            raise ChainUnavailable(f"{node.name}: block {number}: expected the receipts of its header")
        return [entry for entry in logs if entry.address in self._addresses]


def _by_block(entries: Iterable[LogEntry]) -> Mapping[int, list[LogEntry]]:
    found: dict[int, list[LogEntry]] = {}
    for entry in entries:
        found.setdefault(entry.position.block_number, []).append(entry)
    return found
