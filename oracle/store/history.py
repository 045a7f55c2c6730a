"""The chain's events as they were read, the cursor behind them, and the blocks that a fork may undo."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import delete, func, select

from oracle.store import bulk
from oracle.store.bulk import Row
from oracle.store.engine import Transaction
from oracle.store.tables import blocks, cursor, events
from protocol.chain import Block
from protocol.events import Event, LogPosition, from_fields, to_json
from protocol.units import BlockNumber, LeaseId, UnixTime

_EVENT_COLUMNS = (
    events.c.body,
    events.c.block_timestamp,
    events.c.block_number,
    events.c.log_index,
    events.c.block_hash,
    events.c.transaction_hash,
)
_CURSOR = select(cursor)


def get_cursor(transaction: Transaction) -> Block | None:
    """The last block whose events are all in; None in a new store."""
    row = transaction.execute(_CURSOR).first()
    if row is None:
        return None
    return Block(BlockNumber(row.block_number), row.block_hash, UnixTime(row.block_timestamp))


def set_cursor(transaction: Transaction, block: Block) -> None:
    row = {
        "id": 1,
        "block_number": block.number,
        "block_hash": block.hash,
        "block_timestamp": block.timestamp,
    }
    bulk.put_rows(transaction, cursor, [row])


def retain_blocks(transaction: Transaction, fresh: Iterable[Block], oldest: int) -> None:
    """Adds blocks and forgets those before number `oldest`."""
    rows = [{"number": b.number, "hash": b.hash, "timestamp": b.timestamp} for b in fresh]
    bulk.put_rows(transaction, blocks, rows)
    transaction.execute(delete(blocks).where(blocks.c.number < oldest))


def list_blocks(transaction: Transaction) -> list[Block]:
    """The retained blocks, newest first."""
    query = select(blocks).order_by(blocks.c.number.desc())
    return [Block(BlockNumber(r.number), r.hash, UnixTime(r.timestamp)) for r in transaction.execute(query)]


def get_block(transaction: Transaction, number: int) -> Block | None:
    row = transaction.execute(select(blocks).where(blocks.c.number == number)).first()
    return None if row is None else Block(BlockNumber(row.number), row.hash, UnixTime(row.timestamp))


def add_events(transaction: Transaction, fresh: Iterable[tuple[Event, UnixTime]]) -> None:
    """Events and the timestamps of their blocks."""
    add_rows(transaction, rows_of(fresh))


def add_rows(transaction: Transaction, rows: Collection[Row]) -> None:
    """Events as `rows_of` makes them."""
    bulk.add_rows(transaction, events, rows)


def rows_of(fresh: Iterable[tuple[Event, UnixTime]]) -> list[Row]:
    return [
        {
            "block_number": event.position.block_number,
            "block_hash": event.position.block_hash,
            "block_timestamp": timestamp,
            "transaction_hash": event.position.transaction_hash,
            "log_index": event.position.log_index,
            "body": msgspec.json.encode(to_json(event)).decode(),
            "lease_id": getattr(event, "lease_id", None),
        }
        for event, timestamp in fresh
    ]


def list_events(transaction: Transaction, until_block: int | None = None) -> Iterator[tuple[Event, UnixTime]]:
    """All of them, or those of blocks up to one, in the chain's order, each with its block's timestamp."""
    query = select(*_EVENT_COLUMNS).order_by(events.c.block_number, events.c.log_index)
    if until_block is not None:
        query = query.where(events.c.block_number <= until_block)
    for body, timestamp, *position in transaction.execute(query.execution_options(yield_per=5000)):
        data = msgspec.json.decode(body, type=dict[str, Any])
        data.pop("position", None)
        yield from_fields(data, LogPosition(*position)), UnixTime(timestamp)


def count_events(transaction: Transaction) -> int:
    return int(transaction.execute(select(func.count()).select_from(events)).scalar_one())


def list_lease_events(
    transaction: Transaction, lease_id: LeaseId, after: tuple[int, int], last_block: int, limit: int
) -> list[tuple[int, int, str, int]]:
    """Block, index, JSON and time of the events about a lease, in the chain's order, up to a block.

    `after` is block and index of the last one seen.
    """
    block, index = after
    query = (
        select(events.c.block_number, events.c.log_index, events.c.body, events.c.block_timestamp)
        .where(
            events.c.lease_id == lease_id,
            (events.c.block_number > block)
            | ((events.c.block_number == block) & (events.c.log_index > index)),
            events.c.block_number <= last_block,
        )
        .order_by(events.c.block_number, events.c.log_index)
        .limit(limit)
    )
    return [(row[0], row[1], row[2], row[3]) for row in transaction.execute(query)]


def forget_after(transaction: Transaction, number: int) -> int:
    """Deletes what a fork undid: events and blocks after `number`. How many events those were."""
    transaction.execute(delete(blocks).where(blocks.c.number > number))
    return transaction.execute(delete(events).where(events.c.block_number > number)).rowcount
