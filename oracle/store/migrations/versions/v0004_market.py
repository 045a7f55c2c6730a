"""The market: what offers are searched by, the book of signed offers, reputations, quotes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NO_UNITS = "0" * 30
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SEARCHED = (
    *("gpu_class", "gpu_count", "price_per_hour", "offer_hash", "token", "valid_until"),
    *("min_seconds", "max_seconds", "kind", "hours_0", "hours_1", "hours_2"),
    *("unit_id", "provider", "epoch", "bond", "known_since"),
)


def upgrade() -> None:
    _widen_ledger()
    _add_book()
    _add_facts()
    _add_quotes()


def _widen_ledger() -> None:
    """Rows that are there are filled in when the oracle starts: their form is none that it knows."""
    units = sa.String(length=30)
    op.add_column("providers", sa.Column("free_units", units, server_default=NO_UNITS, nullable=False))
    op.add_column("units", sa.Column("rentable", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("units", sa.Column("gpu_class", sa.Text(), server_default="", nullable=False))
    op.add_column("units", sa.Column("gpu_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("units", sa.Column("vram_mib", sa.BigInteger(), server_default="0", nullable=False))
    for column in _hours("booked"):
        op.add_column("units", column)
    for column in _terms():
        op.add_column("offers", column)
    op.create_index("ix_offers_unit_id", "offers", ["unit_id"])
    op.create_index("ix_offers_search", "offers", ["listed", *SEARCHED])


def _add_book() -> None:
    op.create_table(
        "signed_offers",
        _hash("offer_hash"),
        _account("provider"),
        _hash("unit_id"),
        sa.Column("gpu_class", sa.Text(), nullable=False),
        _account("token"),
        sa.Column("price_per_hour", sa.String(length=30), nullable=False),
        sa.Column("valid_until", WHOLE, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        *_terms(),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("offer_hash", name="pk_signed_offers"),
    )
    for columns in (["unit_id"], ["provider"], ["valid_until"]):
        op.create_index(f"ix_signed_offers_{columns[0]}", "signed_offers", columns)
    op.create_index("ix_signed_offers_price", "signed_offers", ["price_per_hour", "offer_hash"])
    op.create_index("ix_signed_offers_search", "signed_offers", [*SEARCHED, "salt"])
    op.create_table(
        "cancelled_salts",
        _account("provider"),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "salt", name="pk_cancelled_salts"),
    )
    op.create_table(
        "tokens",
        _account("token"),
        sa.Column("fee_bps", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_tokens"),
    )


def _add_facts() -> None:
    op.create_table(
        "findings",
        _hash("unit_id"),
        *(_big(name) for name in ("gops", "attested_at", "expires_at")),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("unit_id", name="pk_findings"),
    )
    op.create_table(
        "customs",
        *(_account(name) for name in ("provider", "token", "renter")),
        *(sa.Column(name, sa.String(length=60), nullable=False) for name in ("fees", "served", "owed")),
        sa.PrimaryKeyConstraint("provider", "token", "renter", name="pk_customs"),
    )
    op.create_table(
        "reputations",
        *(_account(name) for name in ("provider", "token")),
        sa.Column("weight", sa.String(length=60), nullable=False),
        sa.PrimaryKeyConstraint("provider", "token", name="pk_reputations"),
    )
    op.create_table(
        "ledger_rows",
        sa.Column("id", WHOLE, autoincrement=False, nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_rows"),
    )


def _add_quotes() -> None:
    op.create_table(
        "quote_requests",
        _hash("request_id"),
        _account("renter"),
        sa.Column("requirements", sa.Text(), nullable=False),
        _big("created_at"),
        _big("deadline"),
        sa.PrimaryKeyConstraint("request_id", name="pk_quote_requests"),
    )
    op.create_index("ix_quote_requests_renter", "quote_requests", ["renter"])
    op.create_index("ix_quote_requests_deadline", "quote_requests", ["deadline"])
    op.create_table(
        "quote_asks",
        _hash("request_id"),
        _hash("unit_id"),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"], ["quote_requests.request_id"], name="fk_quote_asks_request_id"
        ),
        sa.PrimaryKeyConstraint("request_id", "unit_id", name="pk_quote_asks"),
    )
    op.create_index("ix_quote_asks_unit_id_answered_at", "quote_asks", ["unit_id", "answered_at"])


def _terms() -> list[sa.Column[object]]:
    return [
        sa.Column("gpu_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("kind", sa.Integer(), server_default="0", nullable=False),
        *(_big(name, server_default="0") for name in ("min_seconds", "max_seconds")),
        sa.Column("bond", sa.String(length=30), server_default=NO_UNITS, nullable=False),
        _big("known_since", server_default="0"),
        *_hours("hours"),
    ]


def _hours(name: str) -> list[sa.Column[object]]:
    return [_big(f"{name}_{part}", server_default="0") for part in range(3)]


def _big(name: str, server_default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default=server_default, nullable=False)


def _hash(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.LargeBinary(length=32), nullable=False)


def _account(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.String(length=42), nullable=False)
