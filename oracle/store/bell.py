"""Rings in the other oracles of one PostgreSQL database. It only wakes: what is so is in the tables."""

from __future__ import annotations

from typing import Any, Final, cast

import psycopg
from sqlalchemy import PoolProxiedConnection, text

from oracle.store.engine import Store
from oracle.store.failures import of_postgresql

CHANNEL: Final = "gpgpu"
WAIT_SECONDS: Final = 1.0


class Bell:
    """`ring` is for any thread, `hear` for one."""

    def __init__(self, store: Store, holder: str) -> None:
        self._store = store
        self._holder = holder
        self._listening: PoolProxiedConnection | None = None

    def ring(self) -> None:
        with self._store.engine.connect() as connection, connection.begin():
            # Nothing to keep: no need to wait for the disk.
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            connection.execute(
                text("SELECT pg_notify(:channel, :who)"), {"channel": CHANNEL, "who": self._holder}
            )

    def hear(self) -> bool:
        """Waits for up to `WAIT_SECONDS`. True: another oracle has rung. StoreUnavailable."""
        try:
            connection = self._connected()
            heard = [note.payload for note in connection.notifies(timeout=WAIT_SECONDS, stop_after=1)]
        except psycopg.Error as error:
            self.close()
            raise (of_postgresql(error) or error) from error
        return any(payload != self._holder for payload in heard)

    def close(self) -> None:
        if self._listening is not None:
            self._listening.invalidate()
            self._listening = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._listening is None:
            self._listening = self._store.engine.raw_connection()
            connection = cast("psycopg.Connection[Any]", self._listening.driver_connection)
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        return cast("psycopg.Connection[Any]", self._listening.driver_connection)
