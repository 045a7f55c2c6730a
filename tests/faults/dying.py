"""`python -m tests.faults.dying {oracle | worker} ...`: the real program, which kills itself at a point.

It dies at the first point that it comes to and that is not in the record yet: `FAULTS_RECORD`, a file of
names, one a line, which survives it. Several processes may share one record.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tests.faults.points import ASKING, ROOT, Site, point_name, sites

RECORD = "FAULTS_RECORD"


class Fate:
    """Where this process is, among the points of its program."""

    def __init__(self, program: str, record: Path) -> None:
        self._program = program
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
        if site is None:
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

    def around(self, kind: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def taken(*arguments: Any, **named: Any) -> Any:
            site = self.site(kind)
            self.reach(site, "before")
            result = action(*arguments, **named)
            self.reach(site, "after")
            return result

        return taken

    def around_block(self, block: Callable[..., Any], outermost: Callable[[Any], bool]) -> Callable[..., Any]:
        @contextmanager
        def entered(owner: Any) -> Generator[Any, None, None]:
            site = self.site("commit") if outermost(owner) else None
            with block(owner) as inside:
                yield inside
                self.reach(site, "before")
            self.reach(site, "after")

        return entered


def install(fate: Fate) -> None:
    """Before anything else is imported: others take these functions by their names."""
    from eth_account.signers.local import LocalAccount

    from protocol import endpoint, outbox, typed_data

    typed_data.sign = fate.around("sign", typed_data.sign)
    LocalAccount.sign_transaction = fate.around("sign", LocalAccount.sign_transaction)
    post = endpoint.Endpoint._post

    def posted(self: Any, method: str, body: bytes) -> bytes:
        if method not in ASKING:
            return post(self, method, body)
        return fate.around(ASKING[method], post)(self, method, body)

    endpoint.Endpoint._post = posted
    outbox.SqliteOutbox._transaction = fate.around_block(outbox.SqliteOutbox._transaction, lambda _: True)


def install_oracle(fate: Fate) -> None:
    from oracle.store.engine import Store

    Store.write = fate.around_block(Store.write, lambda _: True)


def install_worker(fate: Fate) -> None:
    import httpx2

    from worker.journal.database import Journal

    Journal.transaction = fate.around_block(
        Journal.transaction, lambda journal: not journal._connection.in_transaction
    )
    httpx2.Client.send = fate.around("deliver", httpx2.Client.send)


def main() -> None:
    program = sys.argv[1]
    fate = Fate(program, Path(os.environ[RECORD]))
    install(fate)
    {"oracle": install_oracle, "worker": install_worker}[program](fate)
    sys.argv = [program, *sys.argv[2:]]
    runpy.run_module(program, run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
