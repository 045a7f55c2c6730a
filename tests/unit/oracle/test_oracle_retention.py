"""Artifacts stay while anything needs them and go after their retention, by a naive model of the need."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from oracle.artifact_folder import ArtifactFolder
from oracle.artifacts import Staging
from oracle.housekeeping import Housekeeper, Retention
from oracle.jobs import JOB_TRANSITIONS, UNFINISHED_JOBS, JobState
from oracle.store import artifacts, retention, uploads
from oracle.store.artifact_tables import artifacts as artifact_rows
from oracle.store.engine import Store, Transaction, open_store
from oracle.store.entities import write_changes
from oracle.store.jobs import insert_job, set_job_state
from oracle.store.schema import metadata
from oracle.uploads import Quotas, Uploads
from protocol.errors import DutyLost, ServiceUnavailable
from protocol.ledger import Changes, LeaseEntry
from protocol.structs import ArtifactRef, LeaseStatus
from protocol.units import Digest, JobId
from tests.unit.oracle.oracle_samples import MONDAY, RENTER, job_of, make_lease, make_order, make_terms

KEPT_SECONDS, UPLOAD_SECONDS = 100, 40
DATA = [b"artifact %d" % index for index in range(4)]
DIGESTS = [Digest(hashlib.sha256(data).digest()) for data in DATA]
QUOTAS = Quotas(1 << 20, 1 << 30, 1 << 30, 1 << 30, 64)


@dataclass(slots=True)
class World:
    """The real thing, and beside it what a person would write down."""

    store: Store
    folder: ArtifactFolder
    staging: Staging
    now: int = MONDAY
    leases: list[LeaseEntry] = field(default_factory=list[LeaseEntry])
    jobs: list[tuple[JobId, int, int]] = field(default_factory=list[tuple[JobId, int, int]])
    states: dict[JobId, JobState] = field(default_factory=dict[JobId, JobState])
    uploaded_at: dict[int, int] = field(default_factory=dict[int, int])
    coming: dict[int, int] = field(default_factory=dict[int, int])
    unneeded_since: dict[int, int | None] = field(default_factory=dict[int, int | None])
    uploads: Uploads = field(init=False)
    housekeeper: Housekeeper = field(init=False)

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.store, self.staging, self.folder, QUOTAS, lambda: self.now)
        kept = Retention(KEPT_SECONDS, UPLOAD_SECONDS, sweep_seconds=1000)
        self.housekeeper = Housekeeper(self.store, self.folder, self.uploads, lambda: self.now, kept)

    def upload(self, index: int) -> None:
        with self.staging.upload(100) as upload:
            upload.write(DATA[index])
            self.uploads.store_whole(RENTER, upload.complete(DIGESTS[index]))
        self.uploaded_at[index] = self.now
        self.unneeded_since.setdefault(index, None)
        self.coming.pop(index, None)

    def begin(self, index: int) -> None:
        if index not in self.uploaded_at:
            self.uploads.begin(RENTER, DIGESTS[index], len(DATA[index]))
            self.coming[index] = self.now

    def open(self, previous: int) -> None:
        """A lease that follows on one of those before, or on none."""
        terms = make_terms(salt=len(self.leases))
        if previous < len(self.leases):
            terms = replace(terms, previous_lease_id=self.leases[previous].lease_id)
        self._write(make_lease(terms), len(self.leases))

    def change(self, index: int, status: LeaseStatus) -> None:
        if index < len(self.leases) and self.leases[index].status is not LeaseStatus.CLOSED:
            self._write(replace(self.leases[index], status=status), index)

    def order(self, lease: int, index: int) -> None:
        if lease >= len(self.leases):
            return
        terms = self.leases[lease].terms
        signed = make_order(terms, nonce=len(self.jobs))
        bundle = ArtifactRef(DIGESTS[index], DIGESTS[index], 1)
        signed = replace(signed, order=replace(signed.order, bundle=bundle))
        with self.store.write() as transaction:
            insert_job(transaction, job_of(signed), RENTER, terms, signed, self.now)
        self.jobs.append((job_of(signed), lease, index))
        self.states[job_of(signed)] = JobState.WAITING

    def end(self, job: int, state: JobState) -> None:
        """By the steps that lead there, if any do."""
        if job < len(self.jobs):
            job_id = self.jobs[job][0]
            for step in steps_between(self.states[job_id], state):
                with self.store.write() as transaction:
                    set_job_state(transaction, job_id, step, self.now)
                self.states[job_id] = step

    def turn(self, seconds: int) -> None:
        self.now += seconds
        self.coming = {index: at for index, at in self.coming.items() if at >= self.now - UPLOAD_SECONDS}
        self.housekeeper.turn()
        for index in list(self.unneeded_since):
            if self.is_needed(index):
                self.unneeded_since[index] = None
            elif self.unneeded_since[index] is None:
                self.unneeded_since[index] = self.now
            since = self.unneeded_since[index]
            if since is not None and max(since, self.uploaded_at[index]) < self.now - KEPT_SECONDS:
                del self.unneeded_since[index], self.uploaded_at[index]

    def is_needed(self, index: int) -> bool:
        """Written as one would say it, job by job, lease by lease."""
        if index in self.coming:
            return True
        for job_id, lease, used in self.jobs:
            if used == index and (self.states[job_id] in UNFINISHED_JOBS or self.is_live(lease)):
                return True
        return False

    def is_live(self, index: int) -> bool:
        lease = self.leases[index]
        if lease.status is not LeaseStatus.CLOSED:
            return True
        followers = (i for i, e in enumerate(self.leases) if e.terms.previous_lease_id == lease.lease_id)
        return any(self.is_live(follower) for follower in followers)

    def check(self) -> None:
        with self.store.read() as transaction:
            stored = {Digest(row[0]) for row in transaction.execute(select(artifact_rows.c.digest))}
        expected = {DIGESTS[index] for index in self.uploaded_at}
        assert stored == expected == set(self.folder.digests())
        for index in self.uploaded_at:
            assert self.folder.read(DIGESTS[index], 0, 100) == DATA[index]

    def _write(self, lease: LeaseEntry, index: int) -> None:
        self.leases[index:] = [lease, *self.leases[index + 1 :]]
        with self.store.write() as transaction:
            write_changes(transaction, [Changes(leases=(lease,))])


def steps_between(current: JobState, wanted: JobState) -> tuple[JobState, ...]:
    paths: deque[tuple[JobState, ...]] = deque([()])
    seen = {current}
    while paths:
        path = paths.popleft()
        reached = path[-1] if path else current
        if reached is wanted:
            return path
        fresh = [state for state in JobState if state in JOB_TRANSITIONS[reached] and state not in seen]
        seen.update(fresh)
        paths.extend((*path, state) for state in fresh)
    return ()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, ArtifactFolder, Path]]:
    root = tmp_path_factory.mktemp("retention")
    on_file = request.param == "sqlite"
    url = (
        f"sqlite:///{root / 'store.sqlite'}"
        if on_file
        else request.getfixturevalue("postgres").new_database()
    )
    store = open_store(url)
    yield store, ArtifactFolder(root / "store"), root
    store.close()


def fresh_world(ground: tuple[Store, ArtifactFolder, Path]) -> World:
    store, folder, root = ground
    with store.write() as transaction:
        for table in reversed(metadata.sorted_tables):
            transaction.execute(delete(table))
    for digest in folder.digests():
        folder.remove(digest)
    return World(store, folder, Staging(root / "incoming"))


SMALL, SECONDS = st.integers(0, 3), st.sampled_from((1, 30, 60, 101, 150))
ENDS = st.sampled_from((JobState.FINISHED, JobState.PROVEN, JobState.ABANDONED, JobState.EXPIRED))
STATUSES = st.sampled_from((LeaseStatus.BREACHED, LeaseStatus.CLOSED, LeaseStatus.CLOSED))
OPEN, DONE = ("open", 0), ("end", 0, JobState.PROVEN)
CLOSED = ("change", 0, LeaseStatus.CLOSED)
STEPS = st.one_of(
    st.tuples(st.just("upload"), SMALL),
    st.tuples(st.just("begin"), SMALL),
    st.tuples(st.just("open"), SMALL),
    st.tuples(st.just("change"), SMALL, STATUSES),
    st.tuples(st.just("order"), SMALL, SMALL),
    st.tuples(st.just("end"), SMALL, ENDS),
    st.tuples(st.just("turn"), SECONDS),
    st.tuples(st.just("turn"), SECONDS),
)


# Every step is on the disk before the next: a tenth of the examples that others have.
@settings(max_examples=max(12, settings().max_examples // 10))
@given(st.lists(STEPS, min_size=5, max_size=25))
# A lease follows on the closed one.
@example([OPEN, DONE, CLOSED, ("turn", 150), ("turn", 150)])
# The lease is closed, its job has not ended.
@example([CLOSED, ("turn", 150), ("turn", 150)])
# Uploaded again while nothing needs it.
@example([("turn", 1), ("turn", 60), ("upload", 1), ("turn", 60), ("turn", 101)])
# The retention begins when the need ends, not before.
@example([("turn", 1), DONE, CLOSED, ("turn", 60), ("turn", 60), ("turn", 60)])
# A breached lease may yet be disputed; needed again in time, it stays.
@example([DONE, ("change", 0, LeaseStatus.BREACHED), ("turn", 150), ("turn", 150), CLOSED, ("turn", 60)])
@example([("turn", 1), ("turn", 60), ("order", 0, 1), ("turn", 60), ("turn", 60)])
def test_retention__whatever_happens__keeps_what_is_needed_and_nothing_else(
    ground: tuple[Store, ArtifactFolder, Path], steps: list[tuple[object, ...]]
) -> None:
    world = fresh_world(ground)
    for index in range(len(DATA)):
        world.upload(index)
    world.open(previous=9)
    world.order(0, 0)
    for name, *arguments in steps:
        getattr(world, str(name))(*arguments)
        if name == "turn":
            world.check()
    # At the end nothing needs anything.
    for index in range(len(world.leases)):
        world.change(index, LeaseStatus.CLOSED)
    for job in range(len(world.jobs)):
        world.end(job, JobState.PROVEN)
    for _ in range(3):
        world.turn(KEPT_SECONDS + 1)
    world.check()
    assert not world.uploaded_at


def test_leaving__until_the_bytes_are_gone__no_upload_begins(
    ground: tuple[Store, ArtifactFolder, Path],
) -> None:
    """Killed between the rows and the bytes, the next turn ends it; an upload waits for that."""
    world = fresh_world(ground)
    world.upload(0)
    with world.store.write() as transaction:
        retention.mark_unneeded(transaction, world.now)
        assert retention.expel_unneeded(transaction, world.now + 1, 10) == [DIGESTS[0]]
    assert artifact_of(world) is None and DIGESTS[0] in set(world.folder.digests())
    for store_again in (lambda: world.upload(0), lambda: world.uploads.begin(RENTER, DIGESTS[0], 10)):
        with pytest.raises(ServiceUnavailable) as refused:
            store_again()
        assert refused.value.code == "artifact_leaving"
    world.housekeeper.turn()
    assert set(world.folder.digests()) == set()
    world.upload(0)
    assert artifact_of(world) is not None and DIGESTS[0] in set(world.folder.digests())


def test_leaving__upload_begun_before__keeps_it(ground: tuple[Store, ArtifactFolder, Path]) -> None:
    world = fresh_world(ground)
    world.upload(0)
    with world.store.write() as transaction:
        retention.mark_unneeded(transaction, world.now)
        uploads.begin_upload(transaction, RENTER, DIGESTS[0], 10, world.now)
        assert retention.expel_unneeded(transaction, world.now + 1, 10) == []
        uploads.end_upload(transaction, uploads.upload_id_of(RENTER, DIGESTS[0]))
        assert retention.expel_unneeded(transaction, world.now + 1, 10) == [DIGESTS[0]]


def test_leaving__duty_lost_in_between__bytes_are_left_to_who_has_it(
    ground: tuple[Store, ArtifactFolder, Path],
) -> None:
    """By then somebody may have stored them again."""
    world = fresh_world(ground)
    world.upload(0)
    world.turn(1)

    def check(transaction: Transaction) -> None:
        if retention.leaving(transaction):
            raise DutyLost("another process took over")

    world.now += KEPT_SECONDS + 2
    kept = Retention(KEPT_SECONDS, UPLOAD_SECONDS, sweep_seconds=1000)
    paused = Housekeeper(world.store.guarded(check), world.folder, world.uploads, lambda: world.now, kept)
    with pytest.raises(DutyLost):
        paused.turn()
    assert artifact_of(world) is None and DIGESTS[0] in set(world.folder.digests())
    world.housekeeper.turn()
    assert set(world.folder.digests()) == set()


def test_strays__bytes_that_no_row_knows__go_unless_they_are_coming(
    ground: tuple[Store, ArtifactFolder, Path],
) -> None:
    """Killed after the bytes were put and before the row: the upload's row keeps them until it expires."""
    world = fresh_world(ground)
    world.begin(1)
    for index in (0, 1):
        with world.staging.upload(100) as upload:
            upload.write(DATA[index])
            world.folder.keep(upload.complete(DIGESTS[index]).path, DIGESTS[index])
    world.housekeeper.turn()
    assert set(world.folder.digests()) == {DIGESTS[1]}


def artifact_of(world: World) -> artifacts.ArtifactEntry | None:
    with world.store.read() as transaction:
        return artifacts.get_artifact(transaction, DIGESTS[0])
