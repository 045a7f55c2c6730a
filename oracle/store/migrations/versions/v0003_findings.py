"""What this oracle signed for the quorum, the signatures of other members, and a shared outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT: sa.Double[float] = sa.Double()


def upgrade() -> None:
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
        "findings",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("proposed_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_kind_subject"), "findings", ["kind", "subject"], unique=False)
    op.create_table(
        "finding_signatures",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signer", sa.String(length=42), nullable=False),
        sa.Column("member", WHOLE, nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["findings.digest"], name=op.f("fk_finding_signatures_digest")),
        sa.PrimaryKeyConstraint("digest", "signer", name=op.f("pk_finding_signatures")),
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
