"""Rows of the workers' links: which oracle a worker is connected to, and since when it is to none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update

from oracle.store.dialects import upsert_into
from oracle.store.duties import database_now
from oracle.store.engine import Transaction
from oracle.store.tables import worker_links
from protocol.units import UnitId


@dataclass(frozen=True, slots=True)
class Presence:
    """`unseen_seconds`: since its oracle last said that the link is there, by the database's clock."""

    link: str
    holder: str
    lost: bool
    unseen_seconds: float


def add_link(transaction: Transaction, unit_id: UnitId, link: str, holder: str) -> None:
    """The unit's worker is connected there, and nowhere else any more."""
    row = {"unit_id": unit_id, "link": link, "holder": holder, "lost": False}
    values = {**row, "seen_at": database_now(transaction)}
    transaction.execute(upsert_into(transaction, worker_links).values(values))


def lose_links(transaction: Transaction, links: Collection[str]) -> None:
    """Does nothing for links that another one has replaced."""
    changes = {"lost": True, "seen_at": database_now(transaction)}
    transaction.execute(update(worker_links).where(worker_links.c.link.in_(links)).values(changes))


def refresh_links(transaction: Transaction, holder: str) -> None:
    own = (worker_links.c.holder == holder) & ~worker_links.c.lost
    changes = {"seen_at": database_now(transaction)}
    transaction.execute(update(worker_links).where(own).values(changes))


def list_links(transaction: Transaction) -> dict[UnitId, Presence]:
    unseen_seconds = database_now(transaction) - worker_links.c.seen_at
    columns = (worker_links.c.unit_id, worker_links.c.link, worker_links.c.holder, worker_links.c.lost)
    return {
        UnitId(row[0]): Presence(row[1], row[2], row[3], max(row[4], 0.0))
        for row in transaction.execute(select(*columns, unseen_seconds))
    }
