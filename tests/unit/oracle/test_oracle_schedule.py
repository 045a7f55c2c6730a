"""When a lease's jobs may run, and when the keeper may act."""

from hypothesis import given
from hypothesis import strategies as st

from oracle import schedule
from protocol.structs import LeaseStatus
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import GRACE_SECONDS, HOUR, MONDAY

NIGHTS = sum(1 << hour for hour in range(168) if hour % 24 in (22, 23))


def test_may_run__hours_of_the_mask__only_those() -> None:
    lease = samples.make_lease(samples.make_terms(hours=NIGHTS))
    assert not schedule.may_run(lease, MONDAY)
    assert not schedule.may_run(lease, MONDAY + 22 * HOUR - 1)
    assert schedule.may_run(lease, MONDAY + 22 * HOUR)
    assert schedule.may_run(lease, MONDAY + 24 * HOUR - 1)
    assert not schedule.may_run(lease, MONDAY + 24 * HOUR)


@given(st.integers(-10, 25 * HOUR))
def test_may_run__always_mask__half_open_interval(offset: int) -> None:
    lease = samples.make_lease()
    assert schedule.may_run(lease, MONDAY + offset) == (0 <= offset < 24 * HOUR)


def test_may_run__noticed_end__counts() -> None:
    lease = samples.make_lease(end=MONDAY + 100)
    assert schedule.may_run(lease, MONDAY + 99)
    assert not schedule.may_run(lease, MONDAY + 100)


def test_may_run__breached_or_closed__never() -> None:
    for status in (LeaseStatus.BREACHED, LeaseStatus.CLOSED):
        assert not schedule.may_run(samples.make_lease(status=status), MONDAY + 1)


def test_can_close__nothing_settled__only_after_last_post() -> None:
    lease = samples.make_lease()
    assert not schedule.can_close(lease, lease.end + GRACE_SECONDS, GRACE_SECONDS)
    assert schedule.can_close(lease, lease.end + GRACE_SECONDS + 1, GRACE_SECONDS)


def test_can_close__all_settled__at_end() -> None:
    lease = samples.make_lease(settled_seconds=24 * HOUR)
    assert not schedule.can_close(lease, lease.end - 1, GRACE_SECONDS)
    assert schedule.can_close(lease, lease.end, GRACE_SECONDS)


def test_can_close__pending_proof__only_once_matured() -> None:
    lease = samples.make_lease(pending_seconds=24 * HOUR, matures_at=MONDAY + 25 * HOUR)
    assert not schedule.can_close(lease, MONDAY + 25 * HOUR - 1, GRACE_SECONDS)
    assert schedule.can_close(lease, MONDAY + 25 * HOUR, GRACE_SECONDS)


def test_can_settle__matured_proof_of_an_open_lease__alone() -> None:
    lease = samples.make_lease(pending_seconds=5, matures_at=MONDAY + 50)
    assert not schedule.can_settle(lease, MONDAY + 49)
    assert schedule.can_settle(lease, MONDAY + 50)
    assert not schedule.can_settle(samples.make_lease(), MONDAY + 50)


def test_disputed_lease__nothing__settles_or_closes() -> None:
    lease = samples.make_lease(pending_seconds=24 * HOUR, matures_at=MONDAY + 5, open_disputes=1)
    late = MONDAY + 30 * 24 * HOUR
    assert not schedule.can_settle(lease, late)
    assert not schedule.can_close(lease, late, GRACE_SECONDS)


def test_can_close__last_post_moved_by_a_dispute__waits_for_it() -> None:
    lease = samples.make_lease(moved_last_post=MONDAY + 25 * HOUR)
    assert schedule.last_post(lease, GRACE_SECONDS) == MONDAY + 25 * HOUR
    assert not schedule.can_close(lease, MONDAY + 25 * HOUR, GRACE_SECONDS)
    assert schedule.can_close(lease, MONDAY + 25 * HOUR + 1, GRACE_SECONDS)


def test_breached_lease__closes_and_frees_its_hours__at_once() -> None:
    lease = samples.make_lease(status=LeaseStatus.BREACHED, end=MONDAY + 5)
    assert schedule.can_close(lease, MONDAY + 5, GRACE_SECONDS)
    assert schedule.can_release(lease, MONDAY + 5)
    assert not schedule.can_settle(lease, MONDAY + 5)


def test_can_release__once__after_the_end() -> None:
    assert not schedule.can_release(samples.make_lease(), MONDAY + 24 * HOUR - 1)
    assert schedule.can_release(samples.make_lease(), MONDAY + 24 * HOUR)
    assert not schedule.can_release(samples.make_lease(hours_released=True), MONDAY + 24 * HOUR)
