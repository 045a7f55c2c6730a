"""The dispatcher's plans: which steps follow from what is."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from oracle.dispatcher import End, Rules, View, plan_ends, plan_moves, plan_starts
from oracle.jobs import AttemptState, JobState, Wait
from oracle.store.attempts import AttemptEntry
from oracle.store.queues import ActiveAttempt, Head, Move
from oracle.timeouts import Timeouts
from protocol.chain import Block
from protocol.ledger import LeaseEntry
from protocol.structs import LeaseStatus
from protocol.units import BlockNumber, JobId, LeaseId, UnitId, UnixTime
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import HOUR, MONDAY, UNIT_ID

TIMEOUTS = Timeouts(5, 20, 10, 30, 7, max_attempts=3)
RULES = Rules(2, 60, 3600, 600, timeouts=TIMEOUTS)
LEASE = samples.make_lease()
HEAD = Block(BlockNumber(12), b"h" * 32, UnixTime(MONDAY))


def make_head(number: int = 1, lease: LeaseEntry = LEASE, **changes: object) -> Head:
    unit_id = lease.terms.offer.unit_id
    head = Head(
        JobId(bytes([number]) * 32), lease.lease_id, unit_id, number, "", None, MONDAY, 0, 0, uploaded=True
    )
    return replace(head, **changes)  # type: ignore[arg-type]


def make_active(state: AttemptState = AttemptState.RUNNING, asked_at: int | None = None) -> ActiveAttempt:
    attempt = AttemptEntry(JobId(b"\x01" * 32), 1, 1, UNIT_ID, state, "", MONDAY, MONDAY)
    return ActiveAttempt(attempt, LEASE.lease_id, 60, asked_at)


def make_view(
    active: Iterable[ActiveAttempt] = (),
    waiting: Iterable[Wait] = (),
    leases: Iterable[LeaseEntry] = (LEASE,),
    now: int = MONDAY + 1,
    silent_seconds: float = 0,
    cursor: Block | None = HEAD,
    arrived: bool = False,
    **lists: Iterable[LeaseId],
) -> View:
    return View(
        now=now,
        wall=now,
        cursor=cursor,
        late=False,
        active=list(active),
        waiting=[(LEASE.lease_id, reason) for reason in waiting],
        queued=list(lists.get("queued", ())),
        finished=list(lists.get("finished", ())),
        revived=list(lists.get("revived", ())),
        arrived=frozenset({LEASE.lease_id} if arrived else ()),
        leases={lease.lease_id: lease for lease in leases},
        silent_seconds=lambda _unit: silent_seconds,
        on_duty_seconds=60,
    )


def started(heads: Iterable[Head], view: View | None = None, leases: Iterable[LeaseEntry] = (LEASE,)) -> list:
    known = {lease.lease_id: lease for lease in leases}
    return [head.sequence for head in plan_starts(list(heads), known, view or make_view(), RULES)[0]]


def steps(view: View) -> list[tuple[JobState, JobState, str]]:
    return [(step.state, step.following, step.detail) for step in plan_moves(view, RULES)]


def ends(view: View) -> list[tuple[JobState, str]]:
    return [(end.following, end.why) for end in plan_ends(view, RULES)]


def test_starts__head_of_a_connected_unit__started() -> None:
    assert started([make_head()]) == [1]


def test_starts__two_leases_of_one_unit__first_alone() -> None:
    other = samples.make_lease(samples.make_terms(salt=9))
    assert started([make_head(1), make_head(2, other)], leases=[LEASE, other]) == [1]


def test_starts__two_units__one_job_each() -> None:
    other = samples.make_lease(samples.make_terms(unit_id=UnitId(b"\x55" * 32)))
    assert started([make_head(1), make_head(2, other)], leases=[LEASE, other]) == [1, 2]


@pytest.mark.parametrize(
    "view",
    [
        make_view(silent_seconds=0.001),
        make_view(now=MONDAY - 1),
        make_view(cursor=replace(HEAD, number=BlockNumber(11))),
    ],
)
def test_starts__worker_away_or_lease_not_begun_or_unconfirmed__nothing(view: View) -> None:
    assert plan_starts([make_head()], {LEASE.lease_id: LEASE}, view, RULES) == ([], [])


def test_starts__hour_not_scheduled__nothing_starts_nothing_expires() -> None:
    lease = samples.make_lease(samples.make_terms(hours=1 << 5))
    assert plan_starts([make_head(1, lease)], {lease.lease_id: lease}, make_view(), RULES) == ([], [])


@pytest.mark.parametrize(
    ("changes", "state", "why"),
    [
        ({"cancel_asked_at": MONDAY}, JobState.CANCELLED, "by the renter"),
        ({"attempts_made": 3, "detail": "boom"}, JobState.ABANDONED, "3 attempts, of the last: boom"),
        ({"uploaded": False}, JobState.WAITING, Wait.ARTIFACTS),
    ],
)
def test_starts__head_that_must_not__leaves_the_queue(changes: dict, state: JobState, why: str) -> None:
    plan = plan_starts([make_head(**changes)], {LEASE.lease_id: LEASE}, make_view(), RULES)
    assert plan[0] == []
    assert [(left, why in said) for _, left, said in plan[1]] == [(state, True)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"now": MONDAY - 1}, Wait.START),
        ({"cursor": replace(HEAD, number=BlockNumber(11))}, Wait.CONFIRMATION),
        ({"cursor": None}, Wait.CONFIRMATION),
        ({"leases": ()}, Wait.LEASE),
    ],
)
def test_moves__something_missing__jobs_wait_and_say_for_what(changes: dict, expected: Wait) -> None:
    view = make_view(waiting=Wait, queued=[LEASE.lease_id], **changes)
    others = len(Wait) - 1
    assert steps(view) == [(JobState.WAITING, JobState.WAITING, expected)] * others + [
        (JobState.QUEUED, JobState.WAITING, expected)
    ]
    assert {step.reason for step in plan_moves(view, RULES)} == {*Wait} - {expected} | {None}


@pytest.mark.parametrize("reason", [Wait.FRESH, Wait.LEASE, Wait.CONFIRMATION, Wait.START])
def test_moves__lease_ready__uploaded_jobs_queued_and_the_others_wait_for_uploads(reason: Wait) -> None:
    assert plan_moves(make_view(waiting=[reason]), RULES) == [
        Move(LEASE.lease_id, JobState.WAITING, JobState.QUEUED, "", reason, uploaded=True),
        Move(LEASE.lease_id, JobState.WAITING, JobState.WAITING, Wait.ARTIFACTS, reason),
    ]


def test_moves__waiting_for_uploads__queued_once_some_have_come() -> None:
    assert steps(make_view(waiting=[Wait.ARTIFACTS])) == []
    view = make_view(waiting=[Wait.ARTIFACTS], arrived=True)
    assert [(step.following, step.uploaded) for step in plan_moves(view, RULES)] == [(JobState.QUEUED, True)]


@pytest.mark.parametrize("lease", [replace(LEASE, end=MONDAY + 1), replace(LEASE, status=LeaseStatus.CLOSED)])
def test_moves__lease_ended__idle_jobs_abandoned(lease: LeaseEntry) -> None:
    view = make_view(waiting=[Wait.START], queued=[lease.lease_id], leases=[lease])
    assert steps(view) == [
        (JobState.WAITING, JobState.ABANDONED, "the lease ended"),
        (JobState.QUEUED, JobState.ABANDONED, "the lease ended"),
    ]


def test_moves__finished_and_no_proof_taken_any_more__unproven_until_a_fork_reopens_the_lease() -> None:
    lease = replace(LEASE, end=MONDAY + 10)
    ids = [lease.lease_id]
    for now, finished, revived in ((610, [], [JobState.FINISHED]), (611, [JobState.UNPROVEN], [])):
        view = make_view(leases=[lease], now=MONDAY + now, finished=ids)
        assert [state for _, state, _ in steps(view)] == finished
        view = make_view(leases=[lease], now=MONDAY + now, revived=ids)
        assert [state for _, state, _ in steps(view)] == revived


def test_ends__lease_ended_with_a_job_running__receipt_is_awaited_until_last_post() -> None:
    lease = replace(LEASE, end=MONDAY + 10)
    awaited = make_view([make_active()], leases=[lease], now=MONDAY + 60)
    assert ends(awaited) == []
    assert ends(replace(awaited, now=MONDAY + 611)) == [
        (JobState.ABANDONED, "no receipt before the lease's last proof")
    ]


def test_ends__lease_forked_away_under_a_running_job__job_waits() -> None:
    assert ends(make_view([make_active()], leases=())) == [(JobState.WAITING, Wait.LEASE)]


def test_ends__worker_silent_too_long__job_queued() -> None:
    view = make_view([make_active()], silent_seconds=60)
    assert ends(view) == []
    assert ends(replace(view, silent_seconds=lambda _unit: 60.1)) == [
        (JobState.QUEUED, "worker unreachable for 60 s")
    ]


@pytest.mark.parametrize(
    ("state", "seconds", "why"),
    [
        (AttemptState.ASSIGNED, 5, "not accepted within 5 s"),
        (AttemptState.ACCEPTED, 20, "not prepared within 20 s"),
        (AttemptState.PREPARING, 20, "not prepared within 20 s"),
        (AttemptState.RUNNING, 70, "not ended within 70 s"),
        (AttemptState.UPLOADING, 30, "no receipt within 30 s"),
    ],
)
def test_ends__state_for_too_long__job_rests_and_is_queued(
    state: AttemptState, seconds: int, why: str
) -> None:
    view = make_view([make_active(state)], now=MONDAY + seconds)
    assert ends(view) == []
    assert ends(replace(view, now=view.now + 1)) == []  # a devnet's clock may be wound forward
    (end,) = plan_ends(replace(view, wall=view.now + 1), RULES)
    assert end == End(view.active[0].attempt, JobState.QUEUED, why, 30)
    assert ends(replace(view, wall=view.now + 1, on_duty_seconds=59)) == []  # the oracle has just come back


def test_ends__cancelled_while_it_is_uploaded__has_the_time_of_an_upload() -> None:
    view = make_view([make_active(AttemptState.UPLOADING, asked_at=MONDAY)], now=MONDAY + 30)
    assert ends(view) == []
    assert [state for state, _ in ends(replace(view, wall=MONDAY + 31))] == [JobState.CANCELLED]


def test_ends__past_the_order_deadline__a_job_that_runs_goes_on() -> None:
    active = make_active()
    attempt = replace(active.attempt, updated_at=MONDAY + HOUR)
    assert ends(make_view([replace(active, attempt=attempt)], now=MONDAY + HOUR + 1)) == []


@pytest.mark.parametrize(
    ("asked", "changes", "expected"),
    [
        (True, {"now": MONDAY + 7}, []),
        (True, {"now": MONDAY + 8}, ["cancelled by the renter; not stopped within 7 s"]),
        (True, {"silent_seconds": 61}, ["cancelled by the renter; worker unreachable for 61 s"]),
        (True, {"leases": ()}, [f"cancelled by the renter; {Wait.LEASE}"]),
        (False, {"now": MONDAY + 8}, []),
    ],
)
def test_ends__cancelled_by_its_renter__never_queued_again(
    asked: bool, changes: dict, expected: list[str]
) -> None:
    view = make_view([make_active(asked_at=MONDAY if asked else None)], **changes)
    assert ends(view) == [(JobState.CANCELLED, why) for why in expected]
