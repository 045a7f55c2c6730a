"""Whether the store takes writes at all."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from oracle.store.engine import Store
from oracle.store.tables import deployment


def is_writable(store: Store) -> bool:
    """Writes a row as it is, durably: a full disk refuses that, and reading would not show it."""
    try:
        with store.write() as transaction:
            transaction.execute(update(deployment).values(chain_id=deployment.c.chain_id))
    except SQLAlchemyError:
        return False
    return True
