"""The book of signed offers: rows that are on no chain, until what they say can be had no more."""

from __future__ import annotations

import json

from sqlalchemy import delete, exists, false, func, or_, select

from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.market_tables import signed_offers, tokens
from oracle.store.offers import cancelled, term_row
from oracle.store.tables import providers, units
from protocol.signed import SignedOffer
from protocol.structs import to_json
from protocol.units import Address


def post_offer(transaction: Transaction, signed: SignedOffer, now: int) -> bool:
    """Adds it to the book; False: it is in it."""
    offer = signed.offer
    row = {
        "offer_hash": signed.offer_hash,
        "salt": str(offer.salt),
        "signature": signed.signature,
        "body": json.dumps({"offer": to_json(offer)}),
        **term_row(offer, now),
    }
    return insert_new(transaction, signed_offers, row)


def count_signed(transaction: Transaction, provider: Address) -> int:
    query = select(func.count()).select_from(signed_offers).where(signed_offers.c.provider == provider)
    return transaction.execute(query).scalar_one()


def delete_void(transaction: Transaction, now: int) -> int:
    """Signed offers that no lease can be opened on any more leave the book; how many those were."""
    book = signed_offers
    epoch = select(providers.c.epoch).where(providers.c.provider == book.c.provider).scalar_subquery()
    unit = select(units.c.rentable).where(units.c.unit_id == book.c.unit_id).scalar_subquery()
    void = or_(
        book.c.valid_until < now,
        func.coalesce(epoch, 0) != book.c.epoch,
        func.coalesce(unit, false()).is_(false()),
        cancelled(),
        ~exists().where(tokens.c.token == book.c.token),
    )
    return transaction.execute(delete(book).where(void)).rowcount
