"""Which logs make a lease of this worker's unit, and how it answers orders posted on-chain."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol import events as ev
from protocol.calls import Call
from protocol.chain import Block
from protocol.errors import BadInput, RejectedError, SignatureInvalid, TransactionReverted
from protocol.orders import check_order, first_order_hash, job_id, lease_id
from protocol.outbox import IntentState
from protocol.structs import LeaseFlag, LeaseState, LeaseStatus, LeaseTerms, PostedOrder, Terms
from protocol.typed_data import hash_struct, sign
from protocol.units import JobId, OfferHash, UnitId, address_of
from tests.unit.protocol.test_events import POSITION, log_of
from tests.unit.protocol.test_manifest import MANIFEST
from tests.unit.worker.worker_samples import (
    DOMAIN,
    RENTER,
    START,
    UNIT,
    make_order,
    make_terms,
    make_view,
)
from worker import leases as module
from worker.answers import Answers
from worker.journal import AttemptState, Journal
from worker.leases import LeaseBook, LeaseView

TERMS = make_terms()
LEASE = lease_id(DOMAIN, TERMS)
OFFER_HASH = OfferHash(hash_struct(TERMS.offer))
BUYER = address_of(b"\x0b" * 20)
ORDER = make_order()
JOB = JobId(job_id(DOMAIN, ORDER.order))


class Chain:
    """Logs and states as a node and the market would give them."""

    address = MANIFEST.market

    def __init__(self) -> None:
        self.logs: list[ev.LogEntry] = []
        self.queries: list[tuple[int, int]] = []
        self.state = LeaseState(status=LeaseStatus.OPEN, end_offset=TERMS.end - TERMS.start)
        self.posted = PostedOrder()
        self.number = 10

    def emit(self, *events: ev.Event) -> None:
        self.logs += [log_of(event) for event in events]

    def block(self, *_: object) -> Block:
        return Block(self.number, bytes(32), START + 100)  # type: ignore[arg-type]

    def fetch(self, _web3: object, addresses: list[str], first: int, last: int) -> list[ev.LogEntry]:
        assert addresses == [self.address]
        self.queries.append((first, last))
        return self.logs

    def lease_state(self, _: bytes, __: object) -> LeaseState:
        return self.state

    def posted_order_of(self, _: bytes, __: object) -> PostedOrder:
        return self.posted


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    found = Chain()
    monkeypatch.setattr(module, "read_block", found.block)
    monkeypatch.setattr(module, "fetch_logs", found.fetch)
    monkeypatch.setattr(module, "Market", lambda web3, address: found)
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite3")


@pytest.fixture
def book(chain: Chain, journal: Journal) -> LeaseBook:
    return LeaseBook(None, MANIFEST, DOMAIN, UNIT, journal)  # type: ignore[arg-type]


def opened(terms: Terms = TERMS) -> ev.LeaseOpened:
    offer_hash = OfferHash(hash_struct(terms.offer))
    identity = lease_id(DOMAIN, terms)
    return ev.LeaseOpened(
        POSITION, identity, terms.renter, terms.offer.provider, offer_hash, LeaseTerms.of(terms), 1
    )


def listed(terms: Terms = TERMS) -> ev.OfferListed:
    return ev.OfferListed(POSITION, OfferHash(hash_struct(terms.offer)), terms.offer.provider, terms.offer)


def taken(terms: Terms = TERMS) -> ev.OfferTaken:
    return ev.OfferTaken(POSITION, OfferHash(hash_struct(terms.offer)), terms.offer.provider, terms.offer)


@pytest.mark.parametrize("offer_event", [listed, taken])
def test_leases__on_an_offer_of_the_unit__are_its_own(
    book: LeaseBook, chain: Chain, offer_event: Callable[[], ev.Event]
) -> None:
    chain.emit(offer_event(), opened())
    (view,) = book.turn()
    assert (view.lease_id, view.terms, view.renter) == (LEASE, TERMS, TERMS.renter)


def test_leases__on_an_offer_of_another_unit_or_unknown__are_not(book: LeaseBook, chain: Chain) -> None:
    other = replace(TERMS, offer=replace(TERMS.offer, unit_id=UnitId(b"\x08" * 32)))
    chain.emit(listed(other), opened(other), opened())
    assert book.turn() == ()


def test_offers__listed_before_a_restart__are_still_known(
    book: LeaseBook, chain: Chain, journal: Journal
) -> None:
    chain.emit(listed())
    assert book.turn() == ()
    chain.logs, chain.number = [], 11
    chain.emit(opened())
    again = LeaseBook(None, MANIFEST, DOMAIN, UNIT, journal)  # type: ignore[arg-type]
    assert [view.terms for view in again.turn()] == [TERMS]
    assert chain.queries[0][0] == MANIFEST.block_number


def test_lease__transferred__has_both_renters_and_todays(book: LeaseBook, chain: Chain) -> None:
    chain.emit(listed(), opened(), ev.LeaseTransferred(POSITION, LEASE, TERMS.renter, BUYER, 5))
    chain.state = replace(chain.state, renter_override=BUYER, flags=LeaseFlag.AMENDED)
    (view,) = book.turn()
    assert (view.renters, view.renter) == ((TERMS.renter, BUYER), BUYER)
    assert book.renters(TERMS) == (TERMS.renter, BUYER)


def test_lease__without_a_posted_order__asks_for_none(book: LeaseBook, chain: Chain) -> None:
    chain.posted = PostedOrder(JOB, START + 50, 3)
    chain.emit(listed(), opened())
    assert book.turn()[0].posted_order == PostedOrder()
    chain.state, chain.number = replace(chain.state, flags=LeaseFlag.ORDERED), 11
    assert book.turn()[0].posted_order == chain.posted


def test_lease__breached_or_closed__is_done(book: LeaseBook, chain: Chain, journal: Journal) -> None:
    chain.emit(listed(), opened())
    assert len(book.turn()) == 1
    chain.state = replace(chain.state, status=LeaseStatus.BREACHED)
    assert book.turn() == () and journal.leases.live() == []


def test_check__lease_of_another_unit__is_refused(book: LeaseBook) -> None:
    other = replace(TERMS, offer=replace(TERMS.offer, unit_id=UnitId(b"\x08" * 32)))
    with pytest.raises(BadInput, match="expected unit"):
        book.check(other, ORDER.order)


def test_order__after_a_transfer__is_the_new_renters_alone() -> None:
    arguments = (DOMAIN, TERMS, ORDER.order, ORDER.signature, ORDER.spec)
    assert check_order(*arguments, (TERMS.renter,)) == JOB
    with pytest.raises(SignatureInvalid, match=f"expected a signature by {BUYER}"):
        check_order(*arguments, (BUYER,))


def test_first_order__after_a_transfer__is_void() -> None:
    bare = replace(TERMS, first_order=first_order_hash(ORDER.order))
    order = replace(ORDER.order, lease_id=lease_id(DOMAIN, bare))
    assert check_order(DOMAIN, bare, order, None, ORDER.spec, (TERMS.renter, BUYER))
    with pytest.raises(RejectedError):
        check_order(DOMAIN, bare, order, None, ORDER.spec, (BUYER,))
    signed = sign(DOMAIN, order, RENTER)
    assert check_order(DOMAIN, bare, order, signed, ORDER.spec)


class Outgoing:
    """A sender that takes everything, or refuses as the contract would."""

    def __init__(self) -> None:
        self.sent: dict[str, Call] = {}
        self.refusal: TransactionReverted | None = None

    def submit(self, intent: str, call: Call) -> IntentState:
        if self.refusal is not None:
            raise self.refusal
        self.sent[intent] = call
        return IntentState.SIGNED


class AnsweringMarket:
    def build_answer_order(self, terms: Terms, order_digest: JobId, accepted: bool) -> Any:
        return terms, order_digest, accepted


ANSWER_SECONDS = 40


def answer(journal: Journal, seconds_left: int, outgoing: Outgoing) -> list[Any]:
    """What is sent when so much of the time to answer is left."""
    posted = PostedOrder(JOB, 100 + seconds_left, 0)
    view: LeaseView = replace(make_view(START + 100), posted_order=posted)
    market, sender = AnsweringMarket(), outgoing
    Answers(market, journal, sender, ANSWER_SECONDS).give(view)  # type: ignore[arg-type]
    return [call[2] for call in outgoing.sent.values()]  # type: ignore[index]


def test_posted_order__that_came_here_too__is_accepted_at_once(journal: Journal) -> None:
    journal.attempts.add(JOB, 1, 1, LEASE, b"{}")
    assert answer(journal, ANSWER_SECONDS, Outgoing()) == [True]


def test_posted_order__that_was_refused_here__is_refused(journal: Journal) -> None:
    journal.attempts.add(JOB, 1, 1, LEASE, b"{}")
    journal.attempts.move(JOB, 1, AttemptState.REFUSED)
    assert answer(journal, ANSWER_SECONDS, Outgoing()) == [False]


@pytest.mark.parametrize(("seconds_left", "expected"), [(11, []), (10, [False]), (0, [False]), (-5, [False])])
def test_posted_order__that_never_came__is_refused_when_time_runs_out(
    journal: Journal, seconds_left: int, expected: list[bool]
) -> None:
    assert answer(journal, seconds_left, Outgoing()) == expected


def test_posted_order__arriving_after_the_refusal_was_signed__is_another_intent(journal: Journal) -> None:
    outgoing = Outgoing()
    assert answer(journal, 5, outgoing) == [False]
    journal.attempts.add(JOB, 1, 1, LEASE, b"{}")
    assert answer(journal, 5, outgoing) == [False, True]


def test_no_posted_order__nothing__is_sent(journal: Journal) -> None:
    outgoing = Outgoing()
    Answers(AnsweringMarket(), journal, outgoing, ANSWER_SECONDS).give(make_view(START + 100))  # type: ignore[arg-type]
    assert outgoing.sent == {}


def test_answer__that_the_contract_refuses__stops_nothing(journal: Journal) -> None:
    outgoing = Outgoing()
    outgoing.refusal = TransactionReverted("OrderNotPosted", name="OrderNotPosted")
    assert answer(journal, 0, outgoing) == []
