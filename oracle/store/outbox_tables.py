"""Tables of the outbox that oracles share. Forms as in `tables`."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, LargeBinary, Table, Text

from oracle.store.columns import account_column, hash_column, integer, metadata, text

# Transactions of oracles that share a database (protocol.outbox); `included_block` is that of the receipt.
outbox_intents = Table(
    "outbox_intents",
    metadata,
    hash_column("scope", primary_key=True),
    Column("intent", Text, primary_key=True),
    integer("nonce"),
    account_column("to_address"),
    Column("data", LargeBinary, nullable=False),
    text("value_wei"),
    integer("gas_limit"),
    text("state"),
    text("receipt", nullable=True),
    text("error", nullable=True),
    Column("created_at", Double, nullable=False),
    text("cost_wei"),
    Column("signed_at", Double, nullable=True),
    integer("included_block", nullable=True),
    Index(None, "scope", "nonce", unique=True),
    Index(None, "scope", "state"),
    Index(None, "scope", "signed_at"),
    Index(None, "scope", "included_block"),
)

outbox_attempts = Table(
    "outbox_attempts",
    metadata,
    hash_column("scope", primary_key=True),
    hash_column("transaction_hash", primary_key=True),
    text("intent"),
    integer("number"),
    Column("raw", LargeBinary, nullable=False),
    integer("nonce"),
    text("max_fee_wei"),
    text("priority_fee_wei"),
    Column("signed_at", Double, nullable=False),
    Index(None, "scope", "intent"),
)
