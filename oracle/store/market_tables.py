"""Tables of the market: the book of signed offers, what is searched by, quotes. Forms as in `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, String, Table, Text

from oracle.store.columns import UnitsText, account_column, hash_column, integer, metadata, text
from oracle.store.tables import SEARCHED, offer_columns

WEIGHT_DIGITS = 60


class WeightText(UnitsText):
    """A weight of `protocol.reputation`, up to 199 bits."""

    impl = String(WEIGHT_DIGITS)
    cache_ok = True
    digits = WEIGHT_DIGITS


# The book of signed offers: theirs is no event of the chain, so it exists nowhere else.
signed_offers = Table(
    "signed_offers",
    metadata,
    *offer_columns(),
    text("salt"),
    Column("signature", LargeBinary, nullable=False),
    Index("ix_signed_offers_price", "price_per_hour", "offer_hash"),
    Index("ix_signed_offers_search", *SEARCHED, "salt"),
    Index(None, "provider"),
    Index(None, "valid_until"),
)

# Salts that their providers cancelled: what was signed with them is void.
cancelled_salts = Table(
    "cancelled_salts",
    metadata,
    Column("provider", String(42), primary_key=True),
    Column("salt", Text, primary_key=True),
)

# Tokens in which leases may be opened, and the fee of new ones.
tokens = Table(
    "tokens",
    metadata,
    Column("token", String(42), primary_key=True),
    integer("fee_bps"),
)

# What the quorum measured last of each unit.
findings = Table(
    "findings",
    metadata,
    hash_column("unit_id", primary_key=True),
    Column("gops", BigInteger, nullable=False),
    Column("attested_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    text("body"),
)

# What reputations are made of, and each as a weight (protocol.reputation).
customs = Table(
    "customs",
    metadata,
    Column("provider", String(42), primary_key=True),
    Column("token", String(42), primary_key=True),
    Column("renter", String(42), primary_key=True),
    *(Column(name, WeightText, nullable=False) for name in ("fees", "served", "owed")),
)
reputations = Table(
    "reputations",
    metadata,
    Column("provider", String(42), primary_key=True),
    Column("token", String(42), primary_key=True),
    Column("weight", WeightText, nullable=False),
)

# One row: the form in which the rows of the ledger were written. Others are written anew out of the events.
ledger_rows = Table(
    "ledger_rows",
    metadata,
    integer("id", primary_key=True, autoincrement=False),
    integer("version"),
)

# A renter asks for bids until the deadline. One row in quote_asks for each unit whose worker was asked:
# answered_at is null until it has; body and signature are null where it bids nothing.
quote_requests = Table(
    "quote_requests",
    metadata,
    hash_column("request_id", primary_key=True),
    account_column("renter", index=True),
    text("requirements"),
    Column("created_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False, index=True),
)
quote_asks = Table(
    "quote_asks",
    metadata,
    Column("request_id", LargeBinary(32), ForeignKey("quote_requests.request_id"), primary_key=True),
    hash_column("unit_id", primary_key=True),
    Column("answered_at", BigInteger),
    text("body", nullable=True),
    Column("signature", LargeBinary),
    Index(None, "unit_id", "answered_at"),
)
