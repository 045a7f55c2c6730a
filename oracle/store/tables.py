"""The tables, whose sources `schema` tells: a cache of the chain, or what exists nowhere else.

Ids and digests are 32 raw bytes, accounts checksummed text, money zero-padded decimal text so that it sorts
as a number, instants Unix seconds. Structs are JSON text in the form of `protocol.structs.to_json`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnClause,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    literal_column,
)

from oracle.store.columns import (
    HOUR_PARTS,
    NO_UNITS,
    PlainText,
    UnitsText,
    account_column,
    hash_column,
    hour_columns,
    integer,
    metadata,
    text,
)

# One row: whose events these are.
deployment = Table(
    "deployment",
    metadata,
    integer("id", primary_key=True, autoincrement=False),
    integer("chain_id"),
    account_column("market"),
    account_column("registry"),
)

# One row: the last block whose events are in.
cursor = Table(
    "cursor",
    metadata,
    integer("id", primary_key=True, autoincrement=False),
    integer("block_number"),
    hash_column("block_hash"),
    integer("block_timestamp"),
)

# The last `retained_blocks` blocks, in which a fork's ancestor is looked for.
blocks = Table(
    "blocks",
    metadata,
    integer("number", primary_key=True, autoincrement=False),
    hash_column("hash"),
    integer("timestamp"),
)

events = Table(
    "events",
    metadata,
    hash_column("block_hash", primary_key=True),
    integer("log_index", primary_key=True),
    integer("block_number"),
    integer("block_timestamp"),
    hash_column("transaction_hash"),
    text("body"),
    hash_column("lease_id", nullable=True),  # of events that are about one
    Index(None, "block_number", "log_index", unique=True),
    Index(None, "lease_id", "block_number", "log_index"),
)

# Those who have staked. Offers hold in their provider's epoch alone. free_units: what new leases may lock.
providers = Table(
    "providers",
    metadata,
    Column("provider", String(42), primary_key=True),
    integer("epoch"),
    Column("free_units", UnitsText, nullable=False, server_default=NO_UNITS),
)

units = Table(
    "units",
    metadata,
    hash_column("unit_id", primary_key=True),
    account_column("provider", index=True),
    account_column("worker", index=True),
    Column("rentable", Boolean, nullable=False, server_default=false()),  # neither retired nor evicted
    Column("gpu_class", PlainText, nullable=False, server_default=""),
    Column("gpu_count", Integer, nullable=False, server_default="0"),
    Column("vram_mib", BigInteger, nullable=False, server_default="0"),
    *hour_columns("booked"),
    text("body"),
)


# An index over all that SQL looks at in an offer: the row itself is read of those alone that pass.
SEARCHED = (
    *("gpu_class", "gpu_count", "price_per_hour", "offer_hash", "token", "valid_until"),
    *("min_seconds", "max_seconds", "kind", *(f"hours_{part}" for part in range(HOUR_PARTS))),
    *("unit_id", "provider", "epoch", "bond", "known_since"),
)


def offer_columns() -> tuple[Column[Any], ...]:
    """What offers are searched by, listed or signed."""
    return (
        hash_column("offer_hash", primary_key=True),
        account_column("provider"),
        hash_column("unit_id", index=True),
        text("gpu_class"),
        account_column("token"),
        Column("price_per_hour", UnitsText, nullable=False),
        integer("valid_until"),
        integer("epoch"),
        Column("gpu_count", Integer, nullable=False, server_default="0"),
        Column("kind", Integer, nullable=False, server_default="0"),
        Column("min_seconds", BigInteger, nullable=False, server_default="0"),
        Column("max_seconds", BigInteger, nullable=False, server_default="0"),
        Column("bond", UnitsText, nullable=False, server_default=NO_UNITS),
        Column("known_since", BigInteger, nullable=False, server_default="0"),
        *hour_columns("hours"),
        text("body"),
    )


offers = Table(
    "offers",
    metadata,
    *offer_columns(),
    Column("listed", Boolean, nullable=False),
    Index("ix_offers_price", "listed", "price_per_hour", "offer_hash"),
    Index("ix_offers_class_price", "listed", "gpu_class", "price_per_hour", "offer_hash"),
    Index("ix_offers_search", "listed", *SEARCHED),
)

leases = Table(
    "leases",
    metadata,
    hash_column("lease_id", primary_key=True),
    account_column("renter"),
    account_column("provider"),
    hash_column("unit_id", index=True),
    text("status"),
    integer("opened_block"),
    text("body"),
    Index(None, "renter", "opened_block"),
    Index(None, "provider", "opened_block"),
    Index(None, "status"),
)

proofs = Table(
    "proofs",
    metadata,
    hash_column("proof_hash", primary_key=True),
    hash_column("lease_id", index=True),
    text("body"),
)

# What accounts may withdraw: of the market, a token each; of the registry, the stake (token column empty).
credits = Table(
    "credits",
    metadata,
    Column("token", String(42), primary_key=True),
    Column("account", String(42), primary_key=True),
    Column("units", UnitsText, nullable=False),
)


def some_rows(name: str, condition: str, *columns: str) -> Index:
    """An index of the rows that fulfil the condition: it serves queries with the same, without parameters."""
    where: ColumnClause[bool] = literal_column(condition)
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


# state: waiting -> queued -> assigned -> running -> finished -> proven; or expired, abandoned, cancelled,
# unproven (oracle.jobs). The indexes find what can move, however many jobs there are.
jobs = Table(
    "jobs",
    metadata,
    integer("sequence", primary_key=True, autoincrement=True),
    hash_column("job_id", unique=True),
    hash_column("lease_id"),
    integer("number"),  # of its lease's jobs, from 1
    account_column("renter"),
    text("state"),
    text("detail"),
    integer("rank"),  # 9 - priority: of its lease's queue, the lowest goes first
    text("terms"),
    text("signed_order"),
    hash_column("bundle_digest"),
    hash_column("data_digest", nullable=True),
    integer("wall_seconds"),
    integer("deadline"),
    integer("created_at"),
    integer("updated_at"),
    integer("not_before"),  # no new attempt earlier
    integer("cancel_asked_at", nullable=True),
    text("outcome", nullable=True),
    hash_column("proof_hash", nullable=True),
    Index("ix_jobs_state", "state", "lease_id"),
    Index(None, "lease_id", "sequence"),
    Index(None, "lease_id", "updated_at", "sequence"),
    some_rows("ix_jobs_waiting", "state = 'waiting'", "detail", "lease_id"),
    some_rows("ix_jobs_queue", "state = 'queued'", "lease_id", "rank", "sequence", "not_before"),
    some_rows("ix_jobs_deadline", "state IN ('queued', 'waiting')", "state", "deadline"),
    some_rows(
        *("ix_jobs_orphans", "state = 'waiting' AND detail = 'the lease is not on the chain'"),
        *("renter", "created_at"),
    ),
    sqlite_autoincrement=True,
)

# state: assigned -> accepted -> preparing -> running -> uploading -> finished; or lost, refused, superseded.
# fencing_token rises with each attempt of any job and is never given twice.
attempts = Table(
    "attempts",
    metadata,
    integer("fencing_token", primary_key=True, autoincrement=True),
    Column("job_id", LargeBinary(32), ForeignKey("jobs.job_id"), nullable=False),
    integer("attempt"),
    hash_column("unit_id"),
    text("state"),
    text("detail"),
    integer("created_at"),
    integer("updated_at"),
    Index(None, "job_id", "attempt", unique=True),
    Index(None, "unit_id", "state"),
    Index(None, "state"),
    sqlite_autoincrement=True,
)

receipts = Table(
    "receipts",
    metadata,
    Column("job_id", LargeBinary(32), ForeignKey("jobs.job_id"), primary_key=True),
    integer("fencing_token"),
    hash_column("digest"),
    text("body"),
    integer("received_at"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    hash_column("lease_id", primary_key=True),
    integer("block_number", primary_key=True, autoincrement=False),
    text("body"),
    text("signature"),
    integer("received_at"),
    Index(None, "lease_id", "received_at"),
)

evidence = Table(
    "evidence",
    metadata,
    hash_column("proof_hash", primary_key=True),
    hash_column("lease_id"),
    hash_column("file_digest"),
    integer("size_bytes"),
    integer("stored_at"),
    # The block up to which the chain was known when its jobs were proven; None: they are not.
    integer("proven_block", nullable=True, index=True),
)

evidence_jobs = Table(
    "evidence_jobs",
    metadata,
    Column("proof_hash", LargeBinary(32), ForeignKey("evidence.proof_hash"), primary_key=True),
    Column("job_id", LargeBinary(32), primary_key=True),
    hash_column("receipt_digest"),
    Index(None, "job_id"),
)

# A signed request is good once: its nonce is kept until the signature expires.
request_nonces = Table(
    "request_nonces",
    metadata,
    Column("account", String(42), primary_key=True),
    Column("nonce", LargeBinary(32), primary_key=True),
    integer("expires_at", index=True),
)

# Work that one oracle at a time does. fencing_token rises with each holder, and expires_at is the database's
# clock in Unix seconds with fractions: what a holder writes after another took over is refused.
duties = Table(
    "duties",
    metadata,
    Column("name", PlainText, primary_key=True),
    text("holder"),
    integer("fencing_token"),
    Column("expires_at", Double, nullable=False),
)

# Where each unit's worker is connected, or was last; seen_at as expires_at above.
worker_links = Table(
    "worker_links",
    metadata,
    hash_column("unit_id", primary_key=True),
    text("link"),
    text("holder"),
    Column("seen_at", Double, nullable=False),
    Column("lost", Boolean, nullable=False),
)

# What people sign to sign in: each is good once, and only until it expires.
sign_in_nonces = Table(
    "sign_in_nonces",
    metadata,
    Column("nonce", String(32), primary_key=True),
    integer("expires_at", index=True),
)

# Who is signed in. A token is not kept, only its SHA-256: who reads the database cannot act for anybody.
sessions = Table(
    "sessions",
    metadata,
    hash_column("token_digest", primary_key=True),
    account_column("account", index=True),
    integer("created_at"),
    integer("expires_at", index=True),
)

# What this oracle signed for the quorum, never forgotten: the `number`-th statement on a subject.
statements = Table(
    "statements",
    metadata,
    Column("kind", Text, primary_key=True),
    hash_column("subject", primary_key=True),
    integer("number", primary_key=True, autoincrement=False),
    hash_column("digest", unique=True),
    text("body"),
    text("signature"),
    integer("signed_at"),
)

# Findings for which it collects the signatures of others.
proposals = Table(
    "proposals",
    metadata,
    hash_column("digest", primary_key=True),
    text("kind"),
    hash_column("subject"),
    text("body"),
    integer("proposed_at"),
    Index(None, "kind", "subject"),
)

proposal_signatures = Table(
    "proposal_signatures",
    metadata,
    Column("digest", LargeBinary(32), ForeignKey("proposals.digest"), primary_key=True),
    Column("signer", String(42), primary_key=True),
    integer("member"),
    text("signature"),
    integer("received_at"),
)
