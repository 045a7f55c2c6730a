"""Rebuilds a store again and again, killed each time one step later, and says what was left each time.

Argument: the database's URL. Steps are each commit, rename and sync of a rebuild, before and after.
The last line is JSON: how many steps there are, and what was wrong after which.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, make_url

from oracle.logs import configure_logging
from oracle.store import attempts, entities, history, jobs, rebuilding, salvage
from oracle.store.engine import Store, open_store
from oracle.store.schema import DERIVED, KEPT
from protocol.chain import Block
from protocol.events import OfferUnlisted
from protocol.ledger import Changes
from protocol.units import BlockNumber, UnixTime
from tests.unit.oracle import oracle_samples as samples

Contents = dict[str, list[tuple[Any, ...]]]


class Steps:
    """Counts, and kills this process at one."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self.last = last

    def step(self) -> None:
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            self.step()
            result = call(*arguments, **named)
            self.step()
            return result

        return stepping


def fill(blocks: int) -> Callable[[Store], None]:
    """An index of so many blocks, each written in a transaction."""

    def filled(store: Store) -> None:
        for number in range(1, blocks + 1):
            block = Block(BlockNumber(number), bytes([number]) * 32, UnixTime(number))
            offer = samples.make_offer(price=number, salt=number)
            event = OfferUnlisted(samples.position(number), offer.offer_hash, samples.PROVIDER)
            with store.write() as transaction:
                entities.write_changes(transaction, [Changes(offers=(offer,))])
                history.add_events(transaction, [(event, block.timestamp)])
                history.retain_blocks(transaction, [block], 0)
                history.set_cursor(transaction, block)

    return filled


def contents(url: str, tables: Any) -> Contents:
    store = open_store(url)
    with store.read() as transaction:
        found = {t.name: sorted(map(tuple, transaction.execute(t.select()))) for t in tables}
    store.close()
    return found


def reset(url: str) -> None:
    """Orders and attempts, and an index that is not what the chain says."""
    store = open_store(url)
    signed = samples.make_order()
    job_id = samples.job_of(signed)
    with store.write() as transaction:
        for table in DERIVED:
            transaction.execute(table.delete())
        if jobs.get_job(transaction, job_id) is None:
            jobs.insert_job(transaction, job_id, samples.RENTER, samples.make_terms(), signed, samples.MONDAY)
            attempts.add_attempt(transaction, job_id, samples.UNIT_ID, samples.MONDAY)
    fill(1)(store)
    store.close()


def leftovers(url: str) -> list[str]:
    found = make_url(url)
    if found.get_backend_name() == "sqlite":
        path = Path(str(found.database))
        return [p.name for p in path.parent.glob(f"{path.name}?*") if p.suffix in (".building", ".rebuilt")]
    store = open_store(url)
    names = [name for name in inspect(store.engine).get_schema_names() if name.startswith("rebuild_")]
    store.close()
    return names


@contextmanager
def stepping(steps: Steps) -> Any:
    write = Store.write

    @contextmanager
    def writing(self: Store) -> Any:
        with write(self) as transaction:
            yield transaction
            steps.step()
        steps.step()

    Store.write = writing  # type: ignore[method-assign]
    os.replace, os.fsync = steps.around(os.replace), steps.around(os.fsync)
    salvage.copy_kept = steps.around(salvage.copy_kept)
    yield


def rebuild_in_child(url: str, last: int | None) -> int | None:
    """How many steps it took; None where it was killed at one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        steps = Steps(last)
        with stepping(steps):
            rebuilding.rebuild(url, fill(2))
        os.write(writing, str(steps.count).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return int(said) if os.WIFEXITED(status) and said else None


def main(url: str) -> None:
    configure_logging("error")
    reset(url)
    kept, old = contents(url, KEPT), contents(url, DERIVED)
    count = rebuild_in_child(url, None)
    assert count is not None
    new = contents(url, DERIVED)
    wrong: list[str] = []
    for step in range(count):
        reset(url)
        if rebuild_in_child(url, step) is not None:
            wrong.append(f"{step}: not killed")
        if contents(url, DERIVED) not in (old, new) or contents(url, KEPT) != kept:
            wrong.append(f"{step}: neither the old store nor the new one")
        rebuilding.rebuild(url, fill(2))
        if contents(url, DERIVED) != new or contents(url, KEPT) != kept or leftovers(url):
            wrong.append(f"{step}: not completed")
    print(json.dumps({"steps": count, "differ": old != new, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1])
