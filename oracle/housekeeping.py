"""Throws away what nobody needs any more: nonces, sessions, void offers, old requests for quotes, idle
uploads, artifacts past their retention.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import structlog

from oracle.artifacts import ArtifactStore
from oracle.clock import Now, later_of
from oracle.store import history, retention
from oracle.store.book import delete_void
from oracle.store.engine import Store
from oracle.store.nonces import delete_expired_nonces
from oracle.store.quotes import delete_old
from oracle.store.sessions import delete_expired_sessions
from oracle.uploads import Uploads
from protocol.units import Digest

log = structlog.get_logger(__name__)

BATCH = 500
KEPT_QUOTES_SECONDS = 3600
"""After the deadline."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long is kept what is not needed."""

    artifact_seconds: int
    upload_seconds: int
    sweep_seconds: int
    """How often the store is listed for bytes that no row knows."""


class Housekeeper:
    """Not thread-safe: one thread takes the turns. Killed at any step, the next turn takes it again."""

    def __init__(
        self, store: Store, artifacts: ArtifactStore, uploads: Uploads, now: Now, kept: Retention
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._uploads = uploads
        self._now = now
        self._kept = kept
        self._swept_at: int | None = None

    def turn(self) -> bool:
        """False: nothing is left to do now."""
        now = self._now()
        with self._store.write() as transaction:
            delete_expired_nonces(transaction, now)
            delete_expired_sessions(transaction, now)
            delete_old(transaction, now - KEPT_QUOTES_SECONDS)
            cursor = history.get_cursor(transaction)
            void = delete_void(transaction, later_of(now, cursor.timestamp if cursor else None))
        if void:
            log.info("offers_removed", count=void)
        self.end_idle_uploads()
        with self._store.write() as transaction:
            retention.mark_unneeded(transaction, now)
        before = now - self._kept.artifact_seconds
        while self._expel(before):
            self._remove_leaving()
        if self._swept_at is None or now - self._swept_at >= self._kept.sweep_seconds:
            self._sweep()
            self._swept_at = now
        self._remove_leaving()
        return False

    def end_idle_uploads(self) -> None:
        """For every oracle: each has the pieces that were sent to it."""
        idle = self._uploads.end_idle(self._now() - self._kept.upload_seconds)
        if idle:
            log.info("uploads_ended", count=idle)

    def _expel(self, before: int) -> list[Digest]:
        with self._store.write() as transaction:
            return retention.expel_unneeded(transaction, before, BATCH)

    def _sweep(self) -> None:
        found = self._artifacts.digests()
        while digests := list(islice(found, BATCH)):
            with self._store.write() as transaction:
                strays = retention.expel_strays(transaction, digests)
            if strays:
                log.info("strays_found", count=len(strays))

    def _remove_leaving(self) -> None:
        with self._store.read() as transaction:
            leaving = retention.leaving(transaction)
        for digest in leaving:
            # Whoever has lost the duty learns it here: by now the bytes may be somebody's new upload.
            with self._store.write() as transaction:
                is_leaving = retention.is_leaving(transaction, digest)
            if is_leaving:
                self._artifacts.remove(digest)
                with self._store.write() as transaction:
                    retention.end_leaving(transaction, digest)
        if leaving:
            log.info("artifacts_removed", count=len(leaving))
