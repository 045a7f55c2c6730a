"""Moves jobs on: each turn compares orders, leases, artifacts and workers, and takes the steps that follow.

The plan is pure; it is made again inside the transaction that carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from oracle import metrics
from oracle.clock import Now, later_of
from oracle.jobs import AttemptState, JobState
from oracle.schedule import has_ended, may_run, takes_receipts
from oracle.store import attempts, entities, evidence, history, jobs, readiness
from oracle.store.attempts import AttemptEntry
from oracle.store.engine import Store, Transaction
from oracle.store.jobs import OpenJob
from oracle.watcher import confirmed
from protocol.chain import Block
from protocol.ledger import LeaseEntry
from protocol.units import JobId, LeaseId, UnitId

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    confirmations: int
    worker_timeout_seconds: float
    orphan_order_seconds: int
    proof_grace_seconds: int


@dataclass(frozen=True, slots=True)
class View:
    """What a plan is made from. `silent_seconds`: how long a unit's worker is not connected; 0: it is."""

    now: int
    cursor: Block | None
    jobs: Sequence[OpenJob]
    active: Sequence[AttemptEntry]
    leases: Mapping[LeaseId, LeaseEntry]
    with_artifacts: frozenset[JobId]
    silent_seconds: Callable[[UnitId], float]


@dataclass(slots=True)
class Plan:
    """Steps in the order in which they are taken."""

    ended: list[tuple[AttemptEntry, AttemptState, str]] = field(
        default_factory=list[tuple[AttemptEntry, AttemptState, str]]
    )
    moves: list[tuple[OpenJob, JobState, str]] = field(default_factory=list[tuple[OpenJob, JobState, str]])
    started: list[tuple[OpenJob, UnitId]] = field(default_factory=list[tuple[OpenJob, UnitId]])

    @property
    def empty(self) -> bool:
        return not (self.ended or self.moves or self.started)


def make_plan(view: View, rules: Rules) -> Plan:
    plan = Plan()
    by_id = {job.job_id: job for job in view.jobs}
    busy: set[UnitId] = set()
    running: set[JobId] = set()
    for attempt in view.active:
        job = by_id[attempt.job_id]
        step = _end_of_attempt(attempt, job, view, rules)
        if step is None:
            busy.add(attempt.unit_id)
            running.add(job.job_id)
        else:
            state, following, why = step
            plan.ended.append((attempt, state, why))
            plan.moves.append((job, following, why))
    moved = {job.job_id for job, _, _ in plan.moves}
    for job in view.jobs:
        if job.job_id not in running and job.job_id not in moved:
            _plan_idle_job(job, view, rules, plan, busy)
    return plan


def _end_of_attempt(
    attempt: AttemptEntry, job: OpenJob, view: View, rules: Rules
) -> tuple[AttemptState, JobState, str] | None:
    """None: it goes on, or it is cancelled and its receipt is awaited."""
    lease = view.leases.get(job.lease_id)
    if lease is None:
        return AttemptState.SUPERSEDED, JobState.WAITING, "the lease is not on the chain any more"
    if not takes_receipts(lease, view.now, rules.proof_grace_seconds):
        return AttemptState.SUPERSEDED, JobState.ABANDONED, "no receipt before the lease's last proof"
    silent_seconds = view.silent_seconds(attempt.unit_id)
    if silent_seconds > rules.worker_timeout_seconds:
        return AttemptState.SUPERSEDED, JobState.QUEUED, f"worker unreachable for {silent_seconds:.0f} s"
    return None


def _plan_idle_job(job: OpenJob, view: View, rules: Rules, plan: Plan, busy: set[UnitId]) -> None:
    following, why = _state_of_idle_job(job, view, rules)
    if following != job.state or (why and why != job.detail):
        plan.moves.append((job, following, why))
    if following != JobState.QUEUED:
        return
    lease = view.leases[job.lease_id]
    unit_id = lease.terms.offer.unit_id
    if (
        unit_id not in busy
        and view.now >= job.not_before
        and may_run(lease, view.now)
        and view.silent_seconds(unit_id) == 0
    ):
        busy.add(unit_id)
        plan.started.append((job, unit_id))


def _state_of_idle_job(job: OpenJob, view: View, rules: Rules) -> tuple[JobState, str]:
    """Where a job without a running attempt belongs, and why."""
    lease = view.leases.get(job.lease_id)
    if view.now > job.deadline:
        return JobState.EXPIRED, "not started before the order's deadline"
    if lease is None:
        if job.state == JobState.WAITING and view.now > job.created_at + rules.orphan_order_seconds:
            return JobState.ABANDONED, "the lease never appeared"
        return JobState.WAITING, "the lease is not on the chain"
    if has_ended(lease, view.now):
        return JobState.ABANDONED, "the lease ended"
    if not confirmed(lease.opened_at.block_number, view.cursor, rules.confirmations):
        return JobState.WAITING, "the lease is not confirmed"
    if view.now < lease.terms.start:
        return JobState.WAITING, "the lease has not started"
    if job.job_id not in view.with_artifacts:
        return JobState.WAITING, "the bundle or the data is not uploaded"
    return JobState.QUEUED, ""


class Dispatcher:
    """Not thread-safe: one thread takes the turns."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        now: Now,
        silences: Callable[[Transaction], Callable[[UnitId], float]],
    ) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._silences = silences

    def turn(self) -> bool:
        """True: something moved, and workers should hear of it."""
        with self._store.read() as transaction:
            view = self._view(transaction)
            idle = make_plan(view, self._rules).empty and not evidence.has_unmarked(transaction)
        if idle:
            return False
        with self._store.write() as transaction:
            view = self._view(transaction)
            carry_out(transaction, make_plan(view, self._rules), view.now)
            evidence.mark_jobs(transaction, view.now)
        return True

    def _view(self, transaction: Transaction) -> View:
        cursor = history.get_cursor(transaction)
        open_jobs = jobs.list_open_jobs(transaction)
        return View(
            now=later_of(self._now(), cursor.timestamp if cursor else None),
            cursor=cursor,
            jobs=open_jobs,
            active=attempts.active_attempts(transaction),
            leases=entities.get_leases(transaction, {job.lease_id for job in open_jobs}),
            with_artifacts=readiness.jobs_with_artifacts(transaction),
            silent_seconds=self._silences(transaction),
        )


def carry_out(transaction: Transaction, plan: Plan, now: int) -> None:
    for attempt, state, why in plan.ended:
        attempts.set_attempt_state(transaction, attempt.fencing_token, state, now, why)
        log.info("attempt_ended", job_id=attempt.job_id, attempt=attempt.attempt, state=state, reason=why)
    for job, state, why in plan.moves:
        jobs.set_job_state(transaction, job.job_id, state, now, why)
        log.info("job_moved", job_id=job.job_id, state=state, reason=why)
    for job, unit_id in plan.started:
        attempt = attempts.add_attempt(transaction, job.job_id, unit_id, now)
        jobs.set_job_state(transaction, job.job_id, JobState.ASSIGNED, now)
        metrics.DISPATCH_SECONDS.observe(now - max(job.created_at, job.not_before))
        log.info(
            "job_assigned",
            job_id=job.job_id,
            unit_id=unit_id,
            attempt=attempt.attempt,
            fencing_token=attempt.fencing_token,
        )
