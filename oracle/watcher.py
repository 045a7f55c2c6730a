"""Reads the chain: each batch of blocks becomes events, ledger rows and a cursor in one transaction.

A turn compares what is stored with what the chain holds, and relies on no turn before it: a fork is found
because the cursor's hash is no longer the chain's, and undone back to the newest block that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from web3 import Web3

from oracle.store import entities, history
from oracle.store.engine import Store
from oracle.store.facts import write_facts
from protocol.chain import Block, read_block
from protocol.errors import InvariantBroken
from protocol.events import Event, decode, emitters
from protocol.ledger import Changes, LedgerState, Parameters, apply, fold
from protocol.logs import LogEntry, fetch_logs
from protocol.manifest import DeploymentManifest
from protocol.units import UnixTime

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the chain says of the blocks after the cursor, `after`, up to `last`."""

    after: Block
    last: Block
    blocks: Sequence[Block]
    events: Sequence[tuple[Event, UnixTime]]


class Watcher:
    """Not thread-safe: one thread takes the turns."""

    def __init__(
        self,
        web3: Web3,
        manifest: DeploymentManifest,
        store: Store,
        *,
        retained_blocks: int,
        batch_blocks: int,
    ) -> None:
        self._web3 = web3
        self._manifest = manifest
        self._store = store
        self._retained_blocks = retained_blocks
        self._batch_blocks = batch_blocks
        self._folded: tuple[Block, LedgerState] | None = None
        self.head_block: int | None = None

    def turn(self) -> bool:
        """True: the store has changed, and there may be more to read at once.

        Raises RetryableError where the chain cannot be read, InvariantBroken where it contradicts itself
        or was reorganised deeper than the store can undo.
        """
        cursor = self._cursor()
        head = read_block(self._web3, "latest")
        self.head_block = head.number
        if not self._holds(cursor, head):
            self._undo_fork(cursor, head)
            return True
        if head.number <= cursor.number:
            return False
        batch = self._read_batch(cursor, head)
        if batch is None:
            return True  # the chain changed while it was read: look again
        self._write(batch)
        return True

    def observe(self) -> None:
        """While another oracle reads: notes the head alone. Raises as `turn` does."""
        self.head_block = read_block(self._web3, "latest").number

    def _cursor(self) -> Block:
        with self._store.read() as transaction:
            stored = history.get_cursor(transaction)
        if stored is not None:
            return stored
        first = read_block(self._web3, max(self._manifest.block_number - 1, 0))
        with self._store.write() as transaction:
            history.set_cursor(transaction, first)
            history.retain_blocks(transaction, [first], 0)
        return first

    def _holds(self, block: Block, head: Block) -> bool:
        """Whether the chain still has this block."""
        if head.number < block.number:
            return False
        found = head if head.number == block.number else read_block(self._web3, block.number)
        return found.hash == block.hash

    def _undo_fork(self, cursor: Block, head: Block) -> None:
        with self._store.read() as transaction:
            retained = history.list_blocks(transaction)
        ancestor = next((block for block in retained if self._holds(block, head)), None)
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
        log.warning(
            "fork_undone", ancestor=ancestor.number, blocks=cursor.number - ancestor.number, events=undone
        )

    def _read_batch(self, cursor: Block, head: Block) -> Batch | None:
        """None: the chain changed meanwhile, so that what was read may be of two forks."""
        first, last_number = cursor.number + 1, min(head.number, cursor.number + self._batch_blocks)
        last = head if last_number == head.number else read_block(self._web3, last_number)
        entries = fetch_logs(self._web3, self._manifest.contracts, first, last_number)
        known = self._read_headers(
            entries, range(max(first, head.number - self._retained_blocks), last_number)
        )
        known[last_number] = last
        for entry in entries:
            if known[entry.position.block_number].hash != entry.position.block_hash:
                return None
        if read_block(self._web3, last_number).hash != last.hash:
            return None
        by_address = emitters(self._manifest)
        events = [
            (decode(entry, by_address), known[entry.position.block_number].timestamp) for entry in entries
        ]
        return Batch(cursor, last, [known[number] for number in sorted(known)], events)

    def _read_headers(self, entries: Sequence[LogEntry], recent: range) -> dict[int, Block]:
        """The blocks that hold events, and all recent ones, in which a fork's ancestor may be looked for."""
        numbers = {int(entry.position.block_number) for entry in entries} | set(recent)
        return {number: read_block(self._web3, number) for number in sorted(numbers)}

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


def confirmed(block_number: int, cursor: Block | None, confirmations: int) -> bool:
    """Whether so many blocks lie on top of this one."""
    return cursor is not None and block_number + confirmations <= cursor.number
