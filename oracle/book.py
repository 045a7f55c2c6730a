"""The book of signed offers: what may be in it, and what must leave.

An offer that is not listed costs its provider nothing to sign, but here a stake: only offers whose bond the
provider's free stake covers are taken, so many of each provider and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import structlog

from oracle.clock import Now, later_of
from oracle.store import entities, history
from oracle.store.book import count_signed, post_offer
from oracle.store.engine import Store, Transaction
from oracle.store.facts import is_cancelled, list_tokens, standing_of
from protocol.errors import BadInput, Expired, LimitExceeded, RejectedError
from protocol.ledger import UnitEntry
from protocol.ledger.offers import HORIZON_SECONDS, offer_epoch
from protocol.signed import SignedOffer
from protocol.structs import Offer
from protocol.units import Address, to_hex

log = structlog.get_logger(__name__)

CheckSignature = Callable[[Offer, bytes, Address], None]
"""Asks the chain where the provider is a contract. SignatureInvalid."""


class Book:
    """Safe for any number of threads. The search shows nothing that is void, deleted or not."""

    def __init__(
        self, store: Store, check_signature: CheckSignature, now: Now, max_offers_per_provider: int
    ) -> None:
        self._store = store
        self._check_signature = check_signature
        self._now = now
        self._max_offers_per_provider = max_offers_per_provider
        self.version: Hashable = object()
        """Another with each offer that is posted here."""

    def post(self, signed: SignedOffer, caller: Address) -> bool:
        """Afterwards it is in the book; False: it was. RejectedError where no lease could be opened on it.

        Only its provider and the worker of its unit may post it: a renter that was shown an offer may not.
        """
        self.check(signed, caller)
        with self._store.write() as transaction:
            self._check_terms(transaction, signed.offer, caller)
            created = post_offer(transaction, signed, self._now())
            count = count_signed(transaction, signed.offer.provider)
            if created and count > self._max_offers_per_provider:
                raise LimitExceeded(
                    f"offers: expected at most {self._max_offers_per_provider} of a provider",
                    code="too_many_offers",
                )
        if created:
            self.version = object()
            log.info("offer_posted", offer_hash=to_hex(signed.offer_hash), provider=signed.offer.provider)
        return created

    def check(self, signed: SignedOffer, caller: Address) -> None:
        """Returns where a lease can be opened on it now. RejectedError, ChainUnavailable."""
        with self._store.read() as transaction:
            self._check_terms(transaction, signed.offer, caller)
        self._check_signature(signed.offer, signed.signature, signed.offer.provider)

    def _instant(self, transaction: Transaction) -> int:
        cursor = history.get_cursor(transaction)
        return later_of(self._now(), cursor.timestamp if cursor else None)

    def _check_terms(self, transaction: Transaction, offer: Offer, caller: Address) -> None:
        unit = entities.get_unit(transaction, offer.unit_id)
        _check_unit(offer, unit)
        if caller not in (offer.provider, unit.unit.worker if unit else None):
            raise RejectedError(f"offer: expected its provider or worker, got {caller}", code="not_a_party")
        now = self._instant(transaction)
        if offer.valid_until < now:
            raise Expired(f"offer: valid until {offer.valid_until}, now it is {now}")
        if not offer.min_seconds <= offer.max_seconds or not 0 < offer.max_seconds <= HORIZON_SECONDS:
            raise BadInput(f"offer: expected durations up to {HORIZON_SECONDS} s, got {offer.max_seconds}")
        if offer.weekly_hours == 0:
            raise BadInput("offer: expected an hour of the week, got none")
        if offer.token not in list_tokens(transaction):
            raise BadInput(f"offer: expected an allowed token, got {offer.token}", code="token_not_allowed")
        epoch, free_units = standing_of(transaction, offer.provider)
        if offer_epoch(offer.salt) != epoch:
            raise BadInput(f"offer: expected epoch {epoch}, got {offer_epoch(offer.salt)}", code="offer_void")
        if is_cancelled(transaction, offer.provider, offer.salt):
            raise BadInput(f"offer: salt {offer.salt} is cancelled", code="offer_void")
        if offer.bond > free_units:
            raise BadInput(
                f"offer: expected a bond of at most {free_units}, got {offer.bond}", code="stake_short"
            )


def _check_unit(offer: Offer, entry: UnitEntry | None) -> None:
    if entry is None or entry.retired or entry.evicted:
        raise BadInput(f"unit {to_hex(offer.unit_id)}: expected one that can be leased", code="unknown_unit")
    unit = entry.unit
    expected = (unit.provider, unit.gpu_class, unit.gpu_count)
    if (offer.provider, offer.gpu_class, offer.gpu_count) != expected:
        raise BadInput(f"offer: expected provider, class and count of unit {to_hex(offer.unit_id)}")
