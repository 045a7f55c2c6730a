"""When a proof is due, what a lease holds, and what a heartbeat covers: pure decisions."""

from dataclasses import replace

import pytest

from protocol.structs import PostedOrder
from protocol.units import JobId, address_of
from tests.unit.worker.worker_samples import END, GRACE, START, make_terms, make_view
from worker.prover import Situation, is_due, worth_a_proof
from worker.pulse import covers_anything

RUNNING = Situation(
    now=START + 300,
    start=START,
    end=END,
    last_post=END + GRACE,
    matures_at=None,
    disputed=False,
    last_proof_at=None,
    last_heartbeat_at=START + 299,
    new_seconds=299,
    receipts_waiting=0,
    work_in_flight=False,
    interval_seconds=300,
)
ENDED = replace(RUNNING, now=END + 1, last_heartbeat_at=END)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        (RUNNING, True),
        (replace(RUNNING, now=START + 299), False),
        (replace(RUNNING, last_proof_at=START + 1), False),
        (replace(RUNNING, last_proof_at=START), True),
        (replace(RUNNING, matures_at=START + 301), False),
        (replace(RUNNING, matures_at=START + 300), True),
        (replace(RUNNING, disputed=True), False),
        (replace(RUNNING, disputed=True, matures_at=START), False),
        (replace(RUNNING, new_seconds=0), False),
        (replace(RUNNING, new_seconds=0, receipts_waiting=1), True),
        (replace(RUNNING, work_in_flight=True), True),
        (ENDED, True),
        (replace(ENDED, last_proof_at=END), True),
        (replace(ENDED, new_seconds=0), False),
        (replace(ENDED, new_seconds=0, receipts_waiting=2), True),
        (replace(ENDED, matures_at=END + 2), False),
        (replace(ENDED, last_heartbeat_at=END - 1), False),
        (replace(ENDED, work_in_flight=True), False),
        (replace(ENDED, work_in_flight=True, now=END + 75), True),
        (replace(ENDED, last_heartbeat_at=END - 40, now=END + 75), True),
        (replace(ENDED, now=END + 75, matures_at=END + 76), False),
    ],
)
def test_is_due__each_situation__follows_the_policy(situation: Situation, expected: bool) -> None:
    assert is_due(situation) is expected


@pytest.mark.parametrize(
    ("now", "new_seconds", "early", "receipts", "expected"),
    [
        (END - 10, 5, 1, 0, True),
        (END - 10, 0, 1, 0, False),
        (END - 10, 0, 1, 1, True),
        (END, 5, 1, 1, False),
        (END, 5, 0, 1, True),
        (END + GRACE, 5, 1, 1, True),
    ],
    ids=["without it", "of it alone", "of the others", "at the end", "all have ended", "too late to wait"],
)
def test_worth_a_proof__work_ended_later_than_the_chains_clock_says__is_not_in_it(
    now: int, new_seconds: int, early: int, receipts: int, expected: bool
) -> None:
    situation = replace(RUNNING, now=now, new_seconds=new_seconds)
    assert worth_a_proof(situation, early, receipts) is expected


@pytest.mark.parametrize(
    ("instant", "expected"),
    [(START - 1, False), (START, True), (END - 1, True), (END, False)],
)
def test_holds__at_the_edges__is_half_open(instant: int, expected: bool) -> None:
    assert make_view(instant).holds(instant) is expected


def test_holds__hour_not_leased__is_false() -> None:
    terms = make_terms(weekly_hours=0)
    assert not make_view(START + 5, terms).holds(START + 5)


def test_view__shortened_and_disputed_lease__shows_todays_times() -> None:
    view = make_view(END, end_offset=100, mature_offset=50, last_post_offset=900)
    assert (view.end, view.matures_at, view.last_post) == (START + 100, START + 50, START + 900)
    assert view.has_ended
    assert view.claimable_seconds == 100
    assert make_view(START + 7).last_post == END + GRACE
    assert make_view(START + 7).matures_at is None
    assert make_view(START + 7).claimable_seconds == 7


def test_view__dispute_ended_before_the_end__keeps_the_grace() -> None:
    assert make_view(START, last_post_offset=5).last_post == END + GRACE


def test_view__order_waits_or_was_answered_late__less_can_be_claimed() -> None:
    view = make_view(START + 100)
    waiting = replace(view, posted_order=PostedOrder(JobId(b"\1" * 32), 60, 10))
    assert waiting.claimable_seconds == 50
    assert replace(view, posted_order=PostedOrder(lost_seconds=10)).claimable_seconds == 90


def test_view__transferred_lease__has_another_renter() -> None:
    other = address_of(b"\x09" * 20)
    assert make_view(START).renter == make_terms().renter
    assert make_view(START, renter_override=other).renter == other


@pytest.mark.parametrize(
    ("now", "expected"),
    [(START, False), (START + 1, True), (END, True), (END + 29, True), (END + 30, False)],
)
def test_heartbeat__at_the_edges_of_a_lease__is_made_where_it_covers_a_second(
    now: int, expected: bool
) -> None:
    assert covers_anything(make_view(now)) is expected
