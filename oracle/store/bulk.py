"""Many rows at once: COPY on PostgreSQL where it pays, else one prepared statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import MetaData, Table, select

from oracle.store.dialects import upsert_into
from oracle.store.engine import Transaction
from oracle.store.failures import of_postgresql

COPIED_ROWS = 50
"""From so many on, COPY costs less than as many statements, even by way of a temporary table."""

Row = Mapping[str, Any]


def add_rows(transaction: Transaction, table: Table, rows: Collection[Row]) -> None:
    """New rows, none of which is there yet."""
    if _copies(transaction, rows):
        _copy(transaction, table, table.name, rows)
    elif rows:
        transaction.execute(table.insert(), list(rows))


def put_rows(transaction: Transaction, table: Table, rows: Collection[Row]) -> None:
    """Afterwards the table has these rows, no two of one primary key, whatever it had under their keys."""
    if _copies(transaction, rows):
        fresh = f"fresh_{table.name}"
        transaction.exec_driver_sql(
            f"CREATE TEMPORARY TABLE {fresh} (LIKE {table.name} INCLUDING DEFAULTS) ON COMMIT DROP"
        )
        _copy(transaction, table, fresh, rows)
        _move(transaction, table, fresh)
    elif rows:
        transaction.execute(upsert_into(transaction, table), list(rows))


def _copies(transaction: Transaction, rows: Collection[Row]) -> bool:
    return len(rows) >= COPIED_ROWS and transaction.dialect.name == "postgresql"


def _copy(transaction: Transaction, table: Table, into: str, rows: Collection[Row]) -> None:
    dialect = transaction.dialect
    names = [column.name for column in table.columns]
    processors = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]
    parts = list(zip(names, processors, strict=True))
    statement = SQL("COPY {} ({}) FROM STDIN").format(
        Identifier(into), SQL(", ").join(map(Identifier, names))
    )
    connection = cast("psycopg.Connection[Any]", transaction.connection.driver_connection)
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([process(row[name]) if process else row[name] for name, process in parts])
    except psycopg.Error as error:
        raise (of_postgresql(error) or error) from error


def _move(transaction: Transaction, table: Table, fresh: str) -> None:
    source = table.to_metadata(MetaData(), name=fresh)
    every = select(*source.columns)
    transaction.execute(upsert_into(transaction, table).from_select(list(source.columns.keys()), every))
    transaction.exec_driver_sql(f"DROP TABLE {fresh}")
