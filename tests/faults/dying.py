"""The real programs, each of which kills itself at a point: the first that is not in the record yet.

The record is a file of names, one a line, which outlives the processes; several may share it. Whoever imports
this module has the programs loaded and can fork one that is up in no time.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tests.faults.points import ASKING, ROOT, Site, point_name, sites

PROGRAMS = ("oracle.service", "oracle.rebuild", "worker.daemon")


class Fate:
    """Where this process is, among the points of its program."""

    def __init__(self, program: str, record: Path, spared_seconds: float) -> None:
        """For so long nothing happens to it."""
        self._program = program
        self._spared_until = time.monotonic() + spared_seconds
        self._record = record
        self._dying = threading.Lock()
        self._by_place: dict[tuple[str, str], list[Site]] = {}
        for site in sites(program):
            self._by_place.setdefault((site.kind, str(ROOT / site.path)), []).append(site)

    def site(self, kind: str) -> Site | None:
        """The step that is being taken: the nearest caller that is one."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            for site in self._by_place.get((kind, frame.f_code.co_filename), ()):
                if frame.f_lineno in site.lines:
                    return site
            frame = frame.f_back
        return None

    def reach(self, site: Site | None, moment: str) -> None:
        if site is None or time.monotonic() < self._spared_until:
            return
        name = point_name(self._program, site, moment)
        with self._dying:  # no other thread comes to its point while this one dies
            with self._record.open("a+") as file:
                file.seek(0)
                if name in file.read().splitlines():
                    return
                file.write(name + "\n")
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()


_fate: Fate | None = None


def _around(kind: str, action: Callable[..., Any]) -> Callable[..., Any]:
    def taken(*arguments: Any, **named: Any) -> Any:
        if _fate is None:
            return action(*arguments, **named)
        site = _fate.site(kind)
        _fate.reach(site, "before")
        result = action(*arguments, **named)
        _fate.reach(site, "after")
        return result

    return taken


def _around_block(block: Callable[..., Any], outermost: Callable[[Any], bool]) -> Callable[..., Any]:
    @contextmanager
    def entered(owner: Any) -> Generator[Any, None, None]:
        site = _fate.site("commit") if _fate is not None and outermost(owner) else None
        with block(owner) as inside:
            yield inside
            if _fate is not None:
                _fate.reach(site, "before")
        if _fate is not None:
            _fate.reach(site, "after")

    return entered


def _install() -> None:
    """Before anything else is imported: others take these functions by their names."""
    import httpx2
    from eth_account.signers.local import LocalAccount

    from oracle.store.engine import Store
    from protocol import endpoint, outbox, typed_data
    from worker.journal.database import Journal

    typed_data.sign = _around("sign", typed_data.sign)
    LocalAccount.sign_transaction = _around("sign", LocalAccount.sign_transaction)
    ask = endpoint.Endpoint.ask
    asking = {method: _around(kind, ask) for method, kind in ASKING.items()}

    def asked(self: Any, method: str, body: bytes, read: Any) -> Any:
        return asking.get(method, ask)(self, method, body, read)

    endpoint.Endpoint.ask = asked
    outbox.SqliteOutbox._transaction = _around_block(outbox.SqliteOutbox._transaction, lambda _: True)
    Store.write = _around_block(Store.write, lambda _: True)
    Journal.transaction = _around_block(
        Journal.transaction, lambda journal: not journal._connection.in_transaction
    )
    httpx2.Client.send = _around("deliver", httpx2.Client.send)


def run(program: str, arguments: Sequence[str], record: Path, log: Path, spared_seconds: float) -> None:
    """The program in this process, to its end; what it says goes to the log."""
    global _fate
    for name in [name for name in os.environ if name not in ("PATH", "LANG")]:
        del os.environ[name]
    os.environ["HOME"] = str(log.parent)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    _fate = Fate(program, record, spared_seconds)
    sys.argv = [program, *arguments]
    runpy.run_module(program, run_name="__main__")


_install()
for _name in PROGRAMS:
    importlib.import_module(_name)
