"""Processes that may die at any moment, and what starts them again."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx2

from tests.anvil import free_port

CHECK_SECONDS = 0.05
STOP_SECONDS = 40.0
SPARED_SECONDS = 4.0
UNSPARED_LIVES = 12
# Each is forked from a process that has the programs loaded: starting one costs what it does itself.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.faults.dying"])


def _run(*given: Any) -> None:
    from tests.faults.dying import run

    run(*given)


@dataclass(slots=True)
class Victim:
    """One program with its settings. Every end but SIGKILL is written down as strange."""

    program: str
    folder: Path
    settings: Mapping[str, Any]
    record: Path
    is_up: Callable[[Victim], bool]
    process: ForkServerProcess | None = None
    started_at: float = 0.0
    deaths: int = 0
    died_at: float | None = None
    recoveries_seconds: list[float] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.program}.log"

    def start(self, *arguments: str) -> None:
        settings = self.folder / f"{self.program}.toml"
        settings.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in self.settings.items()))
        # In the end every other life is spared for a while: who dies again and again gets nothing done.
        spared = self.deaths % 2 and self.deaths > UNSPARED_LIVES and not arguments
        spared_seconds = SPARED_SECONDS if spared else 0.0
        command = (*arguments, "--settings", str(settings))
        given = (self.program, command, self.record, self.log_path, spared_seconds)
        self.process = _FORKS.Process(target=_run, args=given)
        self.process.start()
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Starts it again where it died; notes how long it took until it was up again."""
        if self.process is None:
            return
        code = self.process.exitcode
        if code is not None:
            self.deaths += 1
            self.died_at = self.died_at or time.monotonic()
            if code != -signal.SIGKILL:
                tail = self.log_path.read_bytes()[-3000:].decode(errors="replace")
                self.strange.append(f"{self.program} in {self.folder.name} ended with {code}: {tail}")
            self.start()
        elif self.died_at is not None and self.is_up(self):
            self.recoveries_seconds.append(time.monotonic() - self.started_at)
            self.died_at = None

    def stop(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.process.terminate()
            self.process.join(STOP_SECONDS)
            if self.process.is_alive():
                self.strange.append(f"{self.program} in {self.folder.name} did not stop")
                self.process.kill()
                self.process.join()


@dataclass(slots=True)
class OracleVictim(Victim):
    """Its port stays the same, so that everybody finds it again."""

    url: str = ""
    clients: list[httpx2.Client] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, settings: Mapping[str, Any], record: Path) -> OracleVictim:
        port = free_port()
        folder.mkdir(exist_ok=True)
        given = {**settings, "port": port}
        return cls("oracle", folder, given, record, is_ready, url=f"http://127.0.0.1:{port}")


def is_ready(victim: Victim) -> bool:
    assert isinstance(victim, OracleVictim)
    try:
        return httpx2.get(f"{victim.url}/v1/ready", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


def is_linked(victim: Victim) -> bool:
    """Whether a worker has said since its last start that it is connected."""
    text = victim.log_path.read_bytes()
    return b'"link_open"' in text.rpartition(b'"worker_started"')[2]


@contextmanager
def watched(victims: Sequence[Victim]) -> Iterator[None]:
    """Started, and started again whenever they die, until the block ends."""
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(CHECK_SECONDS):
            for victim in victims:
                victim.look()

    for victim in victims:
        victim.start()
    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        for victim in reversed(victims):
            victim.stop()
