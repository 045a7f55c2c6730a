"""The states of jobs and attempts."""

import itertools

import pytest

from oracle.jobs import (
    ACTIVE_ATTEMPTS,
    JOB_STATE_OF_ATTEMPT,
    JOB_TRANSITIONS,
    AttemptState,
    JobState,
    attempt_after,
    check_job_transition,
    refusal_pause_seconds,
)
from protocol.errors import InvariantBroken

ENDED = {JobState.EXPIRED, JobState.ABANDONED, JobState.CANCELLED}


def test_transitions__every_pair__legal_or_refused() -> None:
    for current, following in itertools.product(JobState, JobState):
        if following in JOB_TRANSITIONS[current]:
            check_job_transition(current, following)
        else:
            with pytest.raises(InvariantBroken):
                check_job_transition(current, following)


def test_transitions__ended_jobs__lead_nowhere() -> None:
    assert all(not JOB_TRANSITIONS[state] for state in ENDED)


def test_transitions__finished_job__never_runs_again() -> None:
    reachable, frontier = set(), {JobState.FINISHED}
    while frontier:
        reachable |= frontier
        frontier = {n for s in frontier for n in JOB_TRANSITIONS[s]} - reachable
    assert reachable == {JobState.FINISHED, JobState.PROVEN, JobState.UNPROVEN}


def test_attempt_after__resent_older_report__changes_nothing() -> None:
    assert attempt_after(AttemptState.RUNNING, AttemptState.PREPARING) is None
    assert attempt_after(AttemptState.RUNNING, AttemptState.RUNNING) is None
    assert attempt_after(AttemptState.RUNNING, AttemptState.UPLOADING) is AttemptState.UPLOADING


def test_attempt_after__lost_or_refused__from_any_active_state() -> None:
    for state in ACTIVE_ATTEMPTS:
        assert attempt_after(state, AttemptState.LOST) is AttemptState.LOST
        assert attempt_after(state, AttemptState.REFUSED) is AttemptState.REFUSED


def test_attempt_after__attempt_over__nothing_follows() -> None:
    for current, reported in itertools.product(set(AttemptState) - ACTIVE_ATTEMPTS, AttemptState):
        assert attempt_after(current, reported) is None


def test_attempt_after__states_that_only_the_oracle_decides__ignored() -> None:
    for reported in set(AttemptState) - set(JOB_STATE_OF_ATTEMPT):
        assert attempt_after(AttemptState.RUNNING, reported) is None


def test_refusal_pause__grows__to_ten_minutes() -> None:
    assert [refusal_pause_seconds(n) for n in (1, 2, 3, 6, 5000)] == [30, 60, 120, 600, 600]
