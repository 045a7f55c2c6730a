"""Sign-in, and what a lease's timeline is read from."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "sign_in_nonces",
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("expires_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_sign_in_nonces")),
    )
    op.create_index(op.f("ix_sign_in_nonces_expires_at"), "sign_in_nonces", ["expires_at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("token_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("created_at", WHOLE, nullable=False),
        sa.Column("expires_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_account"), "sessions", ["account"], unique=False)
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_index(
        op.f("ix_jobs_lease_id_updated_at_sequence"),
        "jobs",
        ["lease_id", "updated_at", "sequence"],
        unique=False,
    )
    op.add_column("events", sa.Column("lease_id", sa.LargeBinary(length=32), nullable=True))
    op.create_index(
        op.f("ix_events_lease_id_block_number_log_index"),
        "events",
        ["lease_id", "block_number", "log_index"],
        unique=False,
    )
    _name_leases()


def _name_leases() -> None:
    """Events that are stored already get the lease that their body names."""
    connection = op.get_bind()
    events = sa.table(
        "events",
        sa.column("block_hash", sa.LargeBinary),
        sa.column("log_index", sa.Integer),
        sa.column("lease_id", sa.LargeBinary),
        sa.column("body", sa.Text),
    )
    change = (
        events.update()
        .where(events.c.block_hash == sa.bindparam("hash"), events.c.log_index == sa.bindparam("index"))
        .values(lease_id=sa.bindparam("lease"))
    )
    rows = connection.execute(sa.select(events.c.block_hash, events.c.log_index, events.c.body)).all()
    named = [(row, json.loads(row.body).get("lease_id")) for row in rows]
    changes = [
        {"hash": row.block_hash, "index": row.log_index, "lease": bytes.fromhex(lease[2:])}
        for row, lease in named
        if lease
    ]
    if changes:
        connection.execute(change, changes)
