"""Threads that take turns until told to stop. What a turn cannot handle stops the whole process, loudly."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from oracle import metrics
from protocol.errors import RetryableError, RpcError

log = structlog.get_logger(__name__)


class Shutdown:
    """Asked for once, by a signal or by a loop that failed; whoever must know is called back."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self.failure: BaseException | None = None

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def listen(self, listener: Callable[[], None]) -> None:
        """Before any loop runs. Listeners may be called from any thread, and more than once."""
        self._listeners.append(listener)

    def ask(self, failure: BaseException | None = None) -> None:
        if self.failure is None:
            self.failure = failure
        self._asked.set()
        for listener in self._listeners:
            listener()


class Loop:
    """A turn returns True where another should follow at once; else after the interval or a `wake`.

    A chain that does not answer is waited for. Any other error is a fault of ours or of the data: all stops.
    """

    def __init__(
        self, name: str, turn: Callable[[], bool], interval_seconds: float, shutdown: Shutdown
    ) -> None:
        self._name = name
        self._turn = turn
        self._interval_seconds = interval_seconds
        self._shutdown = shutdown
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        shutdown.listen(self.wake)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._shutdown.asked:
            self._woken.clear()
            try:
                more = self._turn()
            except (RetryableError, RpcError) as error:
                metrics.LOOP_FAILURES.labels(self._name).inc()
                log.warning("turn_failed", loop=self._name, code=error.code, reason=error.message)
                more = False
                self._woken.clear()
            except Exception as error:
                metrics.LOOP_FAILURES.labels(self._name).inc()
                log.critical("halted", loop=self._name, reason=str(error), exc_info=error)
                self._shutdown.ask(error)
                return
            if not more and not self._shutdown.asked:
                self._woken.wait(self._interval_seconds)
