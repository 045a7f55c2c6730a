"""Which workers are connected, since when they are not, and how to wake what serves them. For any thread."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterable

from protocol.units import Address, UnitId


class Link:
    """One live connection. Its `changed` event says that what the worker should do may have changed."""

    def __init__(self, unit_id: UnitId, worker: Address, quotes: bool = False) -> None:
        self.unit_id = unit_id
        self.worker = worker
        self.quotes = quotes
        self.name = secrets.token_hex(16)
        self.changed = asyncio.Event()
        self.replaced = False
        self.told = False
        """Other oracles of the store can know of it."""
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self.changed.set)

    def replace(self) -> None:
        """The worker has connected anew: this connection ends."""
        self.replaced = True
        self.wake()


class Links:
    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._links: dict[UnitId, Link] = {}
        self._lost_at: dict[UnitId, float] = {}
        self._elsewhere: frozenset[UnitId] = frozenset()
        # A restarted oracle gives every worker the whole timeout to come back.
        self._started_at = monotonic()

    def connect(self, link: Link) -> None:
        with self._lock:
            before = self._links.get(link.unit_id)
            self._links[link.unit_id] = link
        if before is not None:
            before.replace()

    def disconnect(self, link: Link) -> None:
        with self._lock:
            if self._links.get(link.unit_id) is link:
                del self._links[link.unit_id]
                self._lost_at[link.unit_id] = self._monotonic()

    def note_elsewhere(self, unit_ids: frozenset[UnitId]) -> None:
        """Units whose workers are connected to other oracles, as far as is known here."""
        with self._lock:
            self._elsewhere = unit_ids

    def connected(self, unit_id: UnitId) -> bool:
        """To this oracle."""
        with self._lock:
            return unit_id in self._links

    def silent_seconds(self, unit_id: UnitId) -> float:
        """How long the unit's worker has not been connected; zero while it is, be it elsewhere."""
        with self._lock:
            if unit_id in self._links or unit_id in self._elsewhere:
                return 0
            since = self._lost_at.get(unit_id, self._started_at)
            # Never zero: at the very instant of the loss too, it is not connected.
            return max(self._monotonic() - since, 1e-9)

    def count(self) -> int:
        with self._lock:
            return len(self._links)

    def quoting(self) -> list[UnitId]:
        """Units whose workers bid, or may: how those of other oracles are minded is not known here."""
        with self._lock:
            here = [unit_id for unit_id, link in self._links.items() if link.quotes]
            return [*here, *sorted(self._elsewhere - self._links.keys())]

    def wake(self, unit_id: UnitId) -> None:
        with self._lock:
            link = self._links.get(unit_id)
        if link is not None:
            link.wake()

    def list(self) -> list[Link]:
        with self._lock:
            return [*self._links.values()]

    def wake_units(self, unit_ids: Iterable[UnitId]) -> None:
        """What serves these units, where it is here."""
        with self._lock:
            found = [self._links[unit_id] for unit_id in unit_ids if unit_id in self._links]
        for link in found:
            link.wake()

    def wake_all(self) -> None:
        for link in self.list():
            link.wake()
