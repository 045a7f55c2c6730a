"""Throws away what nobody needs any more: expired nonces and sessions, artifacts that no job refers to."""

from __future__ import annotations

import threading

import structlog

from oracle.artifacts import ArtifactFolder
from oracle.clock import Now
from oracle.store.artifacts import delete_unused_artifacts
from oracle.store.engine import Store
from oracle.store.nonces import delete_expired_nonces
from oracle.store.sessions import delete_expired_sessions

log = structlog.get_logger(__name__)


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
    with artifact_lock:
        with store.write() as transaction:
            unused = delete_unused_artifacts(transaction, instant - unused_artifact_seconds)
        for digest in unused:
            artifacts.remove(digest)
    if unused:
        log.info("artifacts_removed", count=len(unused))
    return False
