"""Requests for quotes: asked of every connected worker that may do, answered once each until the deadline.

What is asked and bid is in the store, so that neither a restart nor another process loses it; a worker is
asked again on each connection until it has answered. A bid is looked at as an offer of the book is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from oracle import matcher
from oracle.book import Book
from oracle.clock import Now, later_of
from oracle.intake import Reporter
from oracle.links import Links
from oracle.store import history, quotes
from oracle.store.engine import Store, Transaction
from oracle.store.offers import Found, Place, facts_of
from oracle.store.quotes import QuoteRequest
from protocol import link
from protocol.errors import BadInput, Expired, LimitExceeded, RejectedError
from protocol.market_bodies import RequirementsBody
from protocol.matching import Requirements
from protocol.signed import SignedOffer
from protocol.units import Address, Digest, JobId, hex_bytes, to_hex

log = structlog.get_logger(__name__)

MAX_DEADLINE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests open at a time, of each renter and of all."""

    of_renter: int
    total: int


@dataclass(frozen=True, slots=True)
class Bids:
    """Where a request stands: `found` are bids that do, best first."""

    request: QuoteRequest
    asked: int
    answered: int
    closed: bool
    found: tuple[Found, ...]


class Quotes:
    """Safe for any number of threads."""

    def __init__(
        self,
        store: Store,
        book: Book,
        links: Links,
        now: Now,
        limits: Limits,
        *,
        wake_readers: Callable[[JobId], None],
        wake_others: Callable[[], None],
    ) -> None:
        """`wake_others`: other oracles of the store have workers to ask, and renters that wait."""
        self._store = store
        self._book = book
        self._links = links
        self._now = now
        self._limits = limits
        self._wake_readers = wake_readers
        self._wake_others = wake_others

    def ask(self, renter: Address, wanted: Requirements, deadline: int) -> Digest:
        """Afterwards every connected worker of such a unit is asked. Deadline: two minutes away at most."""
        now = self._now()
        if deadline < now:
            raise Expired(f"deadline: expected one to come, it is {now}, got {deadline}")
        if deadline > now + MAX_DEADLINE_SECONDS:
            raise BadInput(f"deadline: expected at most {now + MAX_DEADLINE_SECONDS}, got {deadline}")
        connected = self._links.quoting()
        request = QuoteRequest(Digest(secrets.token_bytes(32)), renter, wanted, now, deadline)
        with self._store.write() as transaction:
            self._check_limits(transaction, renter, now)
            asked = quotes.rentable_units(transaction, connected, wanted.gpu_class, wanted.gpu_count)
            quotes.insert_request(transaction, request, asked)
        for unit_id in asked:
            self._links.wake(unit_id)
        self._wake_others()
        log.info("quotes_asked", request_id=to_hex(request.request_id), units=len(asked))
        return request.request_id

    def asked_of(self, reporter: Reporter) -> list[link.QuoteRequest]:
        """What this worker has not answered yet."""
        with self._store.read() as transaction:
            found = quotes.open_requests(transaction, reporter.unit_id, self._now())
        return [
            link.QuoteRequest(
                request_id=to_hex(request.request_id),
                requirements=RequirementsBody.of(request.requirements).model_dump(
                    mode="json", exclude_defaults=True
                ),
                deadline=request.deadline,
            )
            for request in found
        ]

    def answer(self, reporter: Reporter, message: link.Quote) -> bool:
        """False, and nothing is kept: not asked, too late, said before. A bid that does not hold is none."""
        request_id = Digest(hex_bytes(message.request_id, 32, "quote.request_id"))
        signed = self._checked(reporter, message)
        # The time of arrival, whatever the check took.
        with self._store.write() as transaction:
            kept = quotes.answer(transaction, request_id, reporter.unit_id, signed, self._now())
        if kept:
            self._wake_readers(JobId(request_id))
            self._wake_others()
        return kept

    def bids(self, request_id: Digest, renter: Address, connected: matcher.Connected) -> Bids | None:
        """None where the renter has made no such request."""
        with self._store.read() as transaction:
            request = quotes.get_request(transaction, request_id)
            if request is None or request.renter != renter:
                return None
            answers = quotes.list_answers(transaction, request_id)
            cursor = history.get_cursor(transaction)
            now = later_of(self._now(), cursor.timestamp if cursor else None)
            offered = [
                _bid(transaction, found.signed, found.answered_at or 0, now, connected)
                for found in answers
                if found.signed is not None
            ]
        answered = sum(found.answered_at is not None for found in answers)
        closed = answered == len(answers) or self._now() > request.deadline
        fitting = tuple(matcher.match(offered, request.requirements, now))
        return Bids(request, len(answers), answered, closed, fitting)

    def _checked(self, reporter: Reporter, message: link.Quote) -> SignedOffer | None:
        try:
            signed = message.read()
            if signed is None:
                return None
            if signed.offer.unit_id != reporter.unit_id:
                raise BadInput(f"quote: expected an offer of unit {to_hex(reporter.unit_id)}")
            self._book.check(signed, reporter.worker)
        except RejectedError as error:
            log.warning("quote_refused", unit_id=reporter.unit_id, code=error.code, reason=error.message)
            return None
        return signed

    def _check_limits(self, transaction: Transaction, renter: Address, now: int) -> None:
        mine, every = quotes.count_open(transaction, now, renter), quotes.count_open(transaction, now)
        if mine >= self._limits.of_renter or every >= self._limits.total:
            raise LimitExceeded(
                f"quotes: expected at most {self._limits.of_renter} requests at a time, got one more",
                code="too_many_quotes",
            )


def _bid(
    transaction: Transaction, signed: SignedOffer, since: int, now: int, connected: matcher.Connected
) -> Found:
    offer = signed.offer
    facts, weight = facts_of(transaction, offer, now)
    facts = replace(facts, known_since=since, worker_connected=connected(offer.unit_id))
    place = Place(offer.price_per_hour, weight, since, signed.offer_hash)
    return Found(signed.offer_hash, offer, facts, False, signed.signature, place)
