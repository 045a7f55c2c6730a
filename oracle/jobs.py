"""The life of a job and of its attempts: which states there are, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from protocol.errors import InvariantBroken


class JobState(StrEnum):
    """waiting: bundle missing, or lease not confirmed or started. proven: a posted proof has its receipt.

    unproven: none has, and the lease takes no more proofs.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    FINISHED = "finished"
    PROVEN = "proven"
    EXPIRED = "expired"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    UNPROVEN = "unproven"


class Wait(StrEnum):
    """What a waiting job waits for: its detail. FRESH: nobody has looked yet."""

    FRESH = ""
    LEASE = "the lease is not on the chain"
    CONFIRMATION = "the lease is not confirmed"
    START = "the lease has not started"
    ARTIFACTS = "the bundle or the data is not uploaded"


class AttemptState(StrEnum):
    """The worker reports accepted to uploading, lost and refused; the oracle decides the others."""

    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    PREPARING = "preparing"
    RUNNING = "running"
    UPLOADING = "uploading"
    FINISHED = "finished"
    LOST = "lost"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


MAX_PRIORITY = 9

_GIVEN_UP = frozenset({JobState.ABANDONED, JobState.CANCELLED})

# Back to waiting: a reorganisation took the lease away. Back to queued: the attempt was lost.
# proven -> finished: a reorganisation took the proof away; unproven -> finished: the lease's end. unproven ->
# proven: the evidence of a posted proof came late.
JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.QUEUED, JobState.EXPIRED}) | _GIVEN_UP,
    JobState.QUEUED: frozenset({JobState.ASSIGNED, JobState.FINISHED, JobState.WAITING, JobState.EXPIRED})
    | _GIVEN_UP,
    JobState.ASSIGNED: frozenset({JobState.RUNNING, JobState.FINISHED, JobState.QUEUED, JobState.WAITING})
    | _GIVEN_UP,
    JobState.RUNNING: frozenset({JobState.FINISHED, JobState.QUEUED, JobState.WAITING}) | _GIVEN_UP,
    JobState.FINISHED: frozenset({JobState.PROVEN, JobState.UNPROVEN}),
    JobState.PROVEN: frozenset({JobState.FINISHED}),
    JobState.UNPROVEN: frozenset({JobState.FINISHED, JobState.PROVEN}),
    JobState.EXPIRED: frozenset(),
    JobState.ABANDONED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

ACTIVE_ATTEMPTS = frozenset(
    {
        AttemptState.ASSIGNED,
        AttemptState.ACCEPTED,
        AttemptState.PREPARING,
        AttemptState.RUNNING,
        AttemptState.UPLOADING,
    }
)
# A refused attempt may still be followed by the signed receipt that says so.
RECEIVING_ATTEMPTS = ACTIVE_ATTEMPTS | {AttemptState.REFUSED}
UNFINISHED_JOBS = frozenset({JobState.WAITING, JobState.QUEUED, JobState.ASSIGNED, JobState.RUNNING})

# What each report of the worker means for the job.
JOB_STATE_OF_ATTEMPT: dict[AttemptState, JobState] = {
    AttemptState.ACCEPTED: JobState.ASSIGNED,
    AttemptState.PREPARING: JobState.ASSIGNED,
    AttemptState.RUNNING: JobState.RUNNING,
    AttemptState.UPLOADING: JobState.RUNNING,
    AttemptState.LOST: JobState.QUEUED,
    AttemptState.REFUSED: JobState.QUEUED,
}

_PROGRESS = (
    AttemptState.ASSIGNED,
    AttemptState.ACCEPTED,
    AttemptState.PREPARING,
    AttemptState.RUNNING,
    AttemptState.UPLOADING,
)
_ENDS = frozenset({AttemptState.FINISHED, AttemptState.LOST, AttemptState.REFUSED, AttemptState.SUPERSEDED})

# Reports may be skipped, and never come back. A refusal may be followed by its receipt.
ATTEMPT_TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    **{state: _ENDS.union(_PROGRESS[place + 1 :]) for place, state in enumerate(_PROGRESS)},
    **{state: frozenset[AttemptState]() for state in _ENDS},
    AttemptState.REFUSED: frozenset({AttemptState.FINISHED}),
}


def check_job_transition(current: JobState, following: JobState) -> None:
    """Raises InvariantBroken where the oracle itself would take a step that no job may take."""
    if following not in JOB_TRANSITIONS[current]:
        legal = ", ".join(sorted(JOB_TRANSITIONS[current])) or "none"
        raise InvariantBroken(f"one of {legal} after {current}", following)


def attempt_after(current: AttemptState, reported: AttemptState) -> AttemptState | None:
    """The attempt's next state after a worker's report; None where the report changes nothing.

    Reports are resent after a reconnect, so an older one than what is known is not an error.
    """
    if current not in ACTIVE_ATTEMPTS or reported not in JOB_STATE_OF_ATTEMPT:
        return None
    if reported in (AttemptState.LOST, AttemptState.REFUSED):
        return reported
    return reported if _PROGRESS.index(reported) > _PROGRESS.index(current) else None


def refusal_pause_seconds(attempt: int) -> int:
    """How long a job rests after that attempt was refused or took too long: 30 s doubled, to 10 min."""
    return min(30 * 2 ** min(attempt - 1, 10), 600)
