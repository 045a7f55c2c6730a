"""What this oracle signed for the quorum, the signatures of other members, and an outbox that is shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT: sa.Double[float] = sa.Double()


def upgrade() -> None:
    name = op.f("ix_heartbeats_lease_id_received_at")
    op.create_index(name, "heartbeats", ["lease_id", "received_at"], unique=False)
    _findings()
    _outbox()


def _findings() -> None:
    op.create_table(
        "statements",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", WHOLE, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("signed_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", "number", name=op.f("pk_statements")),
        sa.UniqueConstraint("digest", name=op.f("uq_statements_digest")),
    )
    op.create_table(
        "proposals",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("proposed_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_proposals")),
    )
    op.create_index(op.f("ix_proposals_kind_subject"), "proposals", ["kind", "subject"], unique=False)
    op.create_table(
        "proposal_signatures",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signer", sa.String(length=42), nullable=False),
        sa.Column("member", WHOLE, nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["proposals.digest"], name=op.f("fk_proposal_signatures_digest")),
        sa.PrimaryKeyConstraint("digest", "signer", name=op.f("pk_proposal_signatures")),
    )


def _outbox() -> None:
    op.create_table(
        "outbox_intents",
        sa.Column("scope", sa.LargeBinary(length=32), nullable=False),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("nonce", WHOLE, nullable=False),
        sa.Column("to_address", sa.String(length=42), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("value_wei", sa.Text(), nullable=False),
        sa.Column("gas_limit", WHOLE, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("cost_wei", sa.Text(), nullable=False),
        sa.Column("signed_at", INSTANT, nullable=True),
        sa.Column("included_block", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("scope", "intent", name=op.f("pk_outbox_intents")),
    )
    for columns in (["nonce"], ["state"], ["signed_at"], ["included_block"]):
        op.create_index(
            op.f(f"ix_outbox_intents_scope_{columns[0]}"),
            "outbox_intents",
            ["scope", *columns],
            unique=columns == ["nonce"],
        )
    op.create_table(
        "outbox_attempts",
        sa.Column("scope", sa.LargeBinary(length=32), nullable=False),
        sa.Column("transaction_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", WHOLE, nullable=False),
        sa.Column("max_fee_wei", sa.Text(), nullable=False),
        sa.Column("priority_fee_wei", sa.Text(), nullable=False),
        sa.Column("signed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("scope", "transaction_hash", name=op.f("pk_outbox_attempts")),
    )
    op.create_index(op.f("ix_outbox_attempts_scope_intent"), "outbox_attempts", ["scope", "intent"])
