"""Throws away what nobody needs any more: expired nonces and sessions, void offers, old requests for quotes,
artifacts that no job refers to.
"""

from __future__ import annotations

import threading

import structlog

from oracle.artifacts import ArtifactFolder
from oracle.clock import Now, later_of
from oracle.store import history
from oracle.store.artifacts import delete_unused_artifacts
from oracle.store.book import delete_void
from oracle.store.engine import Store
from oracle.store.nonces import delete_expired_nonces
from oracle.store.quotes import delete_old
from oracle.store.sessions import delete_expired_sessions

log = structlog.get_logger(__name__)

KEPT_QUOTES_SECONDS = 3600
"""After the deadline."""


def tidy(
    store: Store,
    artifacts: ArtifactFolder,
    artifact_lock: threading.Lock,
    now: Now,
    unused_artifact_seconds: int,
) -> bool:
    """One turn. Rows go before files: a kill in between leaves bytes that the next upload of them finds."""
    instant = now()
    with store.write() as transaction:
        delete_expired_nonces(transaction, instant)
        delete_expired_sessions(transaction, instant)
        delete_old(transaction, instant - KEPT_QUOTES_SECONDS)
        cursor = history.get_cursor(transaction)
        void = delete_void(transaction, later_of(instant, cursor.timestamp if cursor else None))
    if void:
        log.info("offers_removed", count=void)
    with artifact_lock:
        with store.write() as transaction:
            unused = delete_unused_artifacts(transaction, instant - unused_artifact_seconds)
        for digest in unused:
            artifacts.remove(digest)
    if unused:
        log.info("artifacts_removed", count=len(unused))
    return False
