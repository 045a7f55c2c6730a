"""Accrual in constant time is what counting second by second gives."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.accrual import (
    ALWAYS,
    HEARTBEAT_SECONDS,
    compensation_units,
    covered_seconds,
    deposit_units,
    fee_units,
    pay_units,
    scheduled_seconds,
)
from protocol.errors import BadInput

MASK = st.integers(0, ALWAYS)
INSTANT = st.integers(0, 2**33)
HOUR, WEEK = 3600, 7 * 24 * 3600
MONDAY = 1_767_571_200  # 2026-01-05 00:00 UTC


def is_scheduled(mask: int, second: int) -> bool:
    moment = datetime.fromtimestamp(second, UTC)
    return bool(mask >> (moment.weekday() * 24 + moment.hour) & 1)


def test_monday__the_instant_of_these_tests__is_one() -> None:
    assert datetime.fromtimestamp(MONDAY, UTC).strftime("%A %H:%M") == "Monday 00:00"


@given(MASK, INSTANT, st.integers(0, 3 * HOUR))
def test_scheduled_seconds__short_interval__equals_counting_each_second(
    mask: int, start: int, length: int
) -> None:
    naive = sum(is_scheduled(mask, second) for second in range(start, start + length))
    assert scheduled_seconds(mask, start, start + length) == naive


@given(MASK, INSTANT, st.integers(0, 5 * WEEK))
def test_scheduled_seconds__long_interval__equals_counting_each_hour(
    mask: int, start: int, length: int
) -> None:
    end, total, second = start + length, 0, start
    while second < end:
        following = min(end, (second // HOUR + 1) * HOUR)
        total += (following - second) * is_scheduled(mask, second)
        second = following
    assert scheduled_seconds(mask, start, end) == total


@given(MASK, INSTANT, INSTANT, INSTANT)
def test_scheduled_seconds__cut_anywhere__adds_up(mask: int, a: int, b: int, c: int) -> None:
    first, middle, last = sorted((a, b, c))
    parts = scheduled_seconds(mask, first, middle) + scheduled_seconds(mask, middle, last)
    assert parts == scheduled_seconds(mask, first, last)
    assert (
        scheduled_seconds(mask, first, last) + scheduled_seconds(ALWAYS ^ mask, first, last) == last - first
    )
    assert scheduled_seconds(mask, last, first) == 0 or first == last


@pytest.mark.parametrize(
    ("mask", "start", "end", "expected"),
    [
        (ALWAYS, MONDAY, MONDAY + 100, 100),
        (1, MONDAY, MONDAY + WEEK, HOUR),
        (1, MONDAY - 10, MONDAY + 10, 10),
        (1 << 167, MONDAY - 10, MONDAY + 10, 10),
        (0, 0, 2**40, 0),
    ],
)
def test_scheduled_seconds__edges__are_exact(mask: int, start: int, end: int, expected: int) -> None:
    assert scheduled_seconds(mask, start, end) == expected


@pytest.mark.parametrize("mask", [-1, 2**168])
def test_scheduled_seconds__not_a_mask__is_refused(mask: int) -> None:
    with pytest.raises(BadInput):
        scheduled_seconds(mask, 0, 1)


PRICE = st.integers(0, 2**96 - 1)
SECONDS = st.integers(0, 2**32 - 1)


@given(PRICE, SECONDS)
def test_deposit__against_pay__covers_it_by_less_than_a_unit(price: int, seconds: int) -> None:
    assert 0 <= deposit_units(price, seconds) - pay_units(price, seconds) <= 1
    assert (
        deposit_units(price, seconds) * 3600 >= price * seconds > (deposit_units(price, seconds) - 1) * 3600
    )


@given(PRICE, st.integers(0, 300), st.lists(SECONDS, min_size=1, max_size=8))
def test_settlement__in_many_steps__pays_as_in_one(price: int, fee_bps: int, claims: list[int]) -> None:
    paid = fees = before = 0
    for settled in sorted(claims):
        gross, gross_before = pay_units(price, settled), pay_units(price, before)
        fee = fee_units(gross, fee_bps) - fee_units(gross_before, fee_bps)
        assert fee >= 0 <= gross - gross_before - fee
        fees, paid, before = fees + fee, paid + gross - gross_before - fee, settled
    gross = pay_units(price, before)
    assert (paid, fees) == (gross - fee_units(gross, fee_bps), fee_units(gross, fee_bps))


@given(PRICE, SECONDS, SECONDS)
def test_compensation__share_not_served__never_exceeds_the_bond(bond: int, a: int, b: int) -> None:
    settled, owed = sorted((a, b))
    amount = compensation_units(bond, owed, settled)
    assert 0 <= amount <= bond
    assert amount == 0 or settled < owed
    assert settled > 0 or owed == 0 or amount == bond


@given(
    st.lists(st.integers(MONDAY - 100, MONDAY + 400), max_size=30),
    MASK,
    st.integers(0, 300),
    st.integers(0, 300),
)
@example([MONDAY, MONDAY + 30, MONDAY + 60], ALWAYS, 0, 300)
@example([0, 0, 5], ALWAYS, 0, 0)
def test_covered_seconds__any_heartbeats__equals_counting_each_second(
    times: list[int], mask: int, begin: int, length: int
) -> None:
    start, end = MONDAY + begin, MONDAY + begin + length
    naive = sum(
        is_scheduled(mask, second) and any(time - HEARTBEAT_SECONDS <= second < time for time in times)
        for second in range(start, end)
    )
    assert covered_seconds(times, mask, start, end) == naive
