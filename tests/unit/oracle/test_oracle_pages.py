"""Pages of lists that grow while they are read, on a real store."""

from collections.abc import Iterator

from oracle.jobs import JobState
from oracle.store import history, jobs
from oracle.store.engine import Store
from protocol.events import Event, HoursReleased
from protocol.units import JobId, UnixTime
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import MONDAY, RENTER, UNIT_ID, WORKER

TERMS = samples.make_terms()
LEASE_ID = samples.make_lease(TERMS).lease_id


def add_job(store: Store, nonce: int, renter: str = RENTER) -> JobId:
    signed = samples.make_order(TERMS, nonce=nonce)
    with store.write() as transaction:
        jobs.insert_job(transaction, samples.job_of(signed), renter, TERMS, signed, MONDAY + nonce)
    return samples.job_of(signed)


def pages(store: Store, renter: str | None) -> Iterator[list[JobId]]:
    after = 0
    while True:
        with store.read() as transaction:
            found = jobs.list_jobs(transaction, LEASE_ID, renter, after, 2)
        if not found:
            return
        after = found[-1].sequence
        yield [job.job_id for job in found]


def test_jobs__more_ordered_between_pages__each_seen_once_in_order(store: Store) -> None:
    added = [add_job(store, nonce) for nonce in range(5)]
    seen: list[JobId] = []
    for page in pages(store, RENTER):
        seen += page
        if len(added) < 9:
            added.append(add_job(store, len(added)))
            add_job(store, 100 + len(added), renter=WORKER)
    assert seen == added


def test_changes__of_jobs__each_once_until_it_changes_again(store: Store) -> None:
    first, second = add_job(store, 1), add_job(store, 2)

    def changes(after: tuple[int, int], until: int = MONDAY + 50) -> list[jobs.JobChange]:
        with store.read() as transaction:
            return jobs.list_changes(transaction, LEASE_ID, RENTER, after, until, 10)

    found = changes((0, 0))
    assert [change.job_id for change in found] == [first, second]
    place = (found[-1].updated_at, found[-1].sequence)
    assert changes(place) == []
    with store.write() as transaction:
        jobs.set_job_state(transaction, first, JobState.EXPIRED, MONDAY + 2)
    # In the very second of the last one told, by a lower sequence: a stream waits for the second to be over.
    assert changes((0, 0), MONDAY + 1) == []
    assert [change.state for change in changes((MONDAY + 1, 99))] == ["expired", "waiting"]


def test_events__of_a_lease__from_where_one_stopped_and_confirmed_only(store: Store) -> None:
    def event(block: int, index: int) -> tuple[Event, UnixTime]:
        return HoursReleased(samples.position(block, index), LEASE_ID, UNIT_ID), UnixTime(MONDAY)

    with store.write() as transaction:
        history.add_events(transaction, [event(5, 0), event(5, 3), event(7, 1)])
    with store.read() as transaction:

        def places(after: tuple[int, int], last_block: int) -> list[tuple[int, int]]:
            found = history.list_lease_events(transaction, LEASE_ID, after, last_block, 10)
            return [(block, index) for block, index, _, _ in found]

        assert places((0, 0), 7) == [(5, 0), (5, 3), (7, 1)]
        assert places((5, 0), 7) == [(5, 3), (7, 1)]
        assert places((5, 3), 6) == []
        assert history.list_lease_events(transaction, bytes(32), (0, 0), 9, 10) == []
