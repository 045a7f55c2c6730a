"""Moves jobs on: each turn compares orders, leases, artifacts and workers, and takes the steps that follow.

Every condition is found in the store, by index. The plans are pure, and made again inside the transaction
that carries them out. A turn between two whole looks sees what comes often: new jobs, attempts, queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from oracle import metrics
from oracle.clock import Now, later_of
from oracle.jobs import AttemptState, JobState, Wait, refusal_pause_seconds
from oracle.schedule import has_ended, may_run, takes_receipts
from oracle.store import attempts, entities, evidence, history, jobs, queues
from oracle.store.attempts import AttemptEntry
from oracle.store.engine import Store, Transaction
from oracle.store.jobs import CANCELLED_BY_RENTER
from oracle.store.queues import ActiveAttempt, Head, Move
from oracle.timeouts import Timeouts, cancel_overdue, overdue
from oracle.watcher import confirmed
from protocol.chain import Block
from protocol.ledger import LeaseEntry
from protocol.units import JobId, LeaseId, UnitId

log = structlog.get_logger(__name__)

LATE = "not started before the order's deadline"
ORPHANED = "the lease never appeared"
UNPROVEN = "in no proof, and the lease takes no more"


@dataclass(frozen=True, slots=True)
class Rules:
    confirmations: int
    worker_timeout_seconds: float
    orphan_order_seconds: int
    proof_grace_seconds: int
    retained_blocks: int = 256
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class View:
    """What a plan is made from. `silent_seconds`: how long a unit's worker is not connected; 0: it is.

    `now` is the lease's time, `wall` this machine's: waiting is measured by it, and changes are stamped.
    `on_duty_seconds`: for how long workers have been listened to without a break.
    `late`: jobs that do not run are past their deadlines. `waiting`: leases whose jobs wait, and for what.
    `arrived`: those for whose jobs uploads have come.
    """

    now: int
    wall: int
    cursor: Block | None
    late: bool
    active: Sequence[ActiveAttempt]
    waiting: Sequence[tuple[LeaseId, Wait]]
    queued: Sequence[LeaseId]
    finished: Sequence[LeaseId]
    revived: Sequence[LeaseId]
    arrived: frozenset[LeaseId]
    leases: Mapping[LeaseId, LeaseEntry]
    silent_seconds: Callable[[UnitId], float]
    on_duty_seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """An attempt that ends without a receipt, and what becomes of its job."""

    attempt: AttemptEntry
    following: JobState
    why: str
    pause_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Turned:
    """Whom a turn concerns. `many`: jobs that are not named have moved too. `more`: others may yet move."""

    units: frozenset[UnitId] = frozenset()
    jobs: frozenset[JobId] = frozenset()
    many: bool = False
    more: bool = False


def plan_ends(view: View, rules: Rules) -> list[End]:
    found: list[End] = []
    for active in view.active:
        end = _end_of(active, view, rules)
        if end is not None and active.cancel_asked_at is not None and end.following != JobState.ABANDONED:
            end = End(end.attempt, JobState.CANCELLED, f"{CANCELLED_BY_RENTER}; {end.why}")
        if end is not None:
            found.append(end)
    return found


def _end_of(active: ActiveAttempt, view: View, rules: Rules) -> End | None:
    """None: it goes on, or it is cancelled and its receipt is awaited."""
    attempt, lease = active.attempt, view.leases.get(active.lease_id)
    if lease is None:
        return End(attempt, JobState.WAITING, Wait.LEASE)
    if not takes_receipts(lease, view.now, rules.proof_grace_seconds):
        return End(attempt, JobState.ABANDONED, "no receipt before the lease's last proof")
    silent_seconds = view.silent_seconds(attempt.unit_id)
    if silent_seconds > rules.worker_timeout_seconds:
        return End(attempt, JobState.QUEUED, f"worker unreachable for {silent_seconds:.0f} s")
    if view.on_duty_seconds < rules.worker_timeout_seconds:
        return None  # what it did while nobody listened, its worker may be about to say
    if cancel_overdue(active, view.wall, rules.timeouts):
        why = f"not stopped within {rules.timeouts.cancel_seconds} s"
        return End(attempt, JobState.QUEUED, why)
    why = overdue(active, view.wall, rules.timeouts)
    if not why:
        return None
    return End(attempt, JobState.QUEUED, why, refusal_pause_seconds(attempt.attempt))


def plan_moves(view: View, rules: Rules) -> list[Move]:
    """Of the jobs without an attempt, all of a lease at once."""
    steps: list[Move] = []
    for lease_id, reason in view.waiting:
        steps += _moves_of_waiting(lease_id, reason, view, rules)
    for lease_id in view.queued:
        state, detail = _standing(view.leases.get(lease_id), view, rules)
        if state != JobState.QUEUED:
            steps.append(Move(lease_id, JobState.QUEUED, state, detail))
    for lease_id in (*view.finished, *view.revived):
        lease = view.leases.get(lease_id)
        over = lease is not None and not takes_receipts(lease, view.now, rules.proof_grace_seconds)
        if over and lease_id in view.finished:
            steps.append(Move(lease_id, JobState.FINISHED, JobState.UNPROVEN, UNPROVEN))
        elif not over and lease_id in view.revived:
            steps.append(Move(lease_id, JobState.UNPROVEN, JobState.FINISHED, ""))
    return steps


def _moves_of_waiting(lease_id: LeaseId, reason: Wait, view: View, rules: Rules) -> list[Move]:
    state, detail = _standing(view.leases.get(lease_id), view, rules)
    if state == JobState.WAITING:
        return [] if detail == reason else [Move(lease_id, state, state, detail, reason)]
    if state != JobState.QUEUED:
        return [Move(lease_id, JobState.WAITING, state, detail, reason)]
    ready = Move(lease_id, JobState.WAITING, state, detail, reason, uploaded=True)
    if reason == Wait.ARTIFACTS:
        return [ready] if lease_id in view.arrived else []
    return [ready, Move(lease_id, JobState.WAITING, JobState.WAITING, Wait.ARTIFACTS, reason)]


def _standing(lease: LeaseEntry | None, view: View, rules: Rules) -> tuple[JobState, str]:
    """Where the jobs of a lease that have no attempt belong, and why; queued if their artifacts are here."""
    if lease is None:
        return JobState.WAITING, Wait.LEASE
    if has_ended(lease, view.now):
        return JobState.ABANDONED, "the lease ended"
    if not confirmed(lease.opened_at.block_number, view.cursor, rules.confirmations):
        return JobState.WAITING, Wait.CONFIRMATION
    if view.now < lease.terms.start:
        return JobState.WAITING, Wait.START
    return JobState.QUEUED, ""


def plan_starts(
    heads: Sequence[Head], leases: Mapping[LeaseId, LeaseEntry], view: View, rules: Rules
) -> tuple[list[Head], list[tuple[Head, JobState, str]]]:
    """Those that start, one of each unit; and those that leave their queues instead, for what and why."""
    started: dict[UnitId, Head] = {}
    leaving: list[tuple[Head, JobState, str]] = []
    for head in heads:
        lease = leases.get(head.lease_id)
        if lease is None or not may_run(lease, view.now) or view.silent_seconds(head.unit_id) > 0:
            continue
        if _standing(lease, view, rules)[0] != JobState.QUEUED:
            continue
        left = _reason_to_leave(head, rules)
        if left is not None:
            leaving.append((head, *left))
        elif head.unit_id not in started:
            started[head.unit_id] = head
    return list(started.values()), leaving


def _reason_to_leave(head: Head, rules: Rules) -> tuple[JobState, str] | None:
    if head.cancel_asked_at is not None:
        return JobState.CANCELLED, CANCELLED_BY_RENTER
    if head.attempts_made >= rules.timeouts.max_attempts:
        return JobState.ABANDONED, f"{head.attempts_made} attempts, of the last: {head.detail}"
    return None if head.uploaded else (JobState.WAITING, Wait.ARTIFACTS)


class Dispatcher:
    """Not thread-safe: one thread takes the turns. `tell` hears after each turn that moved something.

    The first look is whole, and so is every look after the chain has moved or `look_seconds` have passed.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        now: Now,
        silences: Callable[[Transaction], Callable[[UnitId], float]],
        tell: Callable[[Turned], None] = lambda _turned: None,
        look_seconds: float = 0,
        on_duty_seconds: Callable[[], float] = lambda: float("inf"),
    ) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._silences = silences
        self._tell = tell
        self._look_seconds = look_seconds
        self._on_duty_seconds = on_duty_seconds
        self._looked_at = -float("inf")
        self._looked_until: Block | None = None
        self._moving = False

    def turn(self) -> bool:
        """True: another turn may move more at once."""
        # In a store of ours alone, to write nothing costs nothing: no need to look beforehand.
        if self._store.shared and not self._moving and self._is_idle():
            return False
        began = time.monotonic()
        with self._store.write() as transaction:
            cursor = history.get_cursor(transaction)
            whole = self._is_due(cursor, began)
            turned = self._carry_out(transaction, cursor, whole)
        # In a busy time a look beforehand would find what this one finds.
        self._moving = turned is not None
        if whole:
            self._looked_at, self._looked_until = began, cursor
        if turned is None:
            return False
        self._tell(turned)
        return turned.more

    def _is_idle(self) -> bool:
        began = time.monotonic()
        with self._store.read() as transaction:
            cursor = history.get_cursor(transaction)
            whole = self._is_due(cursor, began)
            view = self._view(transaction, cursor, whole)
            idle = not (
                self._has_news(transaction, view, whole)
                or plan_ends(view, self._rules)
                or plan_moves(view, self._rules)
                or any(self._plan_starts(transaction, view))
            )
        if idle and whole:
            self._looked_at, self._looked_until = began, cursor
        return idle

    def _is_due(self, cursor: Block | None, now: float) -> bool:
        """Whether all is to be looked at."""
        return cursor != self._looked_until or now - self._looked_at >= self._look_seconds

    def _view(self, transaction: Transaction, cursor: Block | None, whole: bool) -> View:
        wall = self._now()
        now = later_of(wall, cursor.timestamp if cursor else None)
        fresh, late = queues.news(transaction, now)
        reasons = tuple(Wait) if whole else (Wait.FRESH,) if fresh else ()
        active = queues.active_attempts(transaction)
        waiting = [
            (lease, reason) for reason in reasons for lease in queues.leases_waiting(transaction, reason)
        ]
        queued = queues.leases_queued(transaction) if whole else []
        finished = queues.leases_finished(transaction) if whole else []
        revived = queues.leases_revived(transaction) if whole else []
        named = (
            {a.lease_id for a in active} | {lease for lease, _ in waiting} | {*queued, *finished, *revived}
        )
        return View(
            now=now,
            wall=wall,
            cursor=cursor,
            late=late,
            active=active,
            waiting=waiting,
            queued=queued,
            finished=finished,
            revived=revived,
            arrived=queues.leases_arrived(transaction) if whole else frozenset(),
            leases=entities.get_leases(transaction, named),
            silent_seconds=self._silences(transaction),
            on_duty_seconds=self._on_duty_seconds(),
        )

    def _has_news(self, transaction: Transaction, view: View, whole: bool) -> bool:
        return (
            evidence.has_unmarked(transaction, self._suspect_from(view.cursor))
            or view.late
            or (whole and queues.has_old_orphans(transaction, view.wall - self._rules.orphan_order_seconds))
        )

    def _suspect_from(self, cursor: Block | None) -> int | None:
        """The block from which on a reorganisation since the last look may have taken proofs; None: any."""
        if cursor is None or self._looked_until is None:
            return None
        return min(cursor.number, self._looked_until.number) - self._rules.retained_blocks

    def _plan_starts(
        self, transaction: Transaction, view: View
    ) -> tuple[list[Head], list[tuple[Head, JobState, str]]]:
        heads = queues.heads(transaction, view.now)
        leases = entities.get_leases(transaction, {head.lease_id for head in heads})
        return plan_starts(heads, leases, view, self._rules)

    def _carry_out(self, transaction: Transaction, cursor: Block | None, whole: bool) -> Turned | None:
        suspect_from, moved = self._suspect_from(cursor), 0
        if evidence.has_unmarked(transaction, suspect_from):
            moved += evidence.mark_jobs(
                transaction, self._now(), cursor.number if cursor else 0, suspect_from
            )
        view = self._view(transaction, cursor, whole)
        now = view.wall
        ended = plan_ends(view, self._rules)
        for end in ended:
            _end(transaction, end, view)
        if view.late or ended:
            moved += _log_moved(queues.expire(transaction, view.now, now, LATE), JobState.EXPIRED, LATE)
        if whole:
            before = now - self._rules.orphan_order_seconds
            count = queues.abandon_orphans(transaction, before, now, ORPHANED)
            moved += _log_moved(count, JobState.ABANDONED, ORPHANED)
        for step in plan_moves(view, self._rules):
            count = queues.move(transaction, step, now)
            moved += _log_moved(count, step.following, step.detail, step.lease_id)
        started, leaving = self._plan_starts(transaction, view)
        for head, state, why in leaving:
            jobs.set_job_state(transaction, head.job_id, state, now, why)
            log.info("job_moved", job_id=head.job_id, state=state, reason=why)
        for head in started:
            _start(transaction, head, now)
        if not (moved or ended or started or leaving):
            return None
        return Turned(
            units=frozenset(end.attempt.unit_id for end in ended) | {head.unit_id for head in started},
            jobs=frozenset(end.attempt.job_id for end in ended)
            | {head.job_id for head in started}
            | {head.job_id for head, _, _ in leaving},
            many=moved > 0,
            more=bool(leaving),
        )


def _log_moved(count: int, state: JobState, why: str, lease_id: LeaseId | None = None) -> int:
    if count:
        log.info("jobs_moved", count=count, state=state, reason=why, lease_id=lease_id)
    return count


def _end(transaction: Transaction, end: End, view: View) -> None:
    attempt, now = end.attempt, view.wall
    rests = {"not_before": view.now + end.pause_seconds} if end.pause_seconds else {}
    attempts.set_attempt_state(transaction, attempt.fencing_token, AttemptState.SUPERSEDED, now, end.why)
    jobs.set_job_state(transaction, attempt.job_id, end.following, now, end.why, **rests)
    log.info(
        "attempt_ended",
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        state=AttemptState.SUPERSEDED,
        job_state=end.following,
        reason=end.why,
    )


def _start(transaction: Transaction, head: Head, now: int) -> None:
    attempt = attempts.add_attempt(transaction, head.job_id, head.unit_id, now)
    jobs.set_job_state(transaction, head.job_id, JobState.ASSIGNED, now)
    metrics.DISPATCH_SECONDS.observe(max(0, now - max(head.created_at, head.not_before)))
    log.info(
        "job_assigned",
        job_id=head.job_id,
        unit_id=head.unit_id,
        attempt=attempt.attempt,
        fencing_token=attempt.fencing_token,
    )
