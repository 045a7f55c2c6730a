"""When an attempt has gone on for long enough, by the state that it is in. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.jobs import AttemptState
from oracle.store.queues import ActiveAttempt


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds from when an attempt came into a state. `run_grace`: beyond what its order allows.

    `cancel`: from when its renter asked for its end. `max_attempts`: of a job, whatever they end with.
    """

    accept_seconds: int = 60
    prepare_seconds: int = 3600
    run_grace_seconds: int = 600
    upload_seconds: int = 3600
    cancel_seconds: int = 120
    max_attempts: int = 20


def overdue(active: ActiveAttempt, now: int, timeouts: Timeouts) -> str:
    """Why the attempt ends, empty where it goes on."""
    allowed_seconds, missing = {
        AttemptState.ASSIGNED: (timeouts.accept_seconds, "not accepted"),
        AttemptState.ACCEPTED: (timeouts.prepare_seconds, "not prepared"),
        AttemptState.PREPARING: (timeouts.prepare_seconds, "not prepared"),
        AttemptState.RUNNING: (active.wall_seconds + timeouts.run_grace_seconds, "not ended"),
        AttemptState.UPLOADING: (timeouts.upload_seconds, "no receipt"),
    }[active.attempt.state]
    if now - active.attempt.updated_at > allowed_seconds:
        return f"{missing} within {allowed_seconds} s"
    return ""


def cancel_overdue(active: ActiveAttempt, now: int, timeouts: Timeouts) -> bool:
    """Whether the receipt of an attempt that its renter has cancelled is awaited no longer.

    One that has ended already and is being uploaded has the time that uploads have.
    """
    asked_at = active.cancel_asked_at
    if asked_at is None or active.attempt.state == AttemptState.UPLOADING:
        return False
    return now - asked_at > timeouts.cancel_seconds
