"""What the dispatcher finds its work by: places in queues, and indexes of what can move."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PARTIAL = {
    "ix_jobs_waiting": ("state = 'waiting'", ["detail", "lease_id"]),
    "ix_jobs_queue": ("state = 'queued'", ["lease_id", "rank", "sequence", "not_before"]),
    "ix_jobs_deadline": ("state IN ('queued', 'waiting')", ["state", "deadline"]),
    "ix_jobs_orphans": (
        "state = 'waiting' AND detail = 'the lease is not on the chain'",
        ["renter", "created_at"],
    ),
}


def upgrade() -> None:
    for name, default in (("number", "0"), ("rank", "9"), ("wall_seconds", "0")):
        op.add_column("jobs", sa.Column(name, WHOLE, nullable=False, server_default=default))
    op.add_column("jobs", sa.Column("cancel_asked_at", WHOLE, nullable=True))
    op.add_column("evidence", sa.Column("proven_block", WHOLE, nullable=True))
    _fill()
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.drop_index("ix_jobs_lease_id", table_name="jobs")
    op.create_index("ix_jobs_state", "jobs", ["state", "lease_id"], unique=False)
    op.create_index("ix_jobs_lease_id_sequence", "jobs", ["lease_id", "sequence"], unique=False)
    for name, (condition, columns) in PARTIAL.items():
        where: sa.ColumnClause[bool] = sa.literal_column(condition)
        op.create_index(name, "jobs", columns, unique=False, sqlite_where=where, postgresql_where=where)
    op.create_index("ix_attempts_state", "attempts", ["state"], unique=False)
    op.create_index("ix_evidence_proven_block", "evidence", ["proven_block"], unique=False)


def _fill() -> None:
    """Jobs that are stored already: their number in the lease, their limit, and all looked at anew."""
    connection = op.get_bind()
    jobs = sa.table(
        "jobs", *map(sa.column, ("sequence", "lease_id", "number", "wall_seconds", "signed_order"))
    )
    change = (
        jobs.update()
        .where(jobs.c.sequence == sa.bindparam("job"))
        .values(number=sa.bindparam("place"), wall_seconds=sa.bindparam("limit"))
    )
    query = sa.select(jobs.c.sequence, jobs.c.lease_id, jobs.c.signed_order).order_by(jobs.c.sequence)
    numbers: dict[bytes, int] = {}
    changes: list[dict[str, int]] = []
    for sequence, lease_id, signed_order in connection.execute(query).all():
        numbers[lease_id] = numbers.get(lease_id, 0) + 1
        limit = json.loads(signed_order)["order"]["limits"]["wall_seconds"]
        changes.append({"job": sequence, "place": numbers[lease_id], "limit": int(limit)})
    if changes:
        connection.execute(change, changes)
    connection.execute(sa.text("UPDATE jobs SET detail = '' WHERE state = 'waiting'"))
    connection.execute(
        sa.text(
            "UPDATE evidence SET proven_block = 0"
            " WHERE proof_hash IN (SELECT proof_hash FROM jobs WHERE proof_hash IS NOT NULL)"
        )
    )
