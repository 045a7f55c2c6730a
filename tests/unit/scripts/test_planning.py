"""Choosing offers and drafting terms: pure decisions."""

from dataclasses import replace

import pytest

from protocol.accrual import ALWAYS, scheduled_seconds
from protocol.bodies import OfferBody
from protocol.errors import BadInput, Expired
from protocol.structs import Offer, OfferKind
from protocol.typed_data import hash_struct
from protocol.units import Address, UnitId, pack_name, to_hex
from scripts.client.planning import (
    Needs,
    choose_offer,
    deposit_of,
    draft_terms,
    objection,
    require_fitting,
    touched_hours,
    window_of,
)

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
NEEDS = Needs(gpu_class="CPU", gpu_count=1, token=None, max_price_per_hour=None, lease_seconds=600)


def _body(offer: Offer = OFFER, **changed: object) -> OfferBody:
    fields = {
        "offer_hash": to_hex(hash_struct(offer)),
        "offer": offer,
        "listed": True,
        "booked_hours": 0,
        "worker_connected": True,
    }
    return OfferBody.model_validate(fields | changed)


def test_choose_offer__several_fit__takes_the_cheapest() -> None:
    cheap, dear = _body(replace(OFFER, price_per_hour=1)), _body()
    assert choose_offer([dear, cheap], NEEDS, MONDAY) is cheap


def test_choose_offer__none_fits__says_why() -> None:
    offers = [_body(replace(OFFER, gpu_count=8)), _body(booked_hours=str(ALWAYS)), _body(listed=False)]
    with pytest.raises(BadInput) as caught:
        choose_offer(offers, NEEDS, MONDAY)
    assert caught.value.code == "no_offer"
    for reason in ("1 with another number of GPUs", "1 rented already", "1 no longer listed"):
        assert reason in str(caught.value)
    with pytest.raises(BadInput, match="there are none"):
        choose_offer([], NEEDS, MONDAY)


@pytest.mark.parametrize(
    ("body", "needs", "reason"),
    [
        (_body(), NEEDS, None),
        (_body(replace(OFFER, valid_until=MONDAY - 1)), NEEDS, "expired"),
        (_body(), replace(NEEDS, gpu_class="RTX 4090"), "of another class"),
        (_body(), replace(NEEDS, token=OFFER.provider), "in another token"),
        (_body(), replace(NEEDS, max_price_per_hour=3_599_999), "above your price"),
        (_body(), replace(NEEDS, max_price_per_hour=3_600_000), None),
        (_body(), replace(NEEDS, lease_seconds=59), "for other durations"),
        (_body(), replace(NEEDS, lease_seconds=7201), "for other durations"),
        (_body(replace(OFFER, weekly_hours=1 << 50)), NEEDS, "not in these hours"),
        (_body(booked_hours="1"), NEEDS, "rented already"),
        (_body(booked_hours="2"), NEEDS, None),
        (_body(worker_connected=False), NEEDS, "with its worker away"),
    ],
)
def test_objection__offer__is_named(body: OfferBody, needs: Needs, reason: str | None) -> None:
    assert objection(body, needs, MONDAY) == reason


def test_require_fitting__expired__is_its_own_error() -> None:
    with pytest.raises(Expired, match="valid until"):
        require_fitting(_body(replace(OFFER, valid_until=MONDAY - 1)), NEEDS, MONDAY)
    with pytest.raises(BadInput, match="rented already"):
        require_fitting(_body(booked_hours="1"), NEEDS, MONDAY)


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
    window = window_of(offer, MONDAY + 1800, 3600)
    terms = draft_terms(offer, OFFER.provider, window, 100, hash_struct(offer), salt=5)
    assert window.weekly_hours == 1
    assert deposit_of(terms) == 1
    assert deposit_of(replace(terms, offer=OFFER, weekly_hours=ALWAYS)) == 3_600_000
