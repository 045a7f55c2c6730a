"""Makes what is derived from the chain anew, beside the store, and puts it in its place all at once.

SQLite: a new file, into which what exists nowhere else is copied, and which takes the old one's name.
PostgreSQL: a schema of its own, whose rows replace the old ones in one transaction while others read on.
Killed at any point, the store is the old one or the new one, and the next attempt starts from the beginning.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import MetaData, delete, insert, make_url, select, text

from oracle.store import files, salvage
from oracle.store.engine import Store, open_store
from oracle.store.schema import DERIVED
from protocol.errors import StoreBroken

log = structlog.get_logger(__name__)

SCHEMA_PREFIX = "rebuild_"


def rebuild(database_url: str, fill: Callable[[Store], None]) -> list[str]:
    """`fill` reads the chain into an empty store.

    Names of the tables of which a damaged file did not give back every row; the file is kept beside then.
    On SQLite no oracle may be running; on PostgreSQL others go on working meanwhile.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return _rebuild_file(Path(str(url.database)), database_url, fill)
    _rebuild_schema(database_url, fill)
    return []


def _rebuild_file(path: Path, database_url: str, fill: Callable[[Store], None]) -> list[str]:
    sound = _migrate(database_url)
    building = files.building_path(path)
    files.remove(building)
    store = open_store(f"sqlite:///{building}")
    try:
        fill(store)
    finally:
        store.close()
    incomplete = salvage.copy_kept(path, building)
    files.announce(path)
    files.finish(path)
    if sound and not incomplete:
        files.remove(files.replaced_path(path))
    else:
        log.warning("rows_lost", tables=incomplete, kept=str(files.replaced_path(path)))
    return incomplete


def _migrate(database_url: str) -> bool:
    """False: it is damaged, and its rows are taken as they are."""
    try:
        open_store(database_url).close()
    except StoreBroken as error:
        log.warning("store_damaged", reason=error.message)
        return False
    return True


def _rebuild_schema(database_url: str, fill: Callable[[Store], None]) -> None:
    name = SCHEMA_PREFIX + secrets.token_hex(4)
    store = open_store(database_url)
    try:
        with store.write() as transaction:
            query = text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix)")
            for leftover in transaction.execute(query, {"prefix": SCHEMA_PREFIX}).scalars().all():
                transaction.exec_driver_sql(f"DROP SCHEMA {leftover} CASCADE")
            transaction.exec_driver_sql(f"CREATE SCHEMA {name}")
        beside = open_store(database_url, name)
        try:
            fill(beside)
        finally:
            beside.close()
        with store.write() as transaction:
            for table in DERIVED:
                fresh = table.to_metadata(MetaData(), schema=name)
                transaction.execute(delete(table))
                names = [column.name for column in table.columns]
                transaction.execute(insert(table).from_select(names, select(fresh)))
            transaction.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    finally:
        store.close()
