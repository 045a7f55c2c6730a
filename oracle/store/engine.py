"""Opens the store, on SQLite or PostgreSQL, migrated to the newest schema."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from oracle.store import files, transitions
from oracle.store.dialects import create_engine_of, reading

Transaction = Connection

MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """Short transactions only: no network call and no wait belongs between `with` and its end.

    Raises StoreUnavailable where the database does not answer, StoreBroken where it is damaged or full.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reading = reading(engine)
        self._writing = threading.Lock()
        self._check: Callable[[Transaction], None] | None = None

    def guarded(self, check: Callable[[Transaction], None]) -> Store:
        """The same store, each write of which begins with this check."""
        made = copy.copy(self)
        made._check = check
        return made

    @property
    def shared(self) -> bool:
        """Whether oracles of other processes and machines may be using it."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Generator[Transaction, None, None]:
        """One consistent view of the database."""
        with self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Generator[Transaction, None, None]:
        """All or nothing, one at a time, durable once the block ends without an exception."""
        # The lock keeps threads from queueing up with a connection each.
        with self._writing, self.engine.connect() as connection:
            writing = connection.execution_options(writes=True)
            with writing.begin():
                if self._check is not None:
                    self._check(writing)
                yield writing

    def close(self) -> None:
        self.engine.dispose()


def open_store(database_url: str, schema: str | None = None) -> Store:
    """Processes that open it at the same moment migrate it once: the first, while the others wait.

    `schema` is for PostgreSQL, whose default one it replaces. StoreBroken where a file is damaged.
    """
    engine = create_engine_of(database_url, schema)
    store = Store(engine)
    try:
        if not store.shared:
            files.finish(Path(str(engine.url.database)))
            files.check(engine)
        with store.write() as connection:
            migrate(connection)
            transitions.install(connection)
    except BaseException:
        store.close()
        raise
    return store


def migrate(connection: Connection, revision: str = "head") -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
