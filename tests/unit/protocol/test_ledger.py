"""The ledger follows the contracts, and notices every event that they would not have emitted."""

import copy
import dataclasses
from dataclasses import replace
from enum import IntEnum
from typing import Any

import pytest

from protocol import events as ev
from protocol.errors import InvariantBroken
from protocol.ledger import Changes, LedgerState, apply, check, fold
from protocol.structs import LeaseStatus, LeaseTerms
from protocol.units import ZERO_ADDRESS
from tests.unit.protocol import history as h
from tests.unit.protocol import later_history as later
from tests.unit.protocol.parties import TOKEN

HISTORY = [*h.history(), *later.later_history()]

# What no rule of the contracts decides: whom money goes to, why notice was given, keys, memory.
FREE = {
    "OwnershipTransferred": {"previous_owner", "new_owner"},
    "TreasuryChanged": {"treasury"},
    "WorkerRotated": {"worker", "encryption_key"},
    "NoticeGiven": {"reason", "evidence"},
    "StakeWithdrawn": {"to"},
    "Withdrawn": {"to"},
    "CompensationWithdrawn": {"to"},
    "TokenSet": {"token", "allowed", "fee_bps"},
    "Staked": {"provider", "amount"},
    "EpochRaised": {"provider"},
    "SaltCancelled": {"provider", "salt"},
    "Relayed": {"account", "relayer"},
    "OrderPosted": {"order_digest"},
    "OrderAnswered": {"accepted"},
    "LeaseTransferred": {"price"},
    "DisputeEnded": {"pending_seconds"},
    "UnitEvicted": {"by_unit_id"},
    "UnbondingStarted": {"unbonding"},
    "UnitRegistered": {"unit"},
}


def folded(events: list[tuple[ev.Event, int]]) -> LedgerState:
    state = fold(h.PARAMETERS, events)
    check(state)
    return state


def state_before(index: int) -> LedgerState:
    return folded(HISTORY[:index])


def index_of(cls: type[ev.Event], occurrence: int = 0) -> int:
    return [index for index, (event, _) in enumerate(HISTORY) if type(event) is cls][occurrence]


def test_fold__whole_history__adds_up() -> None:
    state = folded(HISTORY)
    lease = state.leases[h.LEASE_ID]
    assert lease.status is LeaseStatus.CLOSED
    assert (lease.end, lease.penalty_seconds, lease.settled_seconds) == (h.NOTICED_END, h.PENALTY, h.SERVED)
    assert lease.paid_units + lease.fee_units + lease.refund_units == lease.deposit_units == h.DEPOSIT
    assert lease.compensation_units == h.COMPENSATION > 0
    provider = state.providers[h.PROVIDER_ADDRESS]
    assert (provider.stake_units, provider.locked_units, provider.unbonding_units) == (0, 0, 0)
    assert set(state.credits.values()) == {0} == set(state.compensations.values())
    assert (set(state.fees.values()), state.burned_units) == ({0}, 0)
    assert not {unit.booked_hours for unit in state.units.values()} - {0}
    assert all(proof.settled is not proof.void for proof in state.proofs.values())
    assert state.offers[h.OFFER_HASH].listed is False


def test_fold__every_prefix__is_sound() -> None:
    for length in range(len(HISTORY) + 1):
        folded(HISTORY[:length])


def test_apply__any_event__leaves_the_state_alone() -> None:
    state = LedgerState.empty(h.PARAMETERS)
    for event, time in HISTORY:
        before = copy.deepcopy(state)
        changes = apply(state, event, time)
        assert state == before
        state.merge(changes)


def test_apply__ownership__changes_nothing() -> None:
    assert apply(LedgerState.empty(h.PARAMETERS), HISTORY[0][0], 0) == Changes()


def test_history__event_classes__are_all_of_market_and_registry_but_the_first_step_of_a_transfer() -> None:
    of_others = {ev.OwnershipTransferStarted} | {
        cls
        for cls in ev.EVENTS.values()
        if cls.__module__ in ("protocol.events.quorum", "protocol.events.court")
        and cls is not ev.OwnershipTransferred
    }
    assert {type(event) for event, _ in HISTORY} == set(ev.EVENTS.values()) - of_others


def test_lease__while_open__is_as_the_contract_stores_it() -> None:
    state = state_before(index_of(ev.Settled))
    lease = state.leases[h.LEASE_ID]
    assert (lease.status, lease.pending, lease.pending_seconds) == (LeaseStatus.OPEN, True, 500)
    assert lease.matures_at == h.START + 600 + h.CHALLENGE
    assert lease.proof_hash == h.FIRST_HASH
    assert lease.scheduled_seconds == 3600
    assert state.providers[h.PROVIDER_ADDRESS].locked_units == h.OFFERED.bond
    assert state.units[h.UNIT_ID].booked_hours == h.LEASED.weekly_hours
    after = folded(HISTORY[: index_of(ev.Settled) + 1])
    assert after.credits[TOKEN, h.PROVIDER_ADDRESS] == h.GROSS[0] - h.FEES[0]
    assert after.fees[TOKEN] == h.FEES[0]


def altered(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        field = dataclasses.fields(value)[-1]
        return replace(value, **{field.name: altered(getattr(value, field.name))})
    if isinstance(value, bool):
        return not value
    if isinstance(value, IntEnum):
        return type(value)((value + 1) % len(type(value)))
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return value[::-1] if len(value) > 1 else (altered(value[0]),)
    if isinstance(value, str):
        return ZERO_ADDRESS
    return bytes([value[0] ^ 1]) + value[1:]


TAMPERINGS = [
    (index, field.name)
    for index, (event, _) in enumerate(HISTORY)
    for field in dataclasses.fields(event)
    if field.name != "position" and field.name not in FREE.get(type(event).__name__, set())
]


@pytest.mark.parametrize(
    ("index", "field"),
    TAMPERINGS,
    ids=[f"{type(HISTORY[i][0]).__name__}-{i}-{name}" for i, name in TAMPERINGS],
)
def test_apply__one_field_altered__is_noticed_at_once(index: int, field: str) -> None:
    event, time = HISTORY[index]
    state = state_before(index)
    with pytest.raises(InvariantBroken) as caught:
        apply(state, replace(event, **{field: altered(getattr(event, field))}), time)
    assert type(event).__name__ in str(caught.value)


@pytest.mark.parametrize("index", range(len(HISTORY)), ids=[type(event).__name__ for event, _ in HISTORY])
def test_fold__event_left_out__is_noticed_or_the_state_differs(index: int) -> None:
    whole, cut = folded(HISTORY), HISTORY[:index] + HISTORY[index + 1 :]
    if isinstance(HISTORY[index][0], ev.OwnershipTransferred | ev.UnbondingCancelled):
        return  # the one changes no state, after the other an UnbondingStarted states the whole sum
    try:
        assert folded(cut) != whole
    except InvariantBroken:
        return


REPEATABLE = (
    ev.OwnershipTransferred,
    ev.TreasuryChanged,
    ev.TokenSet,
    ev.Staked,
    ev.WorkerRotated,
    ev.OfferTaken,
    ev.SaltCancelled,
)


@pytest.mark.parametrize("index", range(len(HISTORY)), ids=[type(event).__name__ for event, _ in HISTORY])
def test_apply__event_twice__is_noticed_unless_it_may_be_repeated(index: int) -> None:
    event, time = HISTORY[index]
    state = folded(HISTORY[: index + 1])
    if isinstance(event, REPEATABLE):
        apply(state, event, time)
        return
    if isinstance(event, ev.NoticeGiven):
        event = replace(event, penalty_seconds=event.penalty_seconds + 1)
    with pytest.raises(InvariantBroken):
        apply(state, event, time)


@pytest.mark.parametrize(
    ("cls", "occurrence", "time"),
    [
        (ev.LeaseOpened, 0, h.START + 1),
        (ev.LeaseOpened, 0, h.START - 8 * 86_400),
        (ev.ProofPosted, 0, h.START - 1),
        (ev.ProofPosted, 1, h.NOTICED_END + h.GRACE + 1),
        (ev.ProofPosted, 0, h.START + 499),
        (ev.Settled, 0, h.START + 600 + h.CHALLENGE - 1),
        (ev.NoticeGiven, 0, h.START + 3600),
        (ev.NoticeGiven, 0, h.START + 1001),
        (ev.HoursReleased, 0, h.NOTICED_END - 1),
        (ev.LeaseClosed, 0, h.NOTICED_END + h.GRACE),
        (ev.UnbondingStarted, 0, h.START),
        (ev.StakeWithdrawn, 0, h.CLOSING + 4 + h.UNBONDING),
    ],
)
def test_apply__event_at_a_time_when_it_cannot_happen__is_noticed(
    cls: type[ev.Event], occurrence: int, time: int
) -> None:
    index = index_of(cls, occurrence)
    with pytest.raises(InvariantBroken):
        apply(state_before(index), HISTORY[index][0], time)


@pytest.mark.parametrize("change", [{"provider": h.TREASURY}, {"gpu_count": 1}, {"node_id": bytes(32)}])
def test_apply__unit_unlike_its_id_or_owner__is_noticed(change: dict[str, Any]) -> None:
    index = index_of(ev.UnitRegistered)
    event, time = HISTORY[index]
    assert isinstance(event, ev.UnitRegistered)
    with pytest.raises(InvariantBroken):
        apply(state_before(index), replace(event, unit=replace(event.unit, **change)), time)


def test_apply__second_lease_on_booked_hours__is_noticed() -> None:
    index = index_of(ev.LeaseOpened)
    state = folded(HISTORY[: index + 1])
    event = HISTORY[index][0]
    assert isinstance(event, ev.LeaseOpened)
    terms = replace(h.LEASED, salt=99)
    other = replace(event, terms=LeaseTerms.of(terms), lease_id=h.lease_id(h.DOMAIN, terms))
    with pytest.raises(InvariantBroken, match="hours booked already"):
        apply(state, other, HISTORY[index][1])


def test_apply__bond_beyond_the_free_stake__is_noticed() -> None:
    index = index_of(ev.LeaseOpened)
    state = state_before(index)
    poor = replace(state.providers[h.PROVIDER_ADDRESS], unbonding_units=4500)
    state.merge(Changes(providers=(poor,)))
    with pytest.raises(InvariantBroken, match="at most 500 free"):
        apply(state, *HISTORY[index])


def test_apply__renters_notice__follows_its_own_rule() -> None:
    index = index_of(ev.NoticeGiven)
    state, event = state_before(index), HISTORY[index][0]
    assert isinstance(event, ev.NoticeGiven)
    by_renter = replace(event, by=h.RENTER_ADDRESS, penalty_seconds=0)
    state.merge(apply(state, by_renter, h.START + 1000))
    assert state.leases[h.LEASE_ID].penalty_seconds == 0
    early = replace(by_renter, end=h.START + h.OFFERED.min_seconds)
    apply(state_before(index), early, h.START + 20)
    cancelled = replace(by_renter, end=h.START)
    apply(state_before(index), cancelled, h.START - 31)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {"providers": (replace(s.providers[h.PROVIDER_ADDRESS], locked_units=1),)},
            "stake locked",
        ),
        (
            lambda s: {"providers": (replace(s.providers[h.PROVIDER_ADDRESS], unbonding_units=4001),)},
            "free stake",
        ),
        (lambda s: {"units": (replace(s.units[h.UNIT_ID], booked_hours=1),)}, "booked hours"),
        (lambda s: {"units": (replace(s.units[h.UNIT_ID], gpu_ids=h.GPU_IDS[:1]),)}, "GPUs in units"),
        (
            lambda s: {"leases": (replace(s.leases[h.LEASE_ID], refund_units=h.DEPOSIT + 1),)},
            "money of lease",
        ),
    ],
)
def test_check__state_that_does_not_add_up__is_noticed(change: Any, message: str) -> None:
    state = state_before(index_of(ev.ProofPosted))
    state.merge(Changes(**change(state)))
    with pytest.raises(InvariantBroken, match=message):
        check(state)
