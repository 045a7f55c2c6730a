"""All tables, by where what is in them comes from."""

from __future__ import annotations

from oracle.store import artifact_tables, outbox_tables, tables
from oracle.store import market_tables as market
from oracle.store.columns import metadata

# With each module of tables, so that `metadata` has them all.
__all__ = ["DERIVED", "KEPT", "artifact_tables", "market", "metadata", "outbox_tables", "tables"]

# The chain says it all again.
DERIVED = (
    *(tables.cursor, tables.blocks, tables.events, tables.providers, tables.units, tables.offers),
    *(tables.leases, tables.proofs, tables.credits),
    *(market.cancelled_salts, market.tokens, market.findings, market.customs, market.reputations),
    market.ledger_rows,
)
# Exists nowhere else.
KEPT = tuple(table for table in metadata.sorted_tables if table not in DERIVED)
