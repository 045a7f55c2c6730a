"""The legal steps of jobs and attempts as triggers: the database refuses any other, whoever asks.

They are made from `oracle.jobs` at each opening of the store, never by a migration: what the code allows and
what the database allows cannot drift apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, text

from oracle.jobs import ATTEMPT_TRANSITIONS, JOB_TRANSITIONS

S = TypeVar("S", bound=str)

_PREFIX = "legal_steps"
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {_PREFIX}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING MESSAGE = TG_TABLE_NAME || ': no such step to ' || NEW.state;
END $$
"""


def install(connection: Connection) -> None:
    """Afterwards these triggers are there and no older ones. Does nothing where they are there already."""
    wanted = {**_triggers("jobs", JOB_TRANSITIONS), **_triggers("attempts", ATTEMPT_TRANSITIONS)}
    dialect = connection.dialect.name
    found = installed(connection)
    if found.keys() == wanted.keys():
        return
    if dialect == "postgresql":
        connection.exec_driver_sql(_FUNCTION)
    for name, table in found.items():
        connection.exec_driver_sql(
            f"DROP TRIGGER {name}" + (f" ON {table}" if dialect == "postgresql" else "")
        )
    for name, (table, moment, refused) in wanted.items():
        action = (
            f"EXECUTE FUNCTION {_PREFIX}()"
            if dialect == "postgresql"
            else f"BEGIN SELECT RAISE(ABORT, '{table}: no such step'); END"
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE {moment} ON {table} FOR EACH ROW WHEN ({refused}) {action}"
        )


def _triggers(table: str, steps: Mapping[S, Iterable[S]]) -> dict[str, tuple[str, str, str]]:
    """Table, moment and what is refused then, by a name that says what it is made from."""
    unknown = f"NEW.state NOT IN {_listed(steps)}"
    legal = " OR ".join(
        f"OLD.state = '{state}' AND NEW.state IN {_listed({state, *following})}"
        for state, following in steps.items()
    )
    made = (("INSERT", unknown), ("UPDATE OF state", f"NOT ({legal})"))
    return {_name(table, *parts): (table, *parts) for parts in made}


def _name(table: str, moment: str, refused: str) -> str:
    digest = hashlib.sha256(f"{table} {moment} {refused}".encode()).hexdigest()[:12]
    return f"{_PREFIX}_{table}_{moment.split()[0].lower()}_{digest}"


def _listed(states: Iterable[str]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"


def installed(connection: Connection) -> dict[str, str]:
    """Tables by the names of our triggers on them."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE :ours"
    else:
        query = (
            "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE relnamespace = current_schema()::regnamespace AND tgname LIKE :ours"
        )
    return {name: table for name, table in connection.execute(text(query), {"ours": f"{_PREFIX}%"})}
