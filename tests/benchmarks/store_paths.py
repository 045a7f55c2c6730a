"""How fast events become rows, and whether that grows with how many there are.

`python -m tests.benchmarks.store_paths [COUNT ...]`: events a second of the ledger and a durable store,
without the node, as JSON. 10,000 and 100,000 unless counts are given.
"""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence

from oracle.store import entities, history
from oracle.store.engine import open_store
from oracle.store.facts import write_facts
from protocol.chain import Block
from protocol.ledger import Changes, LedgerState, apply
from tests.benchmarks import synthetic_market as market

BATCH_EVENTS = 2000
RETAINED_BLOCKS = 256


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


def main() -> int:
    rates: dict[str, float] = {}
    for count in map(int, sys.argv[1:] or ("10000", "100000")):
        events = market.timed_events(count)
        with tempfile.TemporaryDirectory() as folder:
            seconds = index_seconds(f"sqlite:///{folder}/store.sqlite", events)
        rates[str(len(events))] = round(len(events) / seconds)
    print(json.dumps(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
