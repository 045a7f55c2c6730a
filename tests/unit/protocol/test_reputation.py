"""Reputation: exact weights, what counts, and what a ring of wallets pays for a score."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as ev
from protocol.accrual import fee_units, pay_units
from protocol.ledger import LedgerState, apply, fold
from protocol.ledger.reputation import scores
from protocol.reputation import (
    COUNTERPARTIES,
    HALF_LIFE_DAYS,
    Custom,
    halved,
    score_units,
    score_weight,
    weight_at,
    with_lease,
)
from protocol.units import Address, address_of
from tests.unit.protocol import history as h
from tests.unit.protocol import later_history as later
from tests.unit.protocol.parties import TOKEN

DAY = 86_400
NOW = 1_800_000_000
PROVIDER = address_of(b"\x01" * 20)


def renter(number: int) -> Address:
    return address_of(number.to_bytes(20))


def custom(number: int, fees: int = 0, ended_at: int = NOW, share: tuple[int, int] = (0, 0)) -> Custom:
    return with_lease(Custom(PROVIDER, TOKEN, renter(number)), ended_at, fees, *share)


def score(customs: list[Custom], now: int = NOW) -> int:
    return score_units(score_weight(customs), now)


@pytest.mark.parametrize("day", range(0, HALF_LIFE_DAYS, 9))
def test_weight__day_of_a_half_life__is_the_exact_root_rounded_down(day: int) -> None:
    weight = weight_at(1_735_689_600 + day * DAY)
    wanted = 1 << HALF_LIFE_DAYS * 32 + day
    assert weight**HALF_LIFE_DAYS <= wanted < (weight + 1) ** HALF_LIFE_DAYS


def test_score__no_custom__is_zero() -> None:
    assert score([]) == 0


@pytest.mark.parametrize(("half_lives", "left"), [(0, 400_000), (1, 200_000), (2, 100_000), (60, 0)])
def test_score__time_passes__halves(half_lives: int, left: int) -> None:
    customs = [custom(number, 100_000) for number in range(COUNTERPARTIES)]
    assert score(customs, NOW + half_lives * HALF_LIFE_DAYS * DAY) == left


def test_score__one_renter__counts_for_a_quarter_however_much_it_pays() -> None:
    assert score([custom(1, 1000)]) == 250
    assert score([custom(1, 1000), custom(2, 200)]) == 300 + 200
    assert score([custom(number, 250) for number in range(4)]) == 1000


def test_score__seconds_not_served__lower_it_by_what_they_would_have_paid() -> None:
    served = [custom(number, 100, share=(100, 100)) for number in range(4)]
    assert score(served) == 400
    missed = custom(5, 0, share=(0, 400))
    assert score([*served, missed]) == 200
    # A great many seconds that cost next to nothing hide no failure.
    assert score([*served, missed, custom(6, 1, share=(1, 1))]) == 200


def test_halved__score__is_half_and_the_share_stays() -> None:
    customs = [custom(number, 1000, share=(500, 1000)) for number in range(4)]
    assert score(customs) == 2000
    assert score([halved(item) for item in customs]) == 1000


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 2 * HALF_LIFE_DAYS), st.integers(0, 10**12)),
        max_size=60,
    )
)
def test_score__any_ring__never_exceeds_the_fees_paid(leases: list[tuple[int, int, int]]) -> None:
    """Wallet, age in days and fee of each lease that a ring opens with itself and serves to the second."""
    ring: dict[int, Custom] = {}
    for wallet, age_days, fee in leases:
        before = ring.get(wallet) or Custom(PROVIDER, TOKEN, renter(wallet))
        ring[wallet] = with_lease(before, NOW - age_days * DAY, fee, fee, fee)
    customs = list(ring.values())
    spent = sum(fee for _, _, fee in leases)
    assert score(customs) <= spent
    # Leases with wallets that no fee was paid for add nothing.
    idle = [Custom(PROVIDER, TOKEN, renter(100 + number)) for number in range(50)]
    assert score_weight([*customs, *idle]) == score_weight(customs)


def ring_score(budget: int, wallets: int, draw: random.Random) -> int:
    """What a budget of fees buys, cut at random among so many wallets and the days of a year."""
    cuts = sorted(draw.randint(0, budget) for _ in range(3 * wallets))
    ring = {number: Custom(PROVIDER, TOKEN, renter(number)) for number in range(wallets)}
    for begin, end in zip([0, *cuts], [*cuts, budget], strict=True):
        wallet, age_days = draw.randrange(wallets), draw.randrange(365)
        fee = end - begin
        ring[wallet] = with_lease(ring[wallet], NOW - age_days * DAY, fee, fee, fee)
    return score(list(ring.values()))


def test_ring__more_wallets__buy_nothing_beyond_the_fees() -> None:
    draw, budget = random.Random(7), 10**9
    best = {n: max(ring_score(budget, n, draw) for _ in range(40)) for n in (1, 2, 4, 16, 64, 256)}
    assert all(found <= budget for found in best.values()), best
    assert best[1] <= budget // COUNTERPARTIES
    # The dearest ring that can be: all on the last day, evenly among just enough wallets. It pays its score.
    perfect = [custom(number, budget // COUNTERPARTIES) for number in range(COUNTERPARTIES)]
    assert score(perfect) == budget


def test_ring__score_wanted__costs_at_least_as_much_and_grows_with_it() -> None:
    """The least budget that reaches a score, for the best strategy there is: never less than the score."""
    least: list[int] = []
    for wanted in (10**6, 10**7, 10**8, 10**9):
        budget = wanted // 2
        while score([custom(n, budget // COUNTERPARTIES) for n in range(COUNTERPARTIES)]) < wanted:
            budget += max(1, wanted // 100)
        least.append(budget)
        assert budget >= wanted
    assert all(dearer >= 10 * cheaper * 99 // 100 for cheaper, dearer in pairwise(least))


@given(st.lists(st.integers(0, 10**9), max_size=8), st.lists(st.integers(0, 10**9), max_size=20))
def test_ring__beside_honest_customers__gains_at_most_what_they_paid(
    honest: list[int], washed: list[int]
) -> None:
    customs = [custom(number, fee) for number, fee in enumerate(honest)]
    ring = [custom(1000 + number, fee) for number, fee in enumerate(washed)]
    before, after = score(customs), score([*customs, *ring])
    assert before <= after <= sum(honest) + sum(washed)


def test_ledger__closed_lease__counts_its_fee_and_the_share_served() -> None:
    state = fold(h.PARAMETERS, h.history())
    (found,) = state.customs.values()
    owed = fee_units(pay_units(h.PRICE, h.NOTICED_END - h.START + h.PENALTY), 100)
    expected = with_lease(
        Custom(h.PROVIDER_ADDRESS, TOKEN, h.RENTER_ADDRESS), h.NOTICED_END, h.FEES[1], h.FEES[1], owed
    )
    assert found == expected
    weight = h.FEES[1] * weight_at(h.NOTICED_END) // COUNTERPARTIES * h.FEES[1] // owed
    assert scores(state.customs.values()) == {(h.PROVIDER_ADDRESS, TOKEN): pytest.approx(weight, abs=2)}


def test_ledger__open_lease__counts_nothing_yet() -> None:
    closed = next(n for n, (event, _) in enumerate(h.history()) if isinstance(event, ev.LeaseClosed))
    assert fold(h.PARAMETERS, h.history()[:closed]).customs == {}


def state_after(kind: type[ev.Event]) -> tuple[LedgerState, LedgerState]:
    """Before and after the first event of this kind of a provider that has some name already."""
    told = [*h.history(), *later.later_history()]
    index = next(n for n, (event, _) in enumerate(told) if isinstance(event, kind))
    before = fold(h.PARAMETERS, told[:index])
    lease = before.leases[told[index][0].lease_id]  # type: ignore[attr-defined]
    known = Custom(lease.terms.offer.provider, TOKEN, renter(9), fees=1000, served=3, owed=4)
    other = replace(known, provider=renter(8))
    for entry in (known, other):
        before.customs[entry.provider, entry.token, entry.renter] = entry
    after = fold(h.PARAMETERS, told[:index])
    after.customs.update(before.customs)
    after.merge(apply(after, *told[index]))
    return before, after


@pytest.mark.parametrize("kind", [ev.LeaseBreached, ev.BondSlashed])
def test_ledger__slashed__halves_all_that_its_provider_had(kind: type[ev.Event]) -> None:
    before, after = state_after(kind)
    changed = {key for key, entry in after.customs.items() if entry != before.customs[key]}
    assert {key[0] for key in changed} == {later.OWNER}
    for key in changed:
        assert after.customs[key] == halved(before.customs[key])
    assert after.customs[later.OWNER, TOKEN, renter(9)].fees == 500


def test_ledger__breached_lease_closed__owes_all_of_it_and_counts_no_fee() -> None:
    told = [*h.history(), *later.later_history()]
    breached = next(e.lease_id for e, _ in told if isinstance(e, ev.LeaseBreached))
    closing = next(
        n for n, (e, _) in enumerate(told) if isinstance(e, ev.LeaseClosed) and e.lease_id == breached
    )
    before, after = fold(h.PARAMETERS, told[:closing]), fold(h.PARAMETERS, told[: closing + 1])
    lease = after.leases[breached]
    key = (lease.terms.offer.provider, lease.terms.offer.token, lease.renter)
    sooner, later_ = before.customs.get(key, Custom(*key)), after.customs[key]
    assert later_.fees == sooner.fees
    assert later_.served == sooner.served
    assert later_.owed > sooner.owed
