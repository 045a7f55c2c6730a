"""What the contracts allow and forbid beyond the plain course of a lease, rule by rule."""

from dataclasses import replace
from typing import Any

import pytest

from protocol import events as ev
from protocol.accrual import deposit_units
from protocol.errors import InvariantBroken
from protocol.ledger import Changes, LedgerState, Parameters, apply, check, fold
from protocol.orders import lease_id
from protocol.structs import LeaseStatus, LeaseTerms, NoticeReason, OfferKind
from protocol.units import ZERO_ADDRESS, ZERO_DIGEST, Digest, JobId
from tests.unit.protocol import history as h
from tests.unit.protocol import later_history as later
from tests.unit.protocol.parties import DOMAIN, OFFER, TOKEN

HISTORY = [*h.history(), *later.later_history()]
FROM = later.FROM
AT = HISTORY[-1][0].position


def index_of(cls: type[ev.Event], lease: bytes = later.EXTENDED_ID, occurrence: int = 0) -> int:
    found = [
        index
        for index, (event, _) in enumerate(HISTORY)
        if type(event) is cls and getattr(event, "lease_id", lease) == lease
    ]
    return found[occurrence]


def state_before(cls: type[ev.Event], lease: bytes = later.EXTENDED_ID, occurrence: int = 0) -> LedgerState:
    return fold(h.PARAMETERS, HISTORY[: index_of(cls, lease, occurrence)])


def at(cls: type[ev.Event], lease: bytes = later.EXTENDED_ID, occurrence: int = 0) -> tuple[Any, int]:
    return HISTORY[index_of(cls, lease, occurrence)]


def refused(state: LedgerState, event: ev.Event, time: int, message: str) -> None:
    with pytest.raises(InvariantBroken, match=message):
        apply(state, event, time)


def with_lease(state: LedgerState, **changes: Any) -> LedgerState:
    lease = state.leases[later.EXTENDED_ID]
    state.merge(Changes(leases=(replace(lease, **changes),)))
    return state


def test_offer_taken__salt_cancelled_before__is_noticed() -> None:
    event, time = HISTORY[index_of(ev.LeaseOpened) - 1]
    state = fold(h.PARAMETERS, HISTORY[: index_of(ev.LeaseOpened) - 1])
    apply(state, event, time)
    state.merge(Changes(cancelled_salts=((later.OWNER, later.EXTENDED.offer.salt),)))
    refused(state, event, time, "salt cancelled")


def test_lease_opened__offer_taken_in_another_transaction__is_noticed() -> None:
    event, time = at(ev.LeaseOpened)
    state = state_before(ev.LeaseOpened)
    moved = replace(event.position, transaction_hash=b"\x09" * 32)
    refused(state, replace(event, position=moved), time, "listed, or taken just before")
    later_log = replace(event.position, log_index=event.position.log_index + 1)
    refused(state, replace(event, position=later_log), time, "listed, or taken just before")


def test_lease_opened__offer_listed_and_taken__needs_no_log_before() -> None:
    event, time = at(ev.LeaseOpened)
    state = state_before(ev.LeaseOpened)
    listed = ev.OfferListed(AT, event.offer_hash, later.OWNER, later.EXTENDED.offer)
    state.merge(apply(state, listed, time))
    assert state.offers[event.offer_hash].listed and state.offers[event.offer_hash].taken_at is not None
    apply(state, replace(event, position=replace(event.position, log_index=9)), time)


@pytest.mark.parametrize(
    ("entry", "change", "message"),
    [
        ("providers", {"epoch": 2}, "epoch: expected 2, got 1"),
        ("providers", {"epoch": 0}, "epoch: expected 0, got 1"),
        ("units", {"evicted": True}, "unit evicted"),
        ("units", {"retired": True}, "unit retired"),
    ],
)
def test_lease_opened__unit_or_offer_void__is_noticed(
    entry: str, change: dict[str, Any], message: str
) -> None:
    state = state_before(ev.LeaseOpened)
    key = later.OWNER if entry == "providers" else later.EXTENDED.offer.unit_id
    found = replace(getattr(state, entry)[key], **change)
    state.merge(Changes(**{entry: (found,)}))
    refused(state, *at(ev.LeaseOpened), message)


def test_lease_opened__fee_or_token_changed_meanwhile__is_noticed() -> None:
    state = state_before(ev.LeaseOpened)
    for setting in (ev.TokenSet(AT, TOKEN, True, 99), ev.TokenSet(AT, TOKEN, False, 100)):
        state.merge(apply(state, setting, 0))
        refused(state, *at(ev.LeaseOpened), "fee_bps")
    refused(state, ev.TokenSet(AT, TOKEN, True, 301), 0, "at most 300")


def test_lease_extended__by_others__reaches_max_end_only() -> None:
    state = state_before(ev.LeaseExtended)
    event, time = at(ev.LeaseExtended)
    refused(state, replace(event, payer=later.BUYER), time, f"at most {FROM + 2000}")
    top_up = replace(event, payer=later.BUYER, end=FROM + 2000, deposit=deposit_units(later.PRICE, 2000))
    state.merge(apply(state, top_up, time))
    assert state.leases[later.EXTENDED_ID].end == FROM + 2000
    beyond = FROM + OFFER.max_seconds + 1
    refused(state, replace(event, end=beyond, deposit=deposit_units(later.PRICE, beyond - FROM)), time, "end")


def test_lease_extended__after_notice_or_end__is_noticed() -> None:
    event, time = at(ev.LeaseExtended)
    refused(with_lease(state_before(ev.LeaseExtended), closing=True), event, time, "closing")
    refused(state_before(ev.LeaseExtended), event, FROM + 1000, "time")


def test_proof__while_an_order_waits__claims_up_to_the_time_to_answer() -> None:
    state = state_before(ev.OrderAnswered)
    proof = replace(later.FIRST, proven_seconds=20 + h.ANSWER)
    posted = ev.ProofPosted(AT, later.EXTENDED_ID, h.ProofHash(h.hash_struct(proof)), proof, 0)
    time = FROM + 20 + h.ANSWER + 100
    apply(state, replace(posted, matures_at=time + h.CHALLENGE), time)
    over = replace(proof, proven_seconds=proof.proven_seconds + 1)
    event = replace(posted, proof=over, proof_hash=h.hash_struct(over), matures_at=time + h.CHALLENGE)
    refused(state, event, time, f"0 to {proof.proven_seconds}")


def test_proof__after_a_late_answer__claims_so_much_less() -> None:
    state = state_before(ev.ProofPosted)
    assert state.leases[later.EXTENDED_ID].claimable_seconds(FROM + 320) == 320 - 7
    proof = replace(later.FIRST, proven_seconds=314)
    event = replace(at(ev.ProofPosted)[0], proof=proof, proof_hash=h.hash_struct(proof))
    refused(state, event, FROM + 320, "0 to 313")


def test_order__answered_in_time__loses_nothing() -> None:
    state = state_before(ev.OrderAnswered)
    event, _ = at(ev.OrderAnswered)
    state.merge(apply(state, replace(event, lost_seconds=0), FROM + 21))
    assert state.leases[later.EXTENDED_ID].lost_seconds == 0
    refused(state, event, FROM + 21, "order unanswered")


def test_order__posted_before_the_start__waits_from_there() -> None:
    state = state_before(ev.OrderPosted)
    event, _ = at(ev.OrderPosted)
    apply(state, replace(event, answer_within=h.ANSWER), FROM - 50)
    refused(state, replace(event, order_digest=JobId(ZERO_DIGEST)), FROM + 20, "no order")
    refused(state, event, later.NEW_END, "time")


def test_settled__accepted_proof__needs_no_maturity() -> None:
    state = state_before(ev.Settled)
    apply(state, *at(ev.Settled))
    refused(with_lease(state, accepted=False), *at(ev.Settled), f"at least {FROM + 320 + h.CHALLENGE}")


@pytest.mark.parametrize(
    ("cls", "occurrence", "message"),
    [(ev.Settled, 1, "open disputes"), (ev.ProofPosted, 1, "open disputes")],
)
def test_frozen_proof__while_a_dispute_is_open__moves_nothing(
    cls: type[ev.Event], occurrence: int, message: str
) -> None:
    state = with_lease(state_before(cls, occurrence=occurrence), open_disputes=1)
    refused(state, *at(cls, occurrence=occurrence), message)


def test_dispute__proof_mature_or_another__cannot_open() -> None:
    state = state_before(ev.DisputeOpened)
    event, _ = at(ev.DisputeOpened)
    refused(state, event, FROM + 800 + h.CHALLENGE, "time")
    refused(state, replace(event, proof_hash=later.FIRST_HASH), FROM + 801, "proof_hash")


@pytest.mark.parametrize("seconds", [299, 701])
def test_dispute_ended__more_than_claimed_or_less_than_settled__is_noticed(seconds: int) -> None:
    event, time = at(ev.DisputeEnded)
    refused(state_before(ev.DisputeEnded), replace(event, pending_seconds=seconds), time, "300 to 700")


def test_dispute_ended__late_once_more__moves_the_last_post_on() -> None:
    state = with_lease(
        state_before(ev.DisputeEnded, occurrence=1), moved_last_post=later.NEW_END + h.GRACE + 1
    )
    event, time = at(ev.DisputeEnded, occurrence=1)
    refused(state, replace(event, last_post=later.NEW_END + h.GRACE + 1), time, "last post")
    apply(state, event, time)


@pytest.mark.parametrize("late", [0, 1])
def test_dispute_ended__of_a_proof_posted_in_the_time_won__moves_the_last_post_no_more(late: int) -> None:
    maturity = later.NEW_END + h.GRACE + h.CHALLENGE + late
    won = later.NEW_END + h.GRACE + 1
    before = state_before(ev.DisputeEnded, occurrence=1)
    state = with_lease(before, matures_at=maturity, moved_last_post=won)
    event, time = at(ev.DisputeEnded, occurrence=1)
    right, wrong = (won, event.last_post) if late else (event.last_post, won)
    refused(state, replace(event, last_post=wrong), time, "last post")
    apply(state, replace(event, last_post=right), time)


def test_slashed_bond__anything_but_the_registrys_word_next__is_noticed() -> None:
    state = state_before(ev.DisputeEnded)
    index = index_of(ev.DisputeEnded) - 1
    assert isinstance(HISTORY[index][0], ev.Slashed)
    state = fold(h.PARAMETERS, HISTORY[:index])
    check(state)
    refused(state, *at(ev.DisputeEnded), "expected Slashed, got DisputeEnded")
    unasked = fold(h.PARAMETERS, HISTORY[: index + 1])
    refused(unasked, *HISTORY[index], "provider")


def test_slashed_bond__its_parts__are_the_renters_and_the_courts() -> None:
    index = index_of(ev.DisputeEnded)
    state = fold(h.PARAMETERS, HISTORY[:index])
    assert (state.compensations[later.BUYER], state.compensations[h.COURT]) == later.SLASHED[:2]
    assert state.burned_units == later.SLASHED[2]
    owner = state.providers[later.OWNER]
    assert (owner.stake_units, owner.locked_units) == (later.STAKE - later.BOND, 0)
    assert state.leases[later.EXTENDED_ID].locked_bond == 0


def test_bond_slashed__once_already__is_noticed_and_breach_takes_nothing_more() -> None:
    state = with_lease(state_before(ev.BondSlashed), bond_slashed=True)
    refused(state, *at(ev.BondSlashed), "slashed before")
    breach = ev.LeaseBreached(AT, later.EXTENDED_ID, later.SECOND_HASH, FROM + 900, 0)
    state.merge(apply(state, breach, FROM + 900))
    lease = state.leases[later.EXTENDED_ID]
    assert (lease.status, lease.open_disputes, lease.pending) == (LeaseStatus.BREACHED, 0, False)
    assert state.slashing.units == 0 and state.proofs[later.SECOND_HASH].void


def test_breached_lease__any_proof_notice_or_extension__is_noticed() -> None:
    state = fold(h.PARAMETERS, HISTORY[: index_of(ev.HoursReleased, later.BREACHED_ID)])
    again = replace(later.FALSE, previous_proof=later.FALSE_HASH)
    posted = ev.ProofPosted(AT, later.BREACHED_ID, h.hash_struct(again), again, 0)
    refused(state, posted, FROM + 301, "status")
    opened = ev.DisputeOpened(AT, later.BREACHED_ID, later.FALSE_HASH, 1)
    refused(state, opened, FROM + 201, "status")


def test_transferred_lease__notice__is_its_new_renters() -> None:
    state = state_before(ev.ProofPosted, occurrence=1)
    assert state.credits[TOKEN, h.RENTER_ADDRESS] >= 55
    end = FROM + 500 + OFFER.notice_seconds
    notice = ev.NoticeGiven(
        AT, later.EXTENDED_ID, h.RENTER_ADDRESS, end, 0, NoticeReason.WORK_DONE, ZERO_DIGEST
    )
    refused(state, notice, FROM + 500, "by provider or renter")
    apply(state, replace(notice, by=later.BUYER), FROM + 500)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"closing": True}, "closing"),
        ({"open_disputes": 1}, "open disputes"),
        ({"posted_order": later.ORDER}, "order posted"),
        ({"renters": (later.BUYER,)}, "from"),
        ({"end": FROM + 400}, "time"),
    ],
)
def test_transfer__not_as_the_parties_signed_it__is_noticed(change: dict[str, Any], message: str) -> None:
    state = with_lease(state_before(ev.LeaseTransferred), **change)
    refused(state, *at(ev.LeaseTransferred), message)


def test_transfer__to_nobody__is_noticed() -> None:
    event, time = at(ev.LeaseTransferred)
    refused(state_before(ev.LeaseTransferred), replace(event, to=ZERO_ADDRESS), time, "to nobody")


MORE_GPUS = replace(later.FAILED.offer, gpu_count=later.FAILED.offer.gpu_count + 1)


def failed(**changes: Any) -> tuple[LedgerState, ev.FailedOver, int]:
    event, time = at(ev.FailedOver, later.FAILED_ID)
    state = state_before(ev.FailedOver, later.FAILED_ID)
    state.merge(Changes(leases=(replace(state.leases[later.FAILED_ID], **changes),)))
    return state, event, time


def test_failover__after_no_notice_of_a_reserved_lease__owes_what_is_cut_off() -> None:
    state, event, time = failed(provider_failed=False, closing=False, end=FROM + 1000, penalty_seconds=0)
    refused(state, event, time, "end")
    event = replace(event, end=time)
    refused(state, replace(event, penalty_seconds=0), time, "penalty seconds")
    state.merge(apply(state, replace(event, penalty_seconds=600), time))
    assert state.leases[later.FAILED_ID].provider_failed


def test_failover__after_a_notice_that_has_run_out__cuts_nothing_more() -> None:
    state, event, time = failed(end=later.MOVED_AT - 5)
    refused(state, event, time, "end")
    state.merge(apply(state, replace(event, end=later.MOVED_AT - 5), time))
    assert state.leases[later.FAILED_ID].penalty_seconds == event.penalty_seconds


def test_failover__while_a_notice_runs__owes_more_only_where_the_lease_ends_at_once() -> None:
    state, event, time = failed()
    refused(state, replace(event, penalty_seconds=event.penalty_seconds + 20), time, "penalty seconds")
    at_once = replace(event, end=time)
    refused(state, at_once, time, "penalty seconds")
    left = event.end - time
    state.merge(apply(state, replace(at_once, penalty_seconds=event.penalty_seconds + left), time))
    assert state.leases[later.FAILED_ID].end == time


def test_failover__more_than_is_left__is_noticed() -> None:
    state, event, time = failed(deposit_units=deposit_units(later.PRICE, 920) - 1)
    refused(state, event, time, "deposit left")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"renters": (h.RENTER_ADDRESS, later.BUYER)}, "transfers before"),
        ({"hops": 3}, "hops"),
        ({"failed_over": True}, "failed over before"),
        ({"end": later.MOVED_AT, "provider_failed": False}, "time"),
        ({"terms": replace(later.FAILED, renter=later.BUYER)}, "next lease's renter"),
        ({"terms": replace(later.FAILED, policy_hash=Digest(b"\1" * 32))}, "next lease's policy"),
        ({"terms": replace(later.FAILED, first_order=Digest(b"\1" * 32))}, "next lease's first order"),
        ({"terms": replace(later.FAILED, offer=MORE_GPUS)}, "next lease's GPUs"),
    ],
)
def test_failover__lease_that_allows_none__is_noticed(change: dict[str, Any], message: str) -> None:
    state, event, time = failed(**change)
    refused(state, event, time, message)


def test_failover__next_lease_opened_in_another_transaction__is_noticed() -> None:
    state, event, time = failed()
    moved = replace(event.position, transaction_hash=b"\x09" * 32)
    refused(state, replace(event, position=moved), time, "next lease's transaction")


def test_failover__money__is_the_next_leases() -> None:
    state, event, time = failed()
    state.merge(apply(state, event, time))
    check(state)
    old, new = state.leases[later.FAILED_ID], state.leases[later.NEXT_ID]
    assert old.moved_units == new.deposit_units == event.moved
    assert old.funded_units == deposit_units(later.PRICE, 1000)
    assert (old.end, old.closing, new.hops) == (event.end, True, 1)


def gang_state(failing: bool) -> tuple[LedgerState, ev.NoticeGiven, int]:
    """Two leases of one gang, each to last at least 3000 s; the renter's notice on one of them."""
    state = fold(h.PARAMETERS, HISTORY[: index_of(ev.LeaseExtended)])
    lease = state.leases[later.EXTENDED_ID]
    offer = replace(lease.terms.offer, min_seconds=3000)
    gang = replace(
        lease, terms=replace(lease.terms, offer=offer, gang_id=Digest(b"\5" * 32)), end=FROM + 4000
    )
    other = replace(gang, lease_id=later.BREACHED_ID, provider_failed=failing)
    state.merge(Changes(leases=(gang, other)))
    end = FROM + 100 + OFFER.notice_seconds
    notice = ev.NoticeGiven(
        AT, later.EXTENDED_ID, h.RENTER_ADDRESS, end, 0, NoticeReason.GANG_FAILED, ZERO_DIGEST
    )
    return state, notice, FROM + 100


def test_gang__provider_of_another_failed__ends_before_the_least_duration() -> None:
    state, notice, time = gang_state(failing=True)
    state.merge(apply(state, notice, time))
    assert state.leases[later.EXTENDED_ID].end == notice.end
    apply(state, replace(notice, reason=NoticeReason.GANG_FAILED), time)


def test_gang__nobody_failed_or_another_reason__keeps_to_the_least_duration() -> None:
    state, notice, time = gang_state(failing=False)
    refused(state, notice, time, "end")
    state, notice, time = gang_state(failing=True)
    refused(state, replace(notice, reason=NoticeReason.WORK_DONE), time, "end")
    apply(state, replace(notice, end=FROM + 3000), time)


def test_idle_lease__notice_and_close__owe_nothing() -> None:
    state = state_before(ev.NoticeGiven, later.FAILED_ID)
    lease = state.leases[later.FAILED_ID]
    idle = replace(lease, terms=replace(lease.terms, offer=replace(lease.terms.offer, kind=OfferKind.IDLE)))
    state.merge(Changes(leases=(idle,)))
    event, time = at(ev.NoticeGiven, later.FAILED_ID)
    refused(state, event, time, "penalty seconds")
    state.merge(apply(state, replace(event, penalty_seconds=0), time))
    assert state.leases[later.FAILED_ID].provider_failed


def test_relayed__nonce_used_or_skipped__is_noticed() -> None:
    state = fold(h.PARAMETERS, HISTORY)
    for nonce in (0, 2):
        refused(state, ev.Relayed(AT, h.RENTER_ADDRESS, nonce, h.TREASURY), 0, "nonce: expected 1")
    apply(state, ev.Relayed(AT, h.RENTER_ADDRESS, 1, h.TREASURY), 0)


def test_registered_unit__gpu_of_a_unit_that_was_not_evicted__is_noticed() -> None:
    index = next(i for i, (event, _) in enumerate(HISTORY) if isinstance(event, ev.UnitEvicted))
    refused(fold(h.PARAMETERS, HISTORY[:index]), *HISTORY[index + 1], "unit of GPU")


def test_lease_terms__under_their_offer__are_the_terms() -> None:
    terms = later.EXTENDED
    assert LeaseTerms.of(terms).under(terms.offer, terms.renter) == terms
    assert lease_id(DOMAIN, terms) == later.EXTENDED_ID


def test_parameters__allowed_tokens__are_those_with_a_fee() -> None:
    parameters: Parameters = fold(h.PARAMETERS, HISTORY).parameters
    assert parameters.allowed_tokens == {TOKEN} and parameters.token_fees == {TOKEN: 100}
