"""`python -m oracle rebuild`: reads the whole chain anew; orders, artifacts, receipts and evidence stay."""

from __future__ import annotations

import contextlib
import gc
import json
import time

import structlog

from oracle.refolding import refresh_rows
from oracle.service import check_chain, only_one
from oracle.settings import Settings
from oracle.store import history, rebuilding
from oracle.store.deployment import bind_deployment
from oracle.store.engine import Store
from oracle.watcher import Watcher
from protocol.errors import RetryableError

log = structlog.get_logger(__name__)

MAX_FAILURES = 30
PAUSE_SECONDS = 1.0


def run_rebuild(settings: Settings) -> bool:
    """True: nothing was lost. The last line on stdout is a JSON object that says what was done."""
    began = time.monotonic()
    manifest, web3 = check_chain(settings)
    indexed = {"block": 0, "events": 0}

    def fill(store: Store) -> None:
        with store.write() as transaction:
            bind_deployment(transaction, manifest)
        refresh_rows(store, manifest)
        watcher = Watcher(
            web3,
            manifest,
            store,
            retained_blocks=settings.retained_blocks,
            batch_blocks=settings.batch_blocks,
        )
        _catch_up(watcher)
        with store.read() as transaction:
            cursor = history.get_cursor(transaction)
            indexed["block"] = cursor.number if cursor else 0
            indexed["events"] = history.count_events(transaction)

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    on_file = settings.resolved_database_url.startswith("sqlite")
    with only_one(settings.data_dir) if on_file else contextlib.nullcontext():
        incomplete = rebuilding.rebuild(settings.resolved_database_url, fill)
    seconds = round(time.monotonic() - began, 3)
    print(json.dumps({**indexed, "seconds": seconds, "incomplete": incomplete}))
    return not incomplete


def _catch_up(watcher: Watcher) -> None:
    """Up to the chain's head. A node that does not answer is asked again for a while."""
    failures = 0
    while True:
        try:
            if not watcher.turn():
                return
            failures = 0
            gc.freeze()  # what was read stays: looking through it for garbage costs a third of the time
        except RetryableError as error:
            failures += 1
            if failures == MAX_FAILURES:
                raise
            log.warning("turn_failed", code=error.code, reason=error.message)
            time.sleep(PAUSE_SECONDS)
