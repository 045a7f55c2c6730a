"""Events of LeaseMarket on offers: listed, unlisted, taken as signed, cancelled."""

from collections.abc import Mapping
from typing import Final

from protocol import events
from protocol.ledger.entries import OfferEntry
from protocol.ledger.replacing import replace
from protocol.ledger.state import Changes, Handler, LedgerState, broken, expect, known
from protocol.typed_data import hash_struct
from protocol.units import OfferHash

EPOCH_SHIFT: Final = 232
HORIZON_SECONDS: Final = 400 * 24 * 3600


def offer_epoch(salt: int) -> int:
    """The provider's epoch in which an offer of this salt holds."""
    return salt >> EPOCH_SHIFT


def offer_listed(state: LedgerState, event: events.OfferListed, block_timestamp: int) -> Changes:
    offer = event.offer
    _check_offer(state, event)
    before = state.offers.get(event.offer_hash)
    expect(event, "listed before", False, before is not None and before.listed)
    if block_timestamp > offer.valid_until:
        raise broken(event, "time", f"at most {offer.valid_until}", block_timestamp)
    if not offer.min_seconds <= offer.max_seconds or not 0 < offer.max_seconds <= HORIZON_SECONDS:
        raise broken(event, "durations", f"up to {HORIZON_SECONDS}", (offer.min_seconds, offer.max_seconds))
    taken_at = None if before is None else before.taken_at
    entry = OfferEntry(event.offer_hash, offer, True, event.position, taken_at, block_timestamp)
    return Changes(offers=(entry,))


def offer_unlisted(state: LedgerState, event: events.OfferUnlisted, block_timestamp: int) -> Changes:
    entry = known(event, "offer", state.offers.get(event.offer_hash))
    expect(event, "provider", entry.offer.provider, event.provider)
    expect(event, "listed before", True, entry.listed)
    return Changes(offers=(replace(entry, listed=False),))


def offer_taken(state: LedgerState, event: events.OfferTaken, block_timestamp: int) -> Changes:
    """By its provider's signature, whether it is listed too or not."""
    offer = event.offer
    _check_offer(state, event)
    expect(event, "salt cancelled", False, (offer.provider, offer.salt) in state.cancelled_salts)
    entry = state.offers.get(event.offer_hash) or OfferEntry(
        event.offer_hash, offer, False, event.position, known_since=block_timestamp
    )
    return Changes(offers=(replace(entry, taken_at=event.position),))


def salt_cancelled(state: LedgerState, event: events.SaltCancelled, block_timestamp: int) -> Changes:
    return Changes(cancelled_salts=((event.provider, event.salt),))


def offer_of(state: LedgerState, event: events.LeaseOpened) -> OfferEntry:
    """What a lease opened now is on: a listed offer, or one taken by the log just before."""
    entry = known(event, "offer", state.offers.get(OfferHash(event.offer_hash)))
    taken, now = entry.taken_at, event.position
    just_taken = taken is not None and (
        (taken.block_hash, taken.transaction_hash, taken.log_index + 1)
        == (now.block_hash, now.transaction_hash, now.log_index)
    )
    expect(event, "offer listed, or taken just before", True, entry.listed or just_taken)
    return entry


def _check_offer(state: LedgerState, event: events.OfferListed | events.OfferTaken) -> None:
    offer = event.offer
    expect(event, "offer_hash", hash_struct(offer), event.offer_hash)
    expect(event, "provider", offer.provider, event.provider)


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {
    events.OfferListed: offer_listed,
    events.OfferUnlisted: offer_unlisted,
    events.OfferTaken: offer_taken,
    events.SaltCancelled: salt_cancelled,
}
