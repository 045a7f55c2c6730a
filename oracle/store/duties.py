"""Rows of the duties: taken, renewed and given up by the database's own clock."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import ColumnElement, Double, func, literal_column, update

from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import duties


def database_now(transaction: Transaction) -> ColumnElement[float]:
    """Unix seconds with fractions, as the database has them at this statement."""
    if transaction.dialect.name == "sqlite":
        return literal_column("(julianday('now') - 2440587.5) * 86400.0", Double)
    return cast("ColumnElement[float]", func.extract("epoch", func.clock_timestamp()).cast(Double))


def take(transaction: Transaction, name: str, holder: str, seconds: float) -> int | None:
    """The new fencing token, higher than any before; None while another holds the duty."""
    now = database_now(transaction)
    insert_new(transaction, duties, {"name": name, "holder": "", "fencing_token": 0, "expires_at": 0.0})
    free = (duties.c.name == name) & (duties.c.expires_at <= now)
    changes = {
        "holder": holder,
        "fencing_token": duties.c.fencing_token + 1,
        "expires_at": now + seconds,
    }
    statement = update(duties).where(free).values(changes).returning(duties.c.fencing_token)
    return cast("int | None", transaction.execute(statement).scalar())


def renew(transaction: Transaction, name: str, fencing_token: int, seconds: float) -> bool:
    """False: another has taken over. The row stays locked until the transaction ends."""
    values = {"expires_at": database_now(transaction) + seconds}
    return _change(transaction, name, fencing_token, values)


def give_up(transaction: Transaction, name: str, fencing_token: int) -> None:
    """Whoever wants it next need not wait for its end."""
    _change(transaction, name, fencing_token, {"expires_at": 0.0})


def _change(transaction: Transaction, name: str, fencing_token: int, values: dict[str, Any]) -> bool:
    own = (duties.c.name == name) & (duties.c.fencing_token == fencing_token)
    statement = update(duties).where(own).values(values).returning(duties.c.name)
    return transaction.execute(statement).first() is not None
