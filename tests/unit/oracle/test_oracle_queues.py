"""The dispatcher's turns on a real store: order, cancel, timeouts, and what a turn costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from oracle.dispatcher import Dispatcher, Rules, Turned
from oracle.jobs import AttemptState, JobState, Wait
from oracle.store import artifacts, attempts, entities, evidence, history, jobs
from oracle.store.engine import Store, Transaction
from oracle.store.jobs import NewJob
from oracle.store.tables import jobs as jobs_table
from oracle.timeouts import Timeouts
from protocol.chain import Block
from protocol.ledger import Changes
from protocol.structs import LeaseStatus
from protocol.units import BlockNumber, Digest, JobId, UnixTime
from tests.scale import chosen
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import BUNDLE, HOUR, MONDAY, RENTER, UNIT_ID

RULES = Rules(2, 60, 3600, 600, timeouts=Timeouts(accept_seconds=5, max_attempts=2))
LEASE = samples.make_lease()
HEAD = Block(BlockNumber(12), b"h" * 32, UnixTime(MONDAY - 10))
DEADLINE = MONDAY + 20 * HOUR


@dataclass
class Scene:
    """A dispatcher with one lease of one connected unit; `now` and `silent_seconds` are the test's to set."""

    store: Store
    now: int = MONDAY + 5
    silent_seconds: float = 0
    told: list[Turned] = field(default_factory=list)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.restart()
        with self.store.write() as transaction:
            entities.write_changes(transaction, [Changes(units=(samples.make_unit(),), leases=(LEASE,))])
            artifacts.add_artifact(transaction, BUNDLE, 10, RENTER, MONDAY)
            history.set_cursor(transaction, HEAD)

    def restart(self, **options: Any) -> None:
        self.dispatcher = Dispatcher(
            self.store,
            RULES,
            lambda: self.now,
            lambda _transaction: lambda _unit: self.silent_seconds,
            self.told.append,
            **options,
        )

    def settle(self) -> int:
        """Turns until nothing moves; how many moved something."""
        before = len(self.told)
        for _ in range(20):
            seen = len(self.told)
            more = self.dispatcher.turn()
            if not more and len(self.told) == seen:
                return seen - before
        raise AssertionError("it never settles")

    def add(self, count: int = 1, first: int = 0, priority: int = 0, deadline: int = DEADLINE) -> list[JobId]:
        orders = [samples.make_order(nonce=first + n, deadline=deadline) for n in range(count)]
        made = [
            NewJob(samples.job_of(order), RENTER, samples.make_terms(), order, self.now, priority)
            for order in orders
        ]
        with self.store.write() as transaction:
            jobs.insert_jobs(transaction, made)
        return [job.job_id for job in made]

    def job(self, job_id: JobId) -> jobs.JobEntry:
        with self.store.read() as transaction:
            found = jobs.get_job(transaction, job_id)
        assert found is not None
        return found

    def states(self) -> dict[JobState, int]:
        with self.store.read() as transaction:
            return jobs.count_states(transaction)

    def running(self) -> attempts.AttemptEntry | None:
        with self.store.read() as transaction:
            active = attempts.active_attempts(transaction)
        assert len(active) <= 1
        return active[0] if active else None

    def finish(self) -> JobId:
        """The attempt that runs ends as with a receipt."""
        attempt = self.running()
        assert attempt is not None
        with self.store.write() as transaction:
            attempts.set_attempt_state(transaction, attempt.fencing_token, AttemptState.FINISHED, self.now)
            jobs.set_job_state(transaction, attempt.job_id, JobState.FINISHED, self.now)
        return attempt.job_id

    def write(self, change: Callable[..., Any], *given: Any) -> None:
        with self.store.write() as transaction:
            change(transaction, *given)


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def test_turn__new_order__assigned_in_one_turn_and_its_worker_told(scene: Scene) -> None:
    (job,) = scene.add()
    assert scene.settle() == 1
    assert scene.job(job).state is JobState.ASSIGNED
    assert [(turned.units, turned.jobs) for turned in scene.told] == [({UNIT_ID}, {job})]


def test_turn__worker_unreachable_and_back__reassigned_with_a_higher_token(scene: Scene) -> None:
    (job,) = scene.add()
    scene.settle()
    before = scene.running()
    scene.silent_seconds = 61
    assert scene.settle() == 1
    assert scene.running() is None
    scene.silent_seconds = 0
    scene.settle()
    after = scene.running()
    assert before is not None and after is not None
    assert (after.job_id, after.attempt) == (job, 2)
    assert after.fencing_token > before.fencing_token


def test_turn__chain_ahead_of_the_clock__chain_time_counts(scene: Scene) -> None:
    (job,) = scene.add(deadline=MONDAY + HOUR)
    late = replace(HEAD, timestamp=UnixTime(MONDAY + 2 * HOUR))
    scene.write(history.set_cursor, late)
    scene.settle()
    found = scene.job(job)
    assert (found.state, found.updated_at) == (JobState.EXPIRED, scene.now)


def test_queue__priorities__highest_first_then_as_they_came_in(scene: Scene) -> None:
    (running,) = scene.add()
    scene.settle()
    low, high = scene.add(2, first=1), scene.add(2, first=3, priority=9)
    scene.settle()
    order = []
    for _ in range(5):
        order.append(scene.finish())
        if len(order) == 3:  # the last of the low ones overtakes
            scene.write(jobs.set_priority, low[1], 1)
        scene.settle()
    assert order == [running, *high, low[1], low[0]]


def test_queue__rests_after_a_timeout__the_next_goes_first_and_it_returns(scene: Scene) -> None:
    first, second = scene.add(2)
    scene.settle()
    scene.now += 6
    scene.settle()
    running = scene.running()
    assert running is not None and running.job_id == second
    assert (scene.job(first).state, scene.job(first).detail) == (JobState.QUEUED, "not accepted within 5 s")
    scene.finish()
    scene.settle()
    assert scene.running() is None
    scene.now += 30
    scene.settle()
    assert scene.running() is not None


def test_timeouts__again_and_again__abandoned_after_the_last_attempt(scene: Scene) -> None:
    (job,) = scene.add()
    for _ in range(RULES.timeouts.max_attempts):
        scene.settle()
        assert scene.running() is not None
        scene.now += 6
        scene.settle()
        scene.now += 600
    scene.settle()
    found = scene.job(job)
    assert (found.state, found.detail) == (
        JobState.ABANDONED,
        "2 attempts, of the last: not accepted within 5 s",
    )


def test_cancel__idle_running_and_ended__as_it_must_be_and_twice_the_same(scene: Scene) -> None:
    running, queued = scene.add(2)
    scene.settle()
    for _ in range(2):
        for job in (running, queued):
            scene.write(jobs.ask_cancel, scene.job(job), scene.now)
    assert scene.job(queued).state is JobState.CANCELLED
    assert (scene.job(running).state, scene.job(running).cancel_asked_at) == (JobState.ASSIGNED, scene.now)
    scene.restart()  # what was asked is in the store
    scene.silent_seconds = 61
    scene.settle()
    assert scene.job(running).state is JobState.CANCELLED
    assert "unreachable" in scene.job(running).detail
    (finished,) = scene.add(first=9)
    scene.silent_seconds = 0
    scene.settle()
    scene.finish()
    scene.write(jobs.ask_cancel, scene.job(finished), scene.now)
    assert (scene.job(finished).state, scene.job(finished).cancel_asked_at) == (JobState.FINISHED, None)


def test_look__artifacts_come_late__jobs_queued_at_once(scene: Scene) -> None:
    scene.write(lambda transaction: transaction.execute(text("DELETE FROM artifact_owners")))
    (job,) = scene.add()
    scene.settle()
    assert scene.job(job).detail == Wait.ARTIFACTS
    scene.restart(look_seconds=1e9)
    scene.settle()
    scene.write(artifacts.add_artifact, BUNDLE, 10, RENTER, MONDAY)
    scene.settle()
    assert scene.job(job).state is JobState.ASSIGNED


@pytest.mark.parametrize("what", ["artifact", "lease", "hours", "deadline"])
def test_look__nobody_said_that_something_changed__found_by_the_next_whole_look(
    scene: Scene, what: str
) -> None:
    scene.now = MONDAY - 5 if what == "hours" else MONDAY + 5
    if what == "artifact":
        scene.write(lambda transaction: transaction.execute(text("DELETE FROM artifact_owners")))
    if what == "lease":
        scene.write(lambda transaction: transaction.execute(text("DELETE FROM leases")))
    scene.silent_seconds = 1 if what == "deadline" else 0
    (job,) = scene.add(deadline=MONDAY + 60)
    scene.settle()
    assert scene.running() is None
    match what:
        case "artifact":
            row = {"digest": BUNDLE, "account": RENTER}
            statement = text("INSERT INTO artifact_owners VALUES (:digest, :account, 0)")
            scene.write(lambda transaction: transaction.execute(statement, row))
        case "lease":
            scene.write(entities.write_changes, [Changes(leases=(LEASE,))])
        case "hours":
            scene.now = MONDAY
        case _:
            scene.now = MONDAY + 61
    scene.settle()
    expected = JobState.EXPIRED if what == "deadline" else JobState.ASSIGNED
    assert scene.job(job).state is expected


def test_look__lease_that_never_came__abandoned_after_an_hour(scene: Scene) -> None:
    scene.write(lambda transaction: transaction.execute(text("DELETE FROM leases")))
    (job,) = scene.add()
    with scene.store.read() as transaction:
        assert jobs.count_orphans(transaction, RENTER) == jobs.count_orphans(transaction) == 1
    scene.now += 3600
    scene.settle()
    assert scene.job(job).state is JobState.WAITING
    scene.now += 1
    scene.settle()
    assert (scene.job(job).state, scene.job(job).detail) == (JobState.ABANDONED, "the lease never appeared")


def test_look__lease_over__finished_jobs_unproven_and_back_after_a_fork(scene: Scene) -> None:
    (job,) = scene.add()
    scene.settle()
    scene.finish()
    for lease, expected in (
        (replace(LEASE, status=LeaseStatus.CLOSED), JobState.UNPROVEN),
        (LEASE, JobState.FINISHED),
    ):
        scene.write(entities.write_changes, [Changes(leases=(lease,))])
        scene.settle()
        assert scene.job(job).state is expected


def test_proof__evidence_first_or_receipt_first_or_too_late__proven(scene: Scene) -> None:
    first, second = scene.add(2)
    proof = samples.make_proof(LEASE)
    digests = {job: Digest(job) for job in (first, second)}
    scene.write(entities.write_changes, [Changes(proofs=(proof,))])
    scene.write(evidence.insert_evidence, proof.proof_hash, LEASE.lease_id, BUNDLE, 5, digests, MONDAY)
    scene.settle()
    for job in (first, second):
        assert scene.finish() == job
        scene.write(add_receipt, job)
        if job == first:
            scene.write(evidence.look_again, job)
        else:  # nobody says so, but the process begins anew, and the lease is over
            scene.write(entities.write_changes, [Changes(leases=(replace(LEASE, end=MONDAY),))])
            scene.now += 1000
            scene.settle()
            assert scene.job(job).state is JobState.UNPROVEN
            scene.restart()
        scene.settle()
        assert scene.job(job).state is JobState.PROVEN


def add_receipt(transaction: Transaction, job_id: JobId) -> None:
    """Its digest is the job's id."""
    receipt = text("INSERT INTO receipts VALUES (:job, 1, :job, '{}', 0)")
    transaction.execute(receipt, {"job": job_id})


@contextmanager
def counted(store: Store) -> Iterator[dict[str, int]]:
    """Statements, and in SQLite also the steps of its machine, which rows that are read or written cost."""
    counts, is_over = {"statements": 0, "steps": 0}, False

    def count(connection: Any, *_given: Any) -> None:
        counts["statements"] += 1
        if store.engine.dialect.name == "sqlite":
            connection.connection.driver_connection.set_progress_handler(step, 1)

    def step() -> int:
        counts["steps"] += not is_over  # connections of the pool keep it
        return 0

    event.listen(store.engine, "before_cursor_execute", count)
    yield counts
    event.remove(store.engine, "before_cursor_execute", count)
    is_over = True


def cost_of_one(scene: Scene, made: int) -> dict[str, int]:
    """Of the end of a job, the start of the next, and a new order."""
    scene.finish()
    with counted(scene.store) as counts:
        scene.settle()
        scene.add(1, first=made)
        scene.settle()
    return counts


def test_turn__ten_times_as_many_open_jobs__costs_the_same(scene: Scene) -> None:
    few, many = chosen((40, 400), (1_000, 10_000))
    scene.restart(look_seconds=1e9)
    scene.add(few)
    scene.settle()
    before = cost_of_one(scene, few)
    scene.add(many, first=few + 1)
    scene.settle()
    after = cost_of_one(scene, few + 1 + many)
    assert after["statements"] == before["statements"] > 0
    assert after["steps"] <= 1.1 * before["steps"] + 100
    assert before["steps"] > 0 or scene.store.shared


def test_look__all_jobs_of_a_lease__moved_by_as_many_statements_as_few(scene: Scene) -> None:
    counts = []
    for total, first in ((3, 0), (300, 3)):
        scene.silent_seconds = 1
        scene.add(total, first=first)
        scene.restart()
        with counted(scene.store) as moving:
            scene.settle()
        assert scene.states()[JobState.QUEUED] == total
        scene.write(entities.write_changes, [Changes(leases=(replace(LEASE, end=MONDAY + 1),))])
        with counted(scene.store) as ending:
            scene.settle()
        assert scene.states() == {JobState.ABANDONED: total + first}
        scene.write(entities.write_changes, [Changes(leases=(LEASE,))])
        counts.append((moving["statements"], ending["statements"]))
    assert counts[0] == counts[1]


def test_insert__several_at_once__numbered_in_their_lease(scene: Scene) -> None:
    scene.add(3)
    scene.add(2, first=3)
    with scene.store.read() as transaction:
        found = transaction.execute(select(jobs_table.c.number).order_by(jobs_table.c.sequence))
        assert found.scalars().all() == [1, 2, 3, 4, 5]
        assert jobs.count_jobs(transaction, LEASE.lease_id) == 5
    scene.write(lambda transaction: transaction.execute(update(jobs_table).values(state="expired")))
    assert scene.settle() == 0
