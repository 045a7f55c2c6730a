"""Reads the chain: each batch of blocks becomes events, ledger rows and a cursor in one transaction.

A turn compares what is stored with what the chain holds, and relies on no turn before it: a fork is found
because the cursor's hash is no longer the chain's, and undone back to the newest block that is.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from web3 import Web3

from oracle import metrics
from oracle.completeness import LIVE_BLOCKS, Completeness, LogsMissing
from oracle.store import entities, history
from oracle.store.engine import Store
from oracle.store.facts import write_facts
from protocol.blocks import Block, Header, find_block, find_blocks, read_block, read_headers
from protocol.errors import (
    AnswerTooLarge,
    ChainUnavailable,
    InvariantBroken,
    ProtocolError,
    RetryableError,
    RpcError,
    UnknownEvent,
)
from protocol.events import Event, decode, emitters
from protocol.failover import nodes_of
from protocol.ledger import Changes, LedgerState, Parameters, apply, fold
from protocol.logs import LogEntry, Span, fetch_logs
from protocol.manifest import DeploymentManifest
from protocol.nodes import Node
from protocol.units import UnixTime

log = structlog.get_logger(__name__)

UNSTEADY_TURNS = 3
"""So often in a row a chain may change while it is read; what changes more often is no chain."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the chain says of the blocks after the cursor, `after`, up to `last`."""

    after: Block
    last: Block
    blocks: Sequence[Block]
    events: Sequence[tuple[Event, UnixTime]]


class Watcher:
    """Not thread-safe: one thread takes the turns. Within a turn, one node alone is read."""

    def __init__(
        self,
        web3: Web3,
        manifest: DeploymentManifest,
        store: Store,
        *,
        retained_blocks: int,
        batch_blocks: int,
        monotonic_now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes_of(web3, monotonic_now)
        self._nodes.witness = self._stored_hash
        self._manifest = manifest
        self._store = store
        self._retained_blocks = retained_blocks
        self._span = Span(batch_blocks, batch_blocks)
        self._completeness = Completeness(manifest.contracts)
        self._folded: tuple[Block, LedgerState] | None = None
        self._refused_by: set[str] = set()
        self._unsteady = 0
        self.head_block: int | None = None

    def turn(self) -> bool:
        """True: the store has changed, and there may be more to read at once.

        Raises RetryableError where the chain cannot be read, InvariantBroken where it contradicts itself
        or was reorganised deeper than the store can undo: by the word of every node that there is.
        """
        node = self._nodes.choose()
        try:
            changed = self._read_from(node)
        except (ChainUnavailable, RpcError, InvariantBroken, UnknownEvent) as error:
            if self._go_on_after(node, error):
                return True
            raise
        self._nodes.worked(node)
        self._refused_by.clear()
        return changed

    def _go_on_after(self, node: Node, error: ProtocolError) -> bool:
        """Whether another turn may follow at once: less is asked for, or another node is asked."""
        if isinstance(error, AnswerTooLarge) and self._span.shrink():
            log.warning("fewer_blocks", node=node.name, blocks=self._span.blocks, reason=error.message)
            return True
        if isinstance(error, RetryableError):
            return (self._nodes.distrust if isinstance(error, LogsMissing) else self._nodes.failed)(
                node, error
            )
        if type(error) not in (InvariantBroken, UnknownEvent):
            return False  # narrower ones are not about what the node says
        self._refused_by.add(node.name)
        if len(self._refused_by) == len(self._nodes.nodes):
            return False
        self._nodes.distrust(node, error)
        return True

    def _read_from(self, node: Node) -> bool:
        cursor = self._cursor(node)
        head, held = find_blocks(node.web3, ["latest", cursor.number])
        if head is None:
            raise ChainUnavailable(f"{node.name}: expected a latest block, the node has none")
        self.head_block = head.number
        # Heads may be old ones, blocks by number are not.
        if held is None or held.hash != cursor.hash:
            self._check_fork(node, cursor)
            self._undo_fork(node, cursor, head)
            return True
        if head.number <= cursor.number:
            return False
        with _uncollected():
            return self._take_batch(node, cursor, head)

    def _take_batch(self, node: Node, cursor: Block, head: Block) -> bool:
        batch = self._read_batch(node, cursor, head)
        if batch is None:
            self._unsteady += 1
            if self._unsteady >= UNSTEADY_TURNS:
                self._unsteady = 0
                raise LogsMissing(f"{node.name}: it tells logs whose blocks are not those of its chain")
            return True  # the chain changed while it was read: look again
        self._unsteady = 0
        self._write(batch)
        self._span.grow()
        return True

    def observe(self) -> None:
        """While another oracle reads: notes the head alone. Raises as `turn` does."""
        self.head_block = read_block(self._nodes.choose().web3, "latest").number

    def _cursor(self, node: Node) -> Block:
        with self._store.read() as transaction:
            stored = history.get_cursor(transaction)
        if stored is not None:
            return stored
        first = read_block(node.web3, max(self._manifest.block_number - 1, 0))
        with self._store.write() as transaction:
            history.set_cursor(transaction, first)
            history.retain_blocks(transaction, [first], 0)
        return first

    def _stored_hash(self, number: int) -> bytes | None:
        with self._store.read() as transaction:
            block = history.get_block(transaction, number)
        return None if block is None else block.hash

    def _holds(self, node: Node, block: Block, head: Block) -> bool:
        """Whether the chain still has this block."""
        found = head if head.number == block.number else find_block(node.web3, block.number)
        return found is not None and found.hash == block.hash

    def _check_fork(self, node: Node, cursor: Block) -> None:
        """ChainUnavailable where another node still holds the cursor: a fork is followed once all have."""
        for peer in self._nodes.fit():
            if peer is node:
                continue
            try:
                found = find_block(peer.web3, cursor.number)
            except (ChainUnavailable, RpcError) as error:
                self._nodes.failed(peer, error)
                continue
            if found is not None and found.hash == cursor.hash:
                raise ChainUnavailable(f"block {cursor.number}: {peer.name} still holds it")

    def _undo_fork(self, node: Node, cursor: Block, head: Block) -> None:
        with self._store.read() as transaction:
            retained = history.list_blocks(transaction)
        ancestor = next((block for block in retained if self._holds(node, block, head)), None)
        if ancestor is None:
            oldest = retained[-1].number if retained else cursor.number
            raise InvariantBroken(
                f"a chain that still holds one of blocks {oldest} to {cursor.number}",
                f"another chain, head {head.number} 0x{head.hash.hex()}",
                subject="reorganisation deeper than retained",
            )
        state = self._fold_stored(ancestor)
        self._folded = None
        with self._store.write() as transaction:
            if history.get_cursor(transaction) != cursor:
                return  # another oracle has undone it
            undone = history.forget_after(transaction, ancestor.number)
            entities.replace_all(transaction, state)
            history.set_cursor(transaction, ancestor)
        self._folded = (ancestor, state)
        metrics.REORGANISATIONS.inc()
        log.warning(
            "fork_undone", ancestor=ancestor.number, blocks=cursor.number - ancestor.number, events=undone
        )

    def _read_batch(self, node: Node, cursor: Block, head: Block) -> Batch | None:
        """None: the chain changed meanwhile, so that what was read may be of two forks."""
        blocks = range(cursor.number + 1, min(head.number, cursor.number + self._span.blocks) + 1)
        entries = fetch_logs(node.web3, self._manifest.contracts, blocks.start, blocks.stop - 1)
        headers = self._read_headers(node, entries, blocks, head)
        last = headers[blocks.stop - 1].block
        if head.number == last.number and head.hash != last.hash:
            return None
        for entry in entries:
            header = headers.get(entry.position.block_number)
            if header is None or header.block.hash != entry.position.block_hash:
                return None
        self._check_complete(node, entries, headers, blocks)
        if read_block(node.web3, last.number).hash != last.hash:
            return None
        by_address = emitters(self._manifest)
        events = [
            (decode(entry, by_address), headers[entry.position.block_number].block.timestamp)
            for entry in entries
        ]
        return Batch(cursor, last, [headers[number].block for number in sorted(headers)], events)

    def _read_headers(
        self, node: Node, entries: Sequence[LogEntry], blocks: range, head: Block
    ) -> dict[int, Header]:
        """The blocks that hold events, and all recent ones, in which a fork's ancestor may be looked for."""
        recent = range(max(blocks.start, head.number - self._retained_blocks), blocks.stop)
        with_events = {entry.position.block_number for entry in entries}
        if not with_events <= set(blocks):
            raise ChainUnavailable(f"eth_getLogs: expected logs of blocks {blocks}, got others")
        wanted = with_events | set(recent) | {blocks.stop - 1}
        headers = read_headers(node.web3, wanted)
        if len(headers) != len(wanted):
            raise ChainUnavailable(f"expected the headers of {len(wanted)} blocks, got {len(headers)}")
        return headers

    def _check_complete(
        self, node: Node, entries: Sequence[LogEntry], headers: dict[int, Header], blocks: range
    ) -> None:
        """LogsMissing where the node has kept logs to itself: another one, if there is one, tells them."""
        missing = self._completeness.missing(node, entries, headers.values())
        if not missing and (len(blocks) > LIVE_BLOCKS or not self._completeness.knows_receipts(node)):
            missing = self._completeness.contradicted(node, self._nodes, entries, blocks)
        if missing:
            raise LogsMissing(f"{node.name}: {missing}")

    def _write(self, batch: Batch) -> None:
        """Whatever takes long is done before the transaction, in which others cannot write."""
        state = self._state_at(batch.after)
        # Forgotten until the commit: what is in memory is never ahead of the store.
        self._folded = None
        changes: list[Changes] = []
        for event, timestamp in batch.events:
            changes.append(apply(state, event, timestamp))
            state.merge(changes[-1])
        rows, events = entities.rows_of(changes), history.rows_of(batch.events)
        with self._store.write() as transaction:
            if history.get_cursor(transaction) != batch.after:
                return  # another oracle, or a rebuild, was faster: look again
            entities.write_rows(transaction, rows)
            write_facts(transaction, changes)
            history.add_rows(transaction, events)
            history.retain_blocks(transaction, batch.blocks, batch.last.number - self._retained_blocks)
            history.set_cursor(transaction, batch.last)
        self._folded = (batch.last, state)
        if batch.events:
            log.info("blocks_read", block=batch.last.number, events=len(batch.events))

    def _state_at(self, cursor: Block) -> LedgerState:
        if self._folded is not None and self._folded[0] == cursor:
            return self._folded[1]
        return self._fold_stored(cursor)

    def _fold_stored(self, until: Block) -> LedgerState:
        with self._store.read() as transaction:
            return fold(Parameters.of(self._manifest), history.list_events(transaction, until.number))


@contextmanager
def _uncollected() -> Generator[None, None, None]:
    """Inside, no cycles are looked for: of all that a batch makes, what does not stay is in none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def confirmed(block_number: int, cursor: Block | None, confirmations: int) -> bool:
    """Whether so many blocks lie on top of this one."""
    return cursor is not None and block_number + confirmations <= cursor.number
