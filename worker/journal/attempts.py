"""Attempts at jobs, their states, and the files they leave."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from protocol.units import Digest, JobId, LeaseId

Begin = Callable[[], AbstractContextManager[sqlite3.Connection]]


class AttemptState(StrEnum):
    """`FINISHED`: its receipt is written. `LOST`: the worker died under it. The last three are ends."""

    ACCEPTED = "accepted"
    PREPARING = "preparing"
    RUNNING = "running"
    UPLOADING = "uploading"
    FINISHED = "finished"
    LOST = "lost"
    REFUSED = "refused"


LEGAL: Final[dict[AttemptState, frozenset[AttemptState]]] = {
    AttemptState.ACCEPTED: frozenset(
        {AttemptState.PREPARING, AttemptState.UPLOADING, AttemptState.LOST, AttemptState.REFUSED}
    ),
    AttemptState.PREPARING: frozenset(
        {AttemptState.RUNNING, AttemptState.UPLOADING, AttemptState.LOST, AttemptState.REFUSED}
    ),
    AttemptState.RUNNING: frozenset({AttemptState.UPLOADING, AttemptState.LOST}),
    AttemptState.UPLOADING: frozenset({AttemptState.FINISHED}),
    AttemptState.FINISHED: frozenset(),
    AttemptState.LOST: frozenset(),
    AttemptState.REFUSED: frozenset(),
}
IN_FLIGHT: Final = frozenset(state for state, following in LEGAL.items() if following)


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """`assignment` is the link's message as it came; `ending` is JSON, from the state UPLOADING on."""

    job_id: JobId
    attempt: int
    fencing_token: int
    lease_id: LeaseId
    assignment: bytes
    state: AttemptState
    detail: str
    ending: str | None
    log_acked_bytes: int

    @property
    def key(self) -> tuple[JobId, int]:
        return self.job_id, self.attempt


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """`digest` is the plaintext's; `sealed` that of the file at `path` where it is a sealed one."""

    name: str
    digest: Digest
    path: Path
    size_bytes: int
    uploaded: bool
    sealed: Digest | None = None

    @property
    def file_digest(self) -> Digest:
        return self.sealed or self.digest


class AttemptRows:
    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def add(
        self, job_id: JobId, attempt: int, fencing_token: int, lease_id: LeaseId, assignment: bytes
    ) -> bool:
        """False where the attempt is known already."""
        with self._begin() as db:
            cursor = db.execute(
                "INSERT INTO attempts (job_id, attempt, fencing_token, lease_id, assignment, state) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (job_id, attempt, fencing_token, lease_id, assignment, AttemptState.ACCEPTED),
            )
            return cursor.rowcount == 1

    def get(self, job_id: JobId, attempt: int) -> AttemptRow | None:
        with self._begin() as db:
            found = db.execute(
                "SELECT * FROM attempts WHERE job_id = ? AND attempt = ?", (job_id, attempt)
            ).fetchone()
        return None if found is None else _attempt(found)

    def of_job(self, job_id: JobId) -> list[AttemptRow]:
        with self._begin() as db:
            rows = db.execute(
                "SELECT * FROM attempts WHERE job_id = ? ORDER BY attempt", (job_id,)
            ).fetchall()
        return [_attempt(row) for row in rows]

    def in_states(self, states: Iterable[AttemptState]) -> list[AttemptRow]:
        """In the order in which they were assigned."""
        wanted = sorted(states)
        marks = ", ".join("?" * len(wanted))
        with self._begin() as db:
            rows = db.execute(
                f"SELECT * FROM attempts WHERE state IN ({marks}) ORDER BY fencing_token",  # noqa: S608  marks alone
                wanted,
            ).fetchall()
        return [_attempt(row) for row in rows]

    def move(self, job_id: JobId, attempt: int, state: AttemptState, detail: str = "") -> None:
        """RuntimeError where the state does not follow from the present one."""
        with self._begin() as db:
            self._check(job_id, attempt, state)
            db.execute(
                "UPDATE attempts SET state = ?, detail = ? WHERE job_id = ? AND attempt = ?",
                (state, detail, job_id, attempt),
            )

    def end(
        self, job_id: JobId, attempt: int, ending: str, artifacts: Sequence[ArtifactRow], detail: str = ""
    ) -> None:
        """The run is over and its files are written: what is left is to upload them and to sign."""
        with self._begin() as db:
            self._check(job_id, attempt, AttemptState.UPLOADING)
            db.execute(
                "UPDATE attempts SET state = ?, detail = ?, ending = ? WHERE job_id = ? AND attempt = ?",
                (AttemptState.UPLOADING, detail, ending, job_id, attempt),
            )
            db.executemany(
                "INSERT INTO artifacts (job_id, attempt, name, digest, path, size_bytes, sealed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(job_id, attempt, a.name, a.digest, str(a.path), a.size_bytes, a.sealed) for a in artifacts],
            )

    def artifacts(self, job_id: JobId, attempt: int) -> list[ArtifactRow]:
        with self._begin() as db:
            rows = db.execute(
                "SELECT * FROM artifacts WHERE job_id = ? AND attempt = ? ORDER BY name", (job_id, attempt)
            ).fetchall()
        return [_artifact(row) for row in rows]

    def mark_uploaded(self, job_id: JobId, attempt: int, name: str) -> None:
        with self._begin() as db:
            db.execute(
                "UPDATE artifacts SET uploaded = 1 WHERE job_id = ? AND attempt = ? AND name = ?",
                (job_id, attempt, name),
            )

    def mark_log_acked(self, job_id: JobId, attempt: int, next_offset: int) -> None:
        with self._begin() as db:
            db.execute(
                "UPDATE attempts SET log_acked_bytes = ? WHERE job_id = ? AND attempt = ?",
                (next_offset, job_id, attempt),
            )

    def drop_artifacts(self, job_id: JobId, attempt: int, ending: str, names: Sequence[str]) -> None:
        """The files cannot be delivered: they are named no more, and the ending says so."""
        with self._begin() as db:
            db.execute(
                "UPDATE attempts SET ending = ? WHERE job_id = ? AND attempt = ?", (ending, job_id, attempt)
            )
            db.executemany(
                "DELETE FROM artifacts WHERE job_id = ? AND attempt = ? AND name = ?",
                [(job_id, attempt, name) for name in names],
            )

    def _check(self, job_id: JobId, attempt: int, following: AttemptState) -> None:
        row = self.get(job_id, attempt)
        if row is None or following not in LEGAL[row.state]:
            now = "unknown" if row is None else row.state
            raise RuntimeError(f"attempt {attempt} of {job_id.hex()}: {now} cannot become {following}")


def _artifact(row: sqlite3.Row) -> ArtifactRow:
    return ArtifactRow(
        name=row["name"],
        digest=Digest(row["digest"]),
        path=Path(row["path"]),
        size_bytes=row["size_bytes"],
        uploaded=bool(row["uploaded"]),
        sealed=None if row["sealed"] is None else Digest(row["sealed"]),
    )


def _attempt(row: sqlite3.Row) -> AttemptRow:
    return AttemptRow(
        job_id=JobId(row["job_id"]),
        attempt=row["attempt"],
        fencing_token=row["fencing_token"],
        lease_id=LeaseId(row["lease_id"]),
        assignment=row["assignment"],
        state=AttemptState(row["state"]),
        detail=row["detail"],
        ending=row["ending"],
        log_acked_bytes=row["log_acked_bytes"],
    )
