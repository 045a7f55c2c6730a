"""What goes on between the oracles of one store: each wakes the others, and tells whose workers it has."""

from __future__ import annotations

import threading
from collections.abc import Callable

from oracle.loops import Loop, Shutdown
from oracle.store.bell import Bell
from oracle.store.engine import Store
from oracle.whereabouts import Whereabouts

IDLE_SECONDS = 60.0


class Neighbours:
    """Does nothing where the store is not shared."""

    def __init__(self, store: Store, whereabouts: Whereabouts, holder: str, seconds: float) -> None:
        self._shared = store.shared
        self._whereabouts = whereabouts
        self._seconds = seconds
        self._bell = Bell(store, holder)
        self._news = threading.Event()
        self._ringing: Loop | None = None

    def ring(self) -> None:
        """Soon, from a thread of its own: nobody waits for it. For any thread."""
        self._news.set()
        if self._ringing is not None:
            self._ringing.wake()

    def loops(self, wake: Callable[[], None], shutdown: Shutdown) -> list[Loop]:
        """`wake` is called when another oracle has rung."""
        if not self._shared:
            return []

        def listen() -> bool:
            if self._bell.hear():
                wake()
            return True

        self._ringing = Loop("ringing", self._ring_once, IDLE_SECONDS, shutdown)
        listening = Loop("listening", listen, 1.0, shutdown)
        telling = Loop("whereabouts", self._whereabouts.turn, self._seconds / 3, shutdown)
        return [self._ringing, listening, telling]

    def _ring_once(self) -> bool:
        if self._news.is_set():
            self._news.clear()
            self._bell.ring()
        return False
