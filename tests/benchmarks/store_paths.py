"""A million events through the ledger into a durable store: what a rebuild does, the node left out."""

import gc
import tempfile
import time
from collections.abc import Sequence

from oracle.store import entities, history
from oracle.store.engine import open_store
from oracle.store.facts import write_facts
from protocol.chain import Block
from protocol.ledger import Changes, LedgerState, apply
from tests.benchmarks import synthetic_market as market
from tests.benchmarks.harness import Figure, Goal, figure

BATCH_EVENTS = 2000
RETAINED_BLOCKS = 256
EVENTS = 1_000_000
GOAL = Goal("<= 2 minutes; growth linear", at_most=120)


def index_seconds(database_url: str, events: Sequence[market.Timed]) -> float:
    """Of all events through the ledger into an empty store, a transaction for each `BATCH_EVENTS`."""
    store = open_store(database_url)
    state = LedgerState.empty(market.PARAMETERS)
    gc.freeze()
    began = time.perf_counter()
    for first in range(0, len(events), BATCH_EVENTS):
        part = events[first : first + BATCH_EVENTS]
        changes: list[Changes] = []
        for event, timestamp in part:
            changes.append(apply(state, event, timestamp))
            state.merge(changes[-1])
        rows, event_rows = entities.rows_of(changes), history.rows_of(part)
        position, timestamp = part[-1][0].position, part[-1][1]
        last = Block(position.block_number, position.block_hash, timestamp)
        with store.write() as transaction:
            entities.write_rows(transaction, rows)
            write_facts(transaction, changes)
            history.add_rows(transaction, event_rows)
            history.retain_blocks(transaction, [last], last.number - RETAINED_BLOCKS)
            history.set_cursor(transaction, last)
        gc.freeze()  # as a rebuild does
    seconds = time.perf_counter() - began
    store.close()
    return seconds


def rebuild(rounds: int) -> Figure:
    """Seconds for a million events, the node left out. One round: it is long enough."""
    del rounds
    events = market.timed_events(EVENTS)
    with tempfile.TemporaryDirectory(prefix="gpgpu-store-") as folder:
        seconds = index_seconds(f"sqlite:///{folder}/store.sqlite", events)
    return figure({"ours": seconds}, "s for 1,000,000 events", GOAL)
