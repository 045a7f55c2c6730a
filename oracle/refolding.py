"""Writes the ledger's rows anew, out of the stored events, where earlier code wrote them in another form."""

from __future__ import annotations

import structlog

from oracle.store import entities, history
from oracle.store.engine import Store
from oracle.store.facts import rows_are_current
from protocol.ledger import Parameters, fold
from protocol.manifest import DeploymentManifest

log = structlog.get_logger(__name__)


def refresh_rows(store: Store, manifest: DeploymentManifest) -> None:
    """Afterwards the rows are in the form that this code reads: in one transaction, or as they were."""
    while True:
        with store.read() as transaction:
            if rows_are_current(transaction):
                return
            cursor = history.get_cursor(transaction)
            events = list(history.list_events(transaction))
        # Outside of any transaction: it takes as long as the history is.
        state = fold(Parameters.of(manifest), events)
        with store.write() as transaction:
            if history.get_cursor(transaction) == cursor:
                entities.replace_all(transaction, state)
                log.info("rows_refreshed", leases=len(state.leases), offers=len(state.offers))
                return
