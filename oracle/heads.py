"""Wakes the watcher at each new head that a node announces over its WebSocket: reading never relies on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from typing import Any, cast

import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from oracle.loops import Shutdown
from protocol.endpoint import name_of

Answer = dict[str, Any]

log = structlog.get_logger(__name__)

MAX_FRAME_BYTES = 1 << 20
OPEN_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
_SUBSCRIBE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})


class Heads:
    """A thread that subscribes anew, ever more slowly, where the node goes away or refuses."""

    def __init__(self, url: str, wake: Callable[[], None], shutdown: Shutdown) -> None:
        self._url = url
        self._name = name_of(url)
        self._wake = wake
        self._shutdown = shutdown
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="heads")
        shutdown.listen(self._stop)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _stop(self) -> None:
        with self._lock:
            self._stopping.set()
            connection = self._connection
        if connection is not None:
            # Not in this thread, which may be the event loop's: closing waits for the node's farewell.
            threading.Thread(target=connection.close, name="heads-close").start()

    def _run(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            seen = 0
            try:
                for _ in self._heads():
                    seen += 1
                    self._wake()
            except (WebSocketException, OSError, EOFError, ValueError) as error:
                if self._stopping.is_set():
                    return
                pause_seconds = FIRST_PAUSE_SECONDS if seen else min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                log.warning("heads_lost", node=self._name, kind=type(error).__name__, heads=seen)
                self._stopping.wait(pause_seconds)

    def _heads(self) -> Generator[None, None, None]:
        """Once at the start, then at each announcement. WebSocketException, OSError, ValueError."""
        with connect(
            self._url, open_timeout=OPEN_SECONDS, close_timeout=2, max_size=MAX_FRAME_BYTES, proxy=None
        ) as connection:
            with self._lock:
                self._connection = None if self._stopping.is_set() else connection
            if self._connection is None:
                return
            connection.send(_SUBSCRIBE)
            answer = json.loads(connection.recv(timeout=OPEN_SECONDS))
            if not isinstance(answer, dict) or not isinstance(cast(Answer, answer).get("result"), str):
                raise ValueError("expected a subscription, got another answer")
            log.info("heads_followed", node=self._name)
            yield
            for _ in connection:
                yield
            raise EOFError("the node ended the subscription")
