"""Asks workers for quotes, and looks at each bid before it is believed."""

import time

from protocol.errors import RejectedError
from protocol.market_bodies import FoundOfferBody, QuotesBody
from protocol.matching import Requirements, rank_key
from protocol.signed import SignedOffer
from protocol.typed_data import hash_struct
from protocol.units import hex_bytes
from scripts.client.api import OracleClient
from scripts.client.chain import Chain
from scripts.client.offers import check_signed
from scripts.client.planning import facts_of, objection

LONGEST_WAIT_SECONDS = 20


def request_quotes(oracle: OracleClient, wanted: Requirements, seconds: int) -> QuotesBody:
    """All bids that came within so many seconds; sooner where every worker that was asked has answered."""
    body = oracle.request_quotes(wanted, int(time.time()) + seconds)
    while not body.closed:
        left_seconds = max(1, body.deadline - int(time.time()) + 1)
        body = oracle.quotes(hex_bytes(body.request_id, 32), min(left_seconds, LONGEST_WAIT_SECONDS))
    return body


def sound_bids(
    chain: Chain, bids: tuple[FoundOfferBody, ...], wanted: Requirements, now: int
) -> list[tuple[FoundOfferBody, SignedOffer]]:
    """Those on which a lease can be opened that is what was asked for, best first."""
    found = [(bid, signed) for bid in bids if (signed := _sound(chain, bid, wanted, now)) is not None]
    return sorted(
        found, key=lambda item: rank_key(item[1].offer, facts_of(item[0].offer), item[1].offer_hash)
    )


def _sound(chain: Chain, bid: FoundOfferBody, wanted: Requirements, now: int) -> SignedOffer | None:
    if bid.signature is None or objection(bid.offer, wanted, now) is not None:
        return None
    signed = SignedOffer(bid.offer.offer, hex_bytes(bid.signature))
    if hash_struct(signed.offer) != hex_bytes(bid.offer.offer_hash, 32):
        return None
    try:
        check_signed(chain, signed)
    except RejectedError:
        return None
    return signed
