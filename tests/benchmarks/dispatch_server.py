"""The oracle of the dispatch benchmark: API, worker's link and dispatcher as the service has them, no chain.

`python -m tests.benchmarks.dispatch_server FOLDER` serves until it is ended; its first line is the port.
"""

import asyncio
import logging
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import structlog
import uvicorn

from oracle.api.application import build_application
from oracle.api.services import Services
from oracle.dispatcher import Dispatcher, Rules, Turned
from oracle.intake import Intake
from oracle.joblogs import JobLogs
from oracle.links import Links
from oracle.loops import Loop, Shutdown
from oracle.server import server_config
from oracle.settings import Settings
from oracle.store.engine import open_store
from oracle.wakeups import JobWakeups
from oracle.whereabouts import Whereabouts
from tests.benchmarks.api_server import database_url, open_doors
from tests.unit.oracle.oracle_samples import DOMAIN, GRACE_SECONDS, MONDAY

RULES = Rules(0, 60, 3600, GRACE_SECONDS)


def now() -> int:
    """The lease's first hour."""
    return MONDAY + 60


def make_services(folder: Path) -> tuple[Services, Loop]:
    settings = Settings(
        rpc_url="http://127.0.0.1:1",
        chain_id=DOMAIN.chain_id,
        manifest=folder / "manifest.json",
        data_dir=folder,
    )
    store, links, wakeups = open_store(database_url(folder)), Links(), JobWakeups()
    logs = JobLogs(folder / "logs")
    whereabouts = Whereabouts(store, links, "bench", settings.duty_seconds)

    def tell(turned: Turned) -> None:
        links.wake_units(turned.units)
        for job_id in turned.jobs:
            wakeups.wake(job_id)

    dispatcher = Dispatcher(
        store,
        RULES,
        now,
        lambda transaction: whereabouts.silences(transaction, time.monotonic()),
        tell,
        look_seconds=settings.dispatch_seconds,
    )
    dispatching = Loop("dispatcher", dispatcher.turn, settings.dispatch_seconds, Shutdown())
    intake = Intake(
        store,
        logs,
        DOMAIN,
        now,
        proof_grace_seconds=GRACE_SECONDS,
        wake_dispatcher=dispatching.wake,
        wake_readers=wakeups.wake,
    )
    services = SimpleNamespace(
        settings=settings,
        domain=DOMAIN,
        store=store,
        logs=logs,
        intake=intake,
        links=links,
        whereabouts=whereabouts,
        wakeups=wakeups,
        now=now,
        head_block=lambda: 10,
        wake_dispatcher=dispatching.wake,
        doors=open_doors(),
        readers=(),
        book=SimpleNamespace(version=None),
        unidentified=asyncio.Semaphore(8),
        stopping=asyncio.Event(),
    )
    return cast(Services, services), dispatching


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    services, dispatching = make_services(Path(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    dispatching.start()
    asyncio.run(uvicorn.Server(server_config(build_application(services))).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
