"""Choosing offers and drafting terms: pure decisions."""

from dataclasses import replace

import pytest

from protocol.accrual import ALWAYS, HOUR_SECONDS, scheduled_seconds
from protocol.bodies import OfferBody
from protocol.errors import BadInput, Expired
from protocol.matching import Refusal, Requirements, Schedule, touched_hours, window_of
from protocol.structs import Offer, OfferKind
from protocol.typed_data import hash_struct
from protocol.units import Address, UnitId, pack_name, to_hex
from scripts.client.planning import (
    choose_offer,
    deposit_of,
    draft_terms,
    objection,
    objection_to_terms,
    require_fitting,
)

DAY = 86_400
MONDAY = 1_767_571_200  # 2026-01-05 00:00 UTC
TOKEN = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
OFFER = Offer(
    provider=Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    unit_id=UnitId(b"\x07" * 32),
    gpu_class=pack_name("CPU"),
    gpu_count=1,
    token=TOKEN,
    price_per_hour=3_600_000,
    kind=OfferKind.RESERVED,
    weekly_hours=ALWAYS,
    min_seconds=60,
    max_seconds=7200,
    notice_seconds=10,
    bond=10**18,
    valid_until=MONDAY + 86_400,
    salt=1,
)
NEEDS = Requirements("CPU", 1, token=None, max_price_per_hour=None, schedule=Schedule(600, 600))


def _needs(seconds: int = 600, **schedule: int) -> Requirements:
    return replace(NEEDS, schedule=replace(Schedule(seconds, seconds), **schedule))


def _body(offer: Offer = OFFER, **changed: object) -> OfferBody:
    fields = {
        "offer_hash": to_hex(hash_struct(offer)),
        "offer": offer,
        "listed": True,
        "booked_hours": 0,
        "worker_connected": True,
    }
    return OfferBody.model_validate(fields | changed)


def test_choose_offer__several_found__takes_the_first_that_does() -> None:
    """What the oracle says is best may have been rented meanwhile, or not be what was asked for."""
    rented, wrong, good, dearer = (
        _body(booked_hours=str(ALWAYS)),
        _body(replace(OFFER, gpu_count=2)),
        _body(replace(OFFER, price_per_hour=1)),
        _body(),
    )
    assert choose_offer([rented, wrong, good, dearer], [], NEEDS, MONDAY) is good
    signed = _body(listed=False, signed=True)
    assert choose_offer([signed], [], NEEDS, MONDAY) is signed


def test_choose_offer__none_fits__says_why() -> None:
    offers = [_body(replace(OFFER, gpu_count=8)), _body(booked_hours=str(ALWAYS)), _body(listed=False)]
    with pytest.raises(BadInput) as caught:
        choose_offer(offers[:1], offers, NEEDS, MONDAY)
    assert caught.value.code == "no_offer"
    for reason in ("1 with another number of GPUs", "1 rented already", "1 no longer listed"):
        assert reason in str(caught.value)
    with pytest.raises(BadInput, match="there are none"):
        choose_offer([], [], NEEDS, MONDAY)


@pytest.mark.parametrize(
    ("body", "needs", "reason"),
    [
        (_body(), NEEDS, None),
        (_body(replace(OFFER, valid_until=MONDAY - 1)), NEEDS, "expired"),
        (_body(), replace(NEEDS, gpu_class="RTX 4090"), "of another class"),
        (_body(), replace(NEEDS, token=OFFER.provider), "in another token"),
        (_body(), replace(NEEDS, max_price_per_hour=3_599_999), "above your price"),
        (_body(), replace(NEEDS, max_price_per_hour=3_600_000), None),
        (_body(), _needs(59), "for other durations"),
        (_body(), _needs(7201), "for other durations"),
        (_body(), _needs(end=MONDAY + 59), "for other durations"),
        (_body(), _needs(end=MONDAY + 60), None),
        (_body(), _needs(start=MONDAY + 7 * DAY), None),
        (_body(), _needs(start=MONDAY + 7 * DAY + 1), "not opened so long before its start"),
        (_body(), _needs(weekly_hours=2), "not in these hours"),
        (_body(), _needs(weekly_hours=3), None),
        (_body(replace(OFFER, weekly_hours=1)), _needs(weekly_hours=3), "not in all of these hours"),
        (_body(booked_hours="2"), _needs(max_seconds=7200), "rented already"),
        (_body(replace(OFFER, weekly_hours=1 << 50)), NEEDS, "not in these hours"),
        (_body(booked_hours="1"), NEEDS, "rented already"),
        (_body(booked_hours="2"), NEEDS, None),
        (_body(worker_connected=False), NEEDS, "with its worker away"),
    ],
)
def test_objection__offer__is_named(body: OfferBody, needs: Requirements, reason: str | None) -> None:
    assert objection(body, needs, MONDAY) == reason


def test_require_fitting__objection__is_raised() -> None:
    with pytest.raises(Expired, match="valid until"):
        require_fitting(OFFER, Refusal.EXPIRED, OFFER.valid_until + 1)
    with pytest.raises(BadInput, match="is rented already"):
        require_fitting(OFFER, Refusal.RENTED, MONDAY)
    require_fitting(OFFER, None, MONDAY)


def test_objection_to_terms__signed_offer__needs_no_list_and_no_worker() -> None:
    assert objection_to_terms(OFFER, 0, NEEDS, MONDAY) is None
    assert objection_to_terms(OFFER, 1, NEEDS, MONDAY) == "rented already"
    late = OFFER.valid_until + 1
    assert objection_to_terms(OFFER, 0, NEEDS, late) == "expired"


HALF_PAST = MONDAY + HOUR_SECONDS // 2


@pytest.mark.parametrize(
    ("schedule", "window"),
    [
        (Schedule(600, 600), (HALF_PAST, 600, 600, 0b1)),
        # Half of the first hour, all of the second, half of the third.
        (Schedule(7200, 7200), (HALF_PAST, 7200, 7200, 0b111)),
        # Of those hours the second alone: the half hours at both ends are not scheduled.
        (Schedule(7200, 7200, weekly_hours=0b10), (HALF_PAST, 7200, 7200, 0b10)),
        # Hours that it can be topped up into are its own from the start.
        (Schedule(600, 7200), (HALF_PAST, 600, 7200, 0b111)),
        # No further than the offer goes.
        (Schedule(600, 90_000), (HALF_PAST, 600, 7200, 0b111)),
        (Schedule(600, 600, start=HALF_PAST + 3600), (HALF_PAST + 3600, 600, 600, 0b10)),
        # What is over cannot be rented any more.
        (Schedule(600, 600, start=MONDAY), (HALF_PAST, 600, 600, 0b1)),
        (Schedule(600, 0, start=MONDAY, end=HALF_PAST + 60), (HALF_PAST, 60, 60, 0b1)),
    ],
)
def test_window_of__schedule__is_the_lease_meant(
    schedule: Schedule, window: tuple[int, int, int, int]
) -> None:
    found = window_of(OFFER, HALF_PAST, schedule)
    start, seconds, max_seconds, hours = window
    assert (found.start, found.end, found.max_end) == (start, start + seconds, start + max_seconds)
    assert found.weekly_hours == hours


def test_deposit_of__calendar_lease__counts_scheduled_seconds_alone() -> None:
    window = window_of(OFFER, HALF_PAST, Schedule(7200, 7200, weekly_hours=0b101))
    terms = draft_terms(OFFER, OFFER.provider, window, 100, hash_struct(OFFER), salt=5)
    # Two half hours, at 1,000 base units a second.
    assert deposit_of(terms) == 3_600_000
    assert deposit_of(terms, HALF_PAST + 900) == 900_000


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (MONDAY, MONDAY + 1, 1),
        (MONDAY, MONDAY + 3600, 1),
        (MONDAY, MONDAY + 3601, 3),
        (MONDAY - 1, MONDAY + 1, 1 | 1 << 167),
        (MONDAY, MONDAY + 7 * 86_400, ALWAYS),
        (MONDAY + 5, MONDAY + 9 * 86_400, ALWAYS),
    ],
)
def test_touched_hours__interval__is_covered_and_no_more(start: int, end: int, hours: int) -> None:
    assert touched_hours(start, end) == hours
    assert scheduled_seconds(hours, start, end) == end - start


def test_deposit__terms__is_price_times_scheduled_rounded_up() -> None:
    offer = replace(OFFER, price_per_hour=1, weekly_hours=1)
    window = window_of(offer, MONDAY + 1800, Schedule(3600, 3600))
    terms = draft_terms(offer, OFFER.provider, window, 100, hash_struct(offer), salt=5)
    assert window.weekly_hours == 1
    assert deposit_of(terms) == 1
    assert deposit_of(replace(terms, offer=OFFER, weekly_hours=ALWAYS)) == 3_600_000
