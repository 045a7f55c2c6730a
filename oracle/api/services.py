"""What the routers call: built once at the start, reached through the application's state."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import HTTPConnection

from oracle.api.doors import Doors
from oracle.artifacts import ArtifactStore, Staging
from oracle.book import Book
from oracle.clock import Now
from oracle.intake import Intake
from oracle.joblogs import JobLogs
from oracle.links import Links
from oracle.quorum.desk import QuorumDesk
from oracle.quotes import Quotes
from oracle.settings import Settings
from oracle.store.engine import Store
from oracle.uploads import Uploads
from oracle.wakeups import JobWakeups
from oracle.whereabouts import Whereabouts
from protocol.manifest import DeploymentManifest
from protocol.readers import ReaderKey
from protocol.typed_data import Domain


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    manifest: DeploymentManifest
    domain: Domain
    store: Store
    artifacts: ArtifactStore
    staging: Staging
    incoming: Uploads
    logs: JobLogs
    readers: tuple[ReaderKey, ...]
    intake: Intake
    book: Book
    quotes: Quotes
    links: Links
    whereabouts: Whereabouts
    wakeups: JobWakeups
    now: Now
    head_block: Callable[[], int | None]
    wake_dispatcher: Callable[[], None]
    doors: Doors
    uploads: asyncio.Semaphore
    unidentified: asyncio.Semaphore
    quorum: QuorumDesk | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    # Held while a proof's evidence and its row come together.
    evidence_lock: threading.Lock = field(default_factory=threading.Lock)


def services_of(connection: HTTPConnection) -> Services:
    return cast(Services, connection.app.state.services)
