"""Resumable uploads; digests of blocks; since when nothing needs an artifact; artifacts that are leaving."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("block_digests", sa.LargeBinary(), nullable=True))
    op.add_column("artifacts", sa.Column("unneeded_since", WHOLE, nullable=True))
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("offset_bytes", WHOLE, nullable=False),
        sa.Column("touched_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_account"), "uploads", ["account"], unique=False)
    op.create_index(op.f("ix_uploads_digest"), "uploads", ["digest"], unique=False)
    op.create_index(op.f("ix_uploads_touched_at"), "uploads", ["touched_at"], unique=False)
    op.create_table(
        "leaving_artifacts",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_leaving_artifacts")),
    )
