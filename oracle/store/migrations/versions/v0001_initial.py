"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", WHOLE, autoincrement=False, nullable=False),
        sa.Column("chain_id", WHOLE, nullable=False),
        sa.Column("market", sa.String(length=42), nullable=False),
        sa.Column("registry", sa.String(length=42), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
    )
    op.create_table(
        "artifacts",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("stored_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "blocks",
        sa.Column("number", WHOLE, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("timestamp", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_blocks")),
    )
    op.create_table(
        "credits",
        sa.Column("token", sa.String(length=42), nullable=False),
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("units", sa.String(length=30), nullable=False),
        sa.PrimaryKeyConstraint("token", "account", name=op.f("pk_credits")),
    )
    op.create_table(
        "cursor",
        sa.Column("id", WHOLE, autoincrement=False, nullable=False),
        sa.Column("block_number", WHOLE, nullable=False),
        sa.Column("block_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("block_timestamp", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cursor")),
    )
    op.create_table(
        "events",
        sa.Column("block_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("log_index", WHOLE, nullable=False),
        sa.Column("block_number", WHOLE, nullable=False),
        sa.Column("block_timestamp", WHOLE, nullable=False),
        sa.Column("transaction_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("block_hash", "log_index", name=op.f("pk_events")),
    )
    op.create_index(
        op.f("ix_events_block_number_log_index"), "events", ["block_number", "log_index"], unique=True
    )
    op.create_table(
        "evidence",
        sa.Column("proof_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("lease_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("file_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("stored_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("proof_hash", name=op.f("pk_evidence")),
    )
    op.create_table(
        "heartbeats",
        sa.Column("lease_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("block_number", WHOLE, autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("lease_id", "block_number", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "jobs",
        sa.Column("sequence", WHOLE, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("lease_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("renter", sa.String(length=42), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("signed_order", sa.Text(), nullable=False),
        sa.Column("bundle_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("data_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("deadline", WHOLE, nullable=False),
        sa.Column("created_at", WHOLE, nullable=False),
        sa.Column("updated_at", WHOLE, nullable=False),
        sa.Column("not_before", WHOLE, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("proof_hash", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_jobs")),
        sa.UniqueConstraint("job_id", name=op.f("uq_jobs_job_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_jobs_lease_id"), "jobs", ["lease_id"], unique=False)
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_table(
        "leases",
        sa.Column("lease_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("renter", sa.String(length=42), nullable=False),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("unit_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opened_block", WHOLE, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("lease_id", name=op.f("pk_leases")),
    )
    op.create_index(
        op.f("ix_leases_provider_opened_block"), "leases", ["provider", "opened_block"], unique=False
    )
    op.create_index(op.f("ix_leases_renter_opened_block"), "leases", ["renter", "opened_block"], unique=False)
    op.create_index(op.f("ix_leases_status"), "leases", ["status"], unique=False)
    op.create_index(op.f("ix_leases_unit_id"), "leases", ["unit_id"], unique=False)
    op.create_table(
        "offers",
        sa.Column("offer_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("unit_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("gpu_class", sa.Text(), nullable=False),
        sa.Column("token", sa.String(length=42), nullable=False),
        sa.Column("price_per_hour", sa.String(length=30), nullable=False),
        sa.Column("valid_until", WHOLE, nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("offer_hash", name=op.f("pk_offers")),
    )
    op.create_index(
        "ix_offers_class_price",
        "offers",
        ["listed", "gpu_class", "price_per_hour", "offer_hash"],
        unique=False,
    )
    op.create_index("ix_offers_price", "offers", ["listed", "price_per_hour", "offer_hash"], unique=False)
    op.create_table(
        "proofs",
        sa.Column("proof_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("lease_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("proof_hash", name=op.f("pk_proofs")),
    )
    op.create_index(op.f("ix_proofs_lease_id"), "proofs", ["lease_id"], unique=False)
    op.create_table(
        "providers",
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_providers")),
    )
    op.create_table(
        "request_nonces",
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("account", "nonce", name=op.f("pk_request_nonces")),
    )
    op.create_index(op.f("ix_request_nonces_expires_at"), "request_nonces", ["expires_at"], unique=False)
    op.create_table(
        "units",
        sa.Column("unit_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("worker", sa.String(length=42), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("unit_id", name=op.f("pk_units")),
    )
    op.create_index(op.f("ix_units_provider"), "units", ["provider"], unique=False)
    op.create_index(op.f("ix_units_worker"), "units", ["worker"], unique=False)
    op.create_table(
        "artifact_owners",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("stored_at", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["artifacts.digest"], name=op.f("fk_artifact_owners_digest")),
        sa.PrimaryKeyConstraint("digest", "account", name=op.f("pk_artifact_owners")),
    )
    op.create_index(op.f("ix_artifact_owners_account"), "artifact_owners", ["account"], unique=False)
    op.create_table(
        "artifact_uses",
        sa.Column("job_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_artifact_uses_job_id")),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_artifact_uses")),
    )
    op.create_index(op.f("ix_artifact_uses_digest"), "artifact_uses", ["digest"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("fencing_token", WHOLE, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attempt", WHOLE, nullable=False),
        sa.Column("unit_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", WHOLE, nullable=False),
        sa.Column("updated_at", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_attempts_job_id")),
        sa.PrimaryKeyConstraint("fencing_token", name=op.f("pk_attempts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_attempts_job_id_attempt"), "attempts", ["job_id", "attempt"], unique=True)
    op.create_index(op.f("ix_attempts_unit_id_state"), "attempts", ["unit_id", "state"], unique=False)
    op.create_table(
        "evidence_jobs",
        sa.Column("proof_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("job_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("receipt_digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["proof_hash"], ["evidence.proof_hash"], name=op.f("fk_evidence_jobs_proof_hash")
        ),
        sa.PrimaryKeyConstraint("proof_hash", "job_id", name=op.f("pk_evidence_jobs")),
    )
    op.create_index(op.f("ix_evidence_jobs_job_id"), "evidence_jobs", ["job_id"], unique=False)
    op.create_table(
        "receipts",
        sa.Column("job_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fencing_token", WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_receipts_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_receipts")),
    )
