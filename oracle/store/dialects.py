"""What SQLite and PostgreSQL are told differently: how transactions begin, and when they count as durable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from oracle.store.failures import failure_of

BUSY_TIMEOUT_MILLISECONDS: Final = 15_000
IDLE_WRITER = "10s"
WRITE_LOCK: Final = 0x6770677075  # "gpgpu"; advisory locks are of one database

_POOL: Final[Mapping[str, Any]] = {"pool_size": 16, "max_overflow": 64, "pool_timeout": 30}
SESSION: Final = {
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "10min",
    "lock_timeout": "30s",
    "timezone": "UTC",
}


def create_engine_of(database_url: str, schema: str | None = None) -> Engine:
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        # isolation_level None: the driver begins nothing of its own, so that DDL is in transactions.
        engine = create_engine(url, connect_args={"isolation_level": None}, **_POOL)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        session = SESSION if schema is None else {**SESSION, "search_path": schema}
        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        arguments = {"options": options, "connect_timeout": 10, "application_name": "gpgpu-oracle"}
        engine = create_engine(url.set(drivername="postgresql+psycopg"), connect_args=arguments, **_POOL)
        event.listen(engine, "begin", _begin_postgresql)
    event.listen(engine, "handle_error", failure_of, retval=True)
    return engine


def reading(engine: Engine) -> Engine:
    """The same engine, whose transactions each see the database of one moment."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what happens on a conflict, which SQLAlchemy has for each dialect apart."""
    return _INSERTS[connection.dialect.name](table)


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """False: there is a row of this key, which stays as it is."""
    keys = table.primary_key.columns
    statement = insert_into(connection, table).values(row).on_conflict_do_nothing().returning(*keys)
    return connection.execute(statement).first() is not None


def upsert_into(connection: Connection, table: Table) -> Insert:
    """Rows whose primary key is there already take the other columns of the new ones."""
    statement = insert_into(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    if not others:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-16384",  # KiB, of which a large batch of events is written at once
        f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")


def _begin_postgresql(connection: Connection) -> None:
    # One writer at a time, as in SQLite: what a transaction has read is so until it ends. Should this process
    # stand still before that, it loses the transaction, and others go on.
    if connection.get_execution_options().get("writes", False):
        limit = f"set_config('idle_in_transaction_session_timeout', '{IDLE_WRITER}', true)"
        connection.exec_driver_sql(f"SELECT {limit}, pg_advisory_xact_lock({WRITE_LOCK})")


_INSERTS: Final = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
