"""The dispatcher's plan: which steps follow from what is."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from oracle.dispatcher import Dispatcher, Rules, View, make_plan
from oracle.jobs import AttemptState, JobState
from oracle.store import artifacts, attempts, entities, history, jobs
from oracle.store.attempts import AttemptEntry
from oracle.store.engine import Store
from oracle.store.jobs import OpenJob
from protocol.chain import Block
from protocol.ledger import Changes, LeaseEntry
from protocol.structs import LeaseStatus
from protocol.units import BlockNumber, JobId, UnitId, UnixTime
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import BUNDLE, HOUR, MONDAY, RENTER, UNIT_ID

RULES = Rules(confirmations=2, worker_timeout_seconds=60, orphan_order_seconds=3600, proof_grace_seconds=600)
LEASE = samples.make_lease()
HEAD = Block(BlockNumber(12), b"h" * 32, UnixTime(MONDAY))


def make_job(number: int = 1, state: JobState = JobState.QUEUED, lease: LeaseEntry = LEASE) -> OpenJob:
    return OpenJob(
        job_id=JobId(bytes([number]) * 32),
        lease_id=lease.lease_id,
        renter=RENTER,
        state=state,
        detail="",
        bundle_digest=BUNDLE,
        data_digest=None,
        deadline=MONDAY + HOUR,
        created_at=MONDAY,
        not_before=0,
    )


def make_attempt(job: OpenJob, unit_id: UnitId = UNIT_ID) -> AttemptEntry:
    return AttemptEntry(job.job_id, 1, 1, unit_id, AttemptState.RUNNING, "", MONDAY, MONDAY)


def make_view(
    jobs: Iterable[OpenJob],
    active: Iterable[AttemptEntry] = (),
    leases: Iterable[LeaseEntry] = (LEASE,),
    now: int = MONDAY + 1,
    silent_seconds: float = 0,
    missing: Iterable[OpenJob] = (),
    cursor: Block | None = HEAD,
) -> View:
    found = list(jobs)
    return View(
        now=now,
        cursor=cursor,
        jobs=found,
        active=list(active),
        leases={lease.lease_id: lease for lease in leases},
        with_artifacts=frozenset(j.job_id for j in found) - {j.job_id for j in missing},
        silent_seconds=lambda _unit: silent_seconds,
    )


def moves(view: View, rules: Rules = RULES) -> list[tuple[int, JobState]]:
    return [(job.job_id[0], state) for job, state, _ in make_plan(view, rules).moves]


def started(view: View) -> list[int]:
    return [job.job_id[0] for job, _ in make_plan(view, RULES).started]


def test_plan__queued_job_of_a_connected_unit__started() -> None:
    assert started(make_view([make_job()])) == [1]


def test_plan__several_queued_jobs_of_one_unit__first_alone() -> None:
    assert started(make_view([make_job(2), make_job(1), make_job(3)])) == [2]


def test_plan__unit_runs_a_job__next_one_waits_its_turn() -> None:
    running = make_job(1, JobState.RUNNING)
    assert started(make_view([running, make_job(2)], [make_attempt(running)])) == []


def test_plan__two_leases_of_one_unit__one_job_at_a_time() -> None:
    other = samples.make_lease(samples.make_terms(salt=9))
    view = make_view([make_job(1), make_job(2, lease=other)], leases=[LEASE, other])
    assert started(view) == [1]


def test_plan__two_units__one_job_each() -> None:
    other = samples.make_lease(samples.make_terms(unit_id=UnitId(b"\x55" * 32)))
    view = make_view([make_job(1), make_job(2, lease=other)], leases=[LEASE, other])
    assert started(view) == [1, 2]


def test_plan__worker_not_connected__job_stays_queued() -> None:
    view = make_view([make_job()], silent_seconds=0.001)
    assert (started(view), moves(view)) == ([], [])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"now": MONDAY - 1}, "has not started"),
        ({"cursor": replace(HEAD, number=BlockNumber(11))}, "not confirmed"),
        ({"leases": ()}, "not on the chain"),
        ({"missing": [make_job()]}, "not uploaded"),
    ],
)
def test_plan__something_missing__job_waits_and_says_for_what(changes: dict, expected: str) -> None:
    view = make_view([make_job()], **changes)
    plan = make_plan(view, RULES)
    assert [(state, expected in why) for _, state, why in plan.moves] == [(JobState.WAITING, True)]
    assert plan.started == []


def test_plan__waiting_job_with_everything__queued_and_started_in_one_turn() -> None:
    view = make_view([make_job(state=JobState.WAITING)])
    assert (moves(view), started(view)) == ([(1, JobState.QUEUED)], [1])


def test_plan__hour_not_scheduled__nothing_starts_nothing_expires() -> None:
    lease = samples.make_lease(samples.make_terms(hours=1 << 5))
    view = make_view([make_job(lease=lease)], leases=[lease])
    assert make_plan(view, RULES).empty


def test_plan__resting_after_a_refusal__starts_later() -> None:
    job = replace(make_job(), not_before=MONDAY + 30)
    assert started(make_view([job], now=MONDAY + 29)) == []
    assert started(make_view([job], now=MONDAY + 30)) == [1]


def test_plan__past_the_deadline__expired() -> None:
    for state in (JobState.WAITING, JobState.QUEUED):
        assert moves(make_view([make_job(state=state)], now=MONDAY + HOUR + 1)) == [(1, JobState.EXPIRED)]


def test_plan__running_past_the_order_deadline__goes_on() -> None:
    job = make_job(state=JobState.RUNNING)
    assert make_plan(make_view([job], [make_attempt(job)], now=MONDAY + HOUR + 1), RULES).empty


def test_plan__lease_ended__idle_jobs_abandoned() -> None:
    for lease in (replace(LEASE, end=MONDAY + 1), replace(LEASE, status=LeaseStatus.CLOSED)):
        assert moves(make_view([make_job()], leases=[lease])) == [(1, JobState.ABANDONED)]


def test_plan__lease_ended_with_a_job_running__receipt_is_awaited_until_last_post() -> None:
    job = make_job(state=JobState.RUNNING)
    lease = replace(LEASE, end=MONDAY + 10)
    awaited = make_view([job], [make_attempt(job)], [lease], now=MONDAY + 610)
    assert make_plan(awaited, RULES).empty
    plan = make_plan(replace(awaited, now=MONDAY + 611), RULES)
    assert [state for _, state, _ in plan.ended] == [AttemptState.SUPERSEDED]
    assert [state for _, state, _ in plan.moves] == [JobState.ABANDONED]


def test_plan__lease_forked_away_under_a_running_job__attempt_superseded_and_job_waits() -> None:
    job = make_job(state=JobState.RUNNING)
    plan = make_plan(make_view([job], [make_attempt(job)], leases=()), RULES)
    assert [state for _, state, _ in plan.ended] == [AttemptState.SUPERSEDED]
    assert [state for _, state, _ in plan.moves] == [JobState.WAITING]


def test_plan__worker_silent_too_long__attempt_superseded_and_job_queued() -> None:
    job = make_job(state=JobState.RUNNING)
    view = make_view([job], [make_attempt(job)], silent_seconds=60)
    assert make_plan(view, RULES).empty
    plan = make_plan(replace(view, silent_seconds=lambda _unit: 60.1), RULES)
    assert [state for _, state, _ in plan.ended] == [AttemptState.SUPERSEDED]
    assert [(state, plan.started) for _, state, _ in plan.moves] == [(JobState.QUEUED, [])]


def test_plan__lease_that_never_came__abandoned_after_an_hour() -> None:
    job = replace(make_job(state=JobState.WAITING), deadline=MONDAY + 9 * HOUR)
    early = make_view([job], leases=(), now=MONDAY + HOUR)
    assert moves(early) == [(1, JobState.WAITING)]
    assert moves(replace(early, now=MONDAY + HOUR + 1)) == [(1, JobState.ABANDONED)]


def test_turn__real_store__job_assigned_then_reassigned_with_a_higher_token(store: Store) -> None:
    signed = samples.make_order(deadline=MONDAY + 20 * HOUR)
    job_id = samples.job_of(signed)
    silent = {UNIT_ID: 0.0}
    dispatcher = Dispatcher(store, RULES, lambda: MONDAY + 5, lambda _transaction: silent.__getitem__)
    with store.write() as transaction:
        jobs.insert_job(transaction, job_id, RENTER, samples.make_terms(), signed, MONDAY)
        entities.write_changes(transaction, [Changes(units=(samples.make_unit(),), leases=(LEASE,))])
        artifacts.add_artifact(transaction, BUNDLE, 10, RENTER, MONDAY)
        history.set_cursor(transaction, HEAD)
    assert dispatcher.turn()
    assert not dispatcher.turn()
    silent[UNIT_ID] = 61
    assert dispatcher.turn()
    assert not dispatcher.turn()
    silent[UNIT_ID] = 0
    assert dispatcher.turn()
    with store.read() as transaction:
        current = attempts.latest_attempt(transaction, job_id)
        active = attempts.active_attempts(transaction)
    assert current is not None
    assert (current.attempt, active) == (2, [current])


def test_turn__chain_ahead_of_the_clock__chain_time_counts(store: Store) -> None:
    signed = samples.make_order()
    with store.write() as transaction:
        jobs.insert_job(
            transaction, samples.job_of(signed), RENTER, samples.make_terms(), signed, MONDAY - 9000
        )
        history.set_cursor(transaction, replace(HEAD, timestamp=UnixTime(MONDAY + 2 * HOUR)))
    Dispatcher(store, RULES, lambda: MONDAY - 9000, lambda _transaction: lambda _unit: 0).turn()
    with store.read() as transaction:
        job = jobs.get_job(transaction, samples.job_of(signed))
    assert job is not None
    assert job.state is JobState.EXPIRED
