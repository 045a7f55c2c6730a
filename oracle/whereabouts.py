"""Where workers are connected: here, as `Links` has it, or to another oracle of the same store."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from oracle.links import Link, Links
from oracle.store import presence
from oracle.store.engine import Store, Transaction
from protocol.errors import RetryableError
from protocol.units import UnitId

log = structlog.get_logger(__name__)


class Whereabouts:
    """For any thread. A store that is not shared has nothing to tell that `links` does not know.

    A link of another oracle counts for `seconds` after that oracle last said that it is there.
    """

    def __init__(self, store: Store, links: Links, holder: str, seconds: float) -> None:
        self._store = store
        self._links = links
        self._holder = holder
        self._seconds = seconds

    def connect(self, link: Link) -> None:
        self._links.connect(link)
        if self._store.shared:
            with self._store.write() as transaction:
                presence.add_link(transaction, link.unit_id, link.name, self._holder)
            link.told = True

    def disconnect(self, link: Link) -> None:
        self._links.disconnect(link)
        if self._store.shared:
            try:
                with self._store.write() as transaction:
                    presence.lose_links(transaction, [link.name])
            except RetryableError as error:  # the next turn says it again
                log.warning("link_not_noted", unit_id=link.unit_id, reason=error.message)

    def turn(self) -> bool:
        """Says which links are here, learns which are elsewhere, and ends those that workers have left."""
        told = [link for link in self._links.list() if link.told]
        with self._store.read() as transaction:
            known = presence.list_links(transaction)
        # Read later than the rows: a row of ours has had its link here before.
        here = {link.name for link in self._links.list()}
        gone = [row.link for row in known.values() if self._of_us(row) and row.link not in here]
        if here or gone:
            with self._store.write() as transaction:
                presence.refresh_links(transaction, self._holder)
                presence.lose_links(transaction, gone)
        for link in told:
            if link.unit_id in known and known[link.unit_id].link != link.name:
                link.replace()
        self._links.note_elsewhere(frozenset(unit_id for unit_id, row in known.items() if self._live(row)))
        return False

    def silences(self, transaction: Transaction, on_duty_seconds: float) -> Callable[[UnitId], float]:
        """For each unit how long its worker has been connected nowhere, 0 where it is.

        At most `on_duty_seconds`: who begins to look gives every worker the whole timeout to come back.
        """
        if not self._store.shared:
            return self._links.silent_seconds
        known = presence.list_links(transaction)

        def silent_seconds(unit_id: UnitId) -> float:
            row = known.get(unit_id)
            if self._links.connected(unit_id) or (row is not None and self._live(row)):
                return 0
            unseen_seconds = on_duty_seconds if row is None else min(row.unseen_seconds, on_duty_seconds)
            return max(unseen_seconds, 1e-9)  # never zero: it is not connected

        return silent_seconds

    def _of_us(self, row: presence.Presence) -> bool:
        return row.holder == self._holder and not row.lost

    def _live(self, row: presence.Presence) -> bool:
        """Whether another oracle has it."""
        return row.holder != self._holder and not row.lost and row.unseen_seconds < self._seconds
