"""Wakes whoever waits for news of a job. Waking is from any thread, waiting in the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager

from protocol.units import JobId


class JobWakeups:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[JobId, set[_Waiter]] = {}

    @contextmanager
    def subscribe(self, job_id: JobId) -> Generator[asyncio.Event, None, None]:
        """An event that is set by whatever happens to the job from now on."""
        waiter = _Waiter()
        with self._lock:
            self._waiting.setdefault(job_id, set()).add(waiter)
        try:
            yield waiter.event
        finally:
            with self._lock:
                waiting = self._waiting[job_id]
                waiting.discard(waiter)
                if not waiting:
                    del self._waiting[job_id]

    def wake(self, job_id: JobId) -> None:
        with self._lock:
            waiting = list(self._waiting.get(job_id, ()))
        for waiter in waiting:
            waiter.wake()

    def wake_all(self) -> None:
        with self._lock:
            waiting = [waiter for waiters in self._waiting.values() for waiter in waiters]
        for waiter in waiting:
            waiter.wake()


class _Waiter:
    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self.event.set)
