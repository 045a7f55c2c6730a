"""Takes what exists nowhere else out of a SQLite file, be it damaged, into another of the newest schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from oracle.store.schema import KEPT

SKIPPED_TOKENS = 1 << 20
"""Of attempts that may have been lost: their fencing tokens are never given again."""


def copy_kept(source: Path, target: Path) -> list[str]:
    """Names of the tables of which not every row could be read. All or nothing in `target`."""
    incomplete: list[str] = []
    with closing(sqlite3.connect(target, isolation_level=None)) as writing:
        writing.execute("PRAGMA foreign_keys = OFF")
        writing.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(source, isolation_level=None)) as reading:
            reading.text_factory = _readable  # a damaged page may hold what is no text
            for table in KEPT:
                if not _copy_table(reading, writing, table.name):
                    incomplete.append(table.name)
            _copy_sequences(reading, writing, incomplete)
        # Rows that refer to lost ones.
        for name, rowid, *_ in writing.execute("PRAGMA foreign_key_check").fetchall():
            writing.execute(f"DELETE FROM {name} WHERE rowid = ?", (rowid,))  # noqa: S608 - a table of ours
        writing.execute("COMMIT")
        writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return incomplete


def _copy_table(reading: sqlite3.Connection, writing: sqlite3.Connection, name: str) -> bool:
    """False: some rows could not be read."""
    known = set(_columns(writing, name))
    try:
        names = [column for column in _columns(reading, name) if column in known]
    except sqlite3.DatabaseError:
        return False
    if not names:
        return True  # a table that its schema did not have yet
    places = ", ".join("?" * len(names))
    # Names are those of our own tables and columns.
    insert = f"INSERT OR REPLACE INTO {name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608
    select = f"SELECT {', '.join(names)} FROM {name} ORDER BY rowid"  # noqa: S608
    if _insert(writing, insert, _Rows(reading, select)):
        return True
    # From the other end to the damaged page.
    _insert(writing, insert, _Rows(reading, f"{select} DESC"))
    return False


def _insert(writing: sqlite3.Connection, insert: str, rows: _Rows) -> bool:
    """False: not all of them were there, or were what our schema takes."""
    taken = True
    for row in rows:
        try:
            writing.execute(insert, row)
        except sqlite3.IntegrityError:
            taken = False
    return taken and rows.whole


class _Rows:
    """Rows until the first that cannot be read; `whole` tells afterwards whether there was none."""

    def __init__(self, connection: sqlite3.Connection, query: str) -> None:
        self._connection = connection
        self._query = query
        self.whole = True

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(self._query)
        except sqlite3.DatabaseError:
            self.whole = False


def _columns(connection: sqlite3.Connection, name: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]


def _readable(data: bytes) -> str:
    return data.decode(errors="replace")


def _copy_sequences(reading: sqlite3.Connection, writing: sqlite3.Connection, incomplete: list[str]) -> None:
    """Numbers that were given once are not given again."""
    rows = _Rows(reading, "SELECT name, seq FROM sqlite_sequence")
    given = {name: seq for name, seq in rows}
    for name in ("jobs", "attempts"):
        found = writing.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
        last = max(given.get(name, 0), found[0] if found else 0)
        if name in incomplete or not rows.whole:
            last += SKIPPED_TOKENS
        writing.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
        writing.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))
