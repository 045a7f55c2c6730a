"""Errors of the databases' drivers as ours: what may be tried again, and what must stop the oracle."""

from __future__ import annotations

import sqlite3
from typing import Final

import psycopg
from sqlalchemy.engine import ExceptionContext

from protocol.errors import ProtocolError, StoreBroken, StoreUnavailable

_UNWRITABLE: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

# Classes and codes of PostgreSQL's appendix A.
_UNWRITABLE_STATES: Final = ("53100", "58030", "25006")
_DAMAGED_STATES: Final = ("XX001", "XX002")
_PASSING_STATES: Final = ("08", "53", "57P", "40001", "40P01", "55P03", "25P03", "25P04")


def failure_of(context: ExceptionContext) -> ProtocolError | None:
    """None: the statement is at fault, not the database."""
    error = context.original_exception
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    if isinstance(error, psycopg.Error):
        return of_postgresql(error)
    return None


def damaged(found: str) -> StoreBroken:
    return StoreBroken("a sound database (`python -m oracle rebuild` makes one)", found, code="store_damaged")


def _of_sqlite(error: sqlite3.Error) -> ProtocolError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code in _DAMAGED:
        return damaged(str(error))
    if code in _UNWRITABLE:
        return _unwritable(str(error))
    return StoreUnavailable(f"store: {error}") if code in _BUSY else None


def of_postgresql(error: psycopg.Error) -> ProtocolError | None:
    state = error.sqlstate or ""
    if state in _DAMAGED_STATES:
        return damaged(str(error).strip())
    if state in _UNWRITABLE_STATES:
        return _unwritable(str(error).strip())
    lost = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if lost or state.startswith(_PASSING_STATES):
        return StoreUnavailable(f"store: {str(error).strip()}")
    return None


def _unwritable(found: str) -> StoreBroken:
    return StoreBroken("room to write and read", found, code="store_unwritable")
