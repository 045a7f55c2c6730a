"""Opens the store: SQLite in WAL mode with synchronous=FULL, migrated to the newest schema."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

Transaction = Connection

BUSY_TIMEOUT_MILLISECONDS = 15_000
MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """Short transactions only: no network call and no wait belongs between `with` and its end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = threading.Lock()

    @contextmanager
    def read(self) -> Generator[Transaction, None, None]:
        """One consistent view of the database."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Generator[Transaction, None, None]:
        """All or nothing, durable once the block ends without an exception."""
        with self._writing, self._engine.connect() as connection:
            immediate = connection.execution_options(sqlite_begin="IMMEDIATE")
            with immediate.begin():
                yield immediate

    def close(self) -> None:
        self._engine.dispose()


def open_store(database_url: str) -> Store:
    engine = create_sqlite_engine(database_url)
    store = Store(engine)
    with store.write() as connection:
        migrate(connection)
    return store


def migrate(connection: Connection, revision: str = "head") -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def create_sqlite_engine(database_url: str) -> Engine:
    # isolation_level None: the driver begins nothing of its own, so that schema changes are in transactions.
    engine = create_engine(
        database_url, connect_args={"isolation_level": None}, pool_size=16, max_overflow=64, pool_timeout=30
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
