"""The life of one attempt at a job: check, prepare, run, upload, sign. Each step is in the journal before its
effect.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import link, sealing
from protocol.bundle import extract_bundle
from protocol.errors import (
    ChainUnavailable,
    DigestMismatch,
    LimitExceeded,
    RejectedError,
    RetryableError,
)
from protocol.json_text import canonical_json
from protocol.orders import check_order
from protocol.signed import SignedOrder, SignedReceipt
from protocol.structs import ArtifactRef, JobClass, JobOutcome, JobReceipt, Terms, to_json
from protocol.typed_data import Domain, Signer, sign
from protocol.units import ZERO_DIGEST, Address, Digest, UnitId, to_hex
from worker.artifacts import ArtifactClient
from worker.folders import attempt_folder, remove_folder
from worker.journal import ArtifactRow, AttemptRow, AttemptState, Journal
from worker.leases import LeaseBook
from worker.logs import LOG_FILE, LogFile
from worker.outcome import (
    LOG_ARTIFACT,
    OUTPUT_ARTIFACT,
    Outcome,
    artifact_of,
    collect,
    failed,
    outcome_without_run,
)
from worker.sandbox import Ending, Sandbox, SandboxJob
from worker.sandbox.layout import Mount
from worker.sandbox.output_size import MAX_ENTRIES
from worker.seals import OrderKeys, open_input, open_order, seal_results

T = TypeVar("T")

_log: Final = structlog.get_logger(__name__)
RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 30.0
TRANSIENT_CODES: Final = frozenset({"lease_not_open", "lease_not_running"})
"""Refusals that only our own node, some blocks behind, may be the cause of."""
LAGGING_NODE_SECONDS: Final = 15.0
"""So long it may take to catch up before the order is refused."""


class Stopped(Exception):
    """The worker stops, or nobody wants the attempt any more: it goes no further."""


class OrderRefused(Exception):
    """The order can never be run here. `signed`: whether a receipt may say so."""

    def __init__(self, error: RejectedError, *, signed: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.signed = signed


@dataclass(frozen=True, slots=True)
class Host:
    """What every attempt of this worker shares. `turn` lets one job at a time have the devices."""

    journal: Journal
    sandbox: Sandbox
    artifacts: ArtifactClient
    book: LeaseBook
    domain: Domain
    account: Signer
    unit_id: UnitId
    gpu_count: int
    devices: tuple[Mount, ...]
    device_environment: dict[str, str]
    environment_digest: Digest
    opaque_threads: int
    keys: Callable[[], Sequence[X25519PrivateKey]]
    """Of encryption: orders may be sealed to any of them, also to one that was made since the start."""
    folder: Path
    max_artifact_bytes: int
    energy_joules: Callable[[], int]
    report: Callable[[link.Status], None]
    wake_link: Callable[[], None]
    turn: threading.Lock


class Attempt:
    """Runs in a thread of its own, from whatever state the journal says."""

    def __init__(self, host: Host, row: AttemptRow) -> None:
        self.row = row
        self._host = host
        self._cancelled = threading.Event()
        self._stopping = threading.Event()
        self._folder = attempt_folder(host.folder, row)
        self._log = _log.bind(job_id=to_hex(row.job_id), attempt=row.attempt)
        assignment = msgspec.json.decode(row.assignment, type=link.Assignment)
        self._terms: Terms = assignment.read_terms()
        self._order: SignedOrder = assignment.read_order()
        self._keys = OrderKeys(None, None)

    def cancel(self) -> None:
        """The job stops as soon as it can; a receipt says so."""
        self._cancelled.set()

    def stop(self) -> None:
        """The worker stops: the journal keeps the state as it is."""
        self._stopping.set()
        self._cancelled.set()

    def run(self) -> None:
        try:
            if self.row.state is not AttemptState.UPLOADING:
                self._until_over()
            self._deliver()
        except Stopped:
            self._log.info("attempt_stopped")

    def _until_over(self) -> None:
        try:
            self._admit()
            with self._host.turn:
                self._prepare()
                self._run_job()
        except OrderRefused as refusal:
            self._refuse(refusal)
        except Stopped:
            if self._stopping.is_set():
                raise
            self._end(
                outcome_without_run(JobOutcome.CANCELLED, int(time.time()), "cancelled before it started")
            )

    def _admit(self) -> None:
        """Everything about the order that can be checked without the renter's bytes."""
        order = self._order.order
        try:
            self._check_order(self._host.book.renters(self._terms))
        except RejectedError as error:
            raise OrderRefused(error, signed=False) from error
        self._report(AttemptState.ACCEPTED)
        self._check_now()
        try:
            self._keys = open_order(self._host.domain, self._terms, order, self._host.keys())
            demanded = self._order.spec.environment_digest
            if demanded not in (ZERO_DIGEST, self._host.environment_digest):
                raise DigestMismatch(
                    f"environment: expected {to_hex(demanded)}, got {to_hex(self._host.environment_digest)}"
                )
        except RejectedError as error:
            raise OrderRefused(error, signed=True) from error

    def _check_order(self, renters: Sequence[Address]) -> None:
        order = self._order
        check_order(self._host.domain, self._terms, order.order, order.signature, order.spec, renters)

    def _check_now(self) -> None:
        """By the chain's clock: the lease holds this second, and the order may still start."""
        patience_ends = time.monotonic() + LAGGING_NODE_SECONDS

        def check() -> None:
            try:
                view = self._host.book.check(self._terms, self._order.order)
                self._check_order((view.renter,))
            except RejectedError as error:
                if error.code not in TRANSIENT_CODES or time.monotonic() >= patience_ends:
                    raise
                raise ChainUnavailable(error.message, code=error.code) from error

        try:
            self._retry(check)
        except RejectedError as error:
            raise OrderRefused(error, signed=error.code not in TRANSIENT_CODES) from error

    def _prepare(self) -> None:
        self._leave_if_cancelled()
        self._check_now()  # another job may have had the devices for hours
        self._move(AttemptState.PREPARING)
        remove_folder(self._folder)
        for name in ("out", "out/output", "out/trace"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        order, spec = self._order.order, self._order.spec
        (self._folder / "spec.json").write_bytes(canonical_json(to_json(spec)))
        archive = self._fetch(order.bundle, "bundle.tar", sealing.BUNDLE, self._keys.bundle)
        try:
            with archive.open("rb") as file:
                extract_bundle(file, self._folder / "bundle", self._host.max_artifact_bytes, MAX_ENTRIES)
        except RejectedError as error:
            raise OrderRefused(error, signed=True) from error
        archive.unlink()
        if order.data.plaintext_digest != ZERO_DIGEST:
            self._fetch(order.data, "data", sealing.DATA, self._keys.data)

    def _fetch(self, artifact: ArtifactRef, name: str, part: bytes, content_key: bytes | None) -> Path:
        """The plaintext of an input."""
        if content_key is None:
            return self._download(artifact, name)
        sealed, target = self._download(artifact, f"{name}.sealed"), self._folder / name
        try:
            open_input(sealed, target, artifact, content_key, part)
        except RejectedError as error:
            # The renter's own: these bytes are the ones that its order names.
            raise OrderRefused(error, signed=True) from error
        sealed.unlink()
        return target

    def _download(self, artifact: ArtifactRef, name: str) -> Path:
        target = self._folder / name
        limit_bytes = min(artifact.size, self._host.max_artifact_bytes)
        if artifact.size > limit_bytes:
            error = LimitExceeded(f"{name}: expected at most {limit_bytes} bytes, got {artifact.size}")
            raise OrderRefused(error, signed=True)
        try:
            self._retry(
                lambda: self._host.artifacts.download(artifact.ciphertext_digest, target, limit_bytes)
            )
        except RejectedError as error:
            # The service's fault as likely as the renter's: another attempt may fare better.
            raise OrderRefused(error, signed=False) from error
        return target

    def _run_job(self) -> None:
        self._leave_if_cancelled()
        self._move(AttemptState.RUNNING)
        joules_before = self._host.energy_joules()
        log = LogFile(self._folder, self.row.job_id, self.row.attempt, self._keys.bundle)
        try:
            ending = self._host.sandbox.run(self._sandbox_job(), log.write, self._cancelled)
            if self._stopping.is_set():
                raise Stopped
            joules = max(0, self._host.energy_joules() - joules_before)
            outcome, artifacts = collect(
                self._folder, self._order.spec, ending, joules, self._limit_value(ending)
            )
            if outcome.detail:
                log.note(outcome.detail)
        finally:
            log.close()
        artifacts.append(artifact_of(LOG_ARTIFACT, self._folder / LOG_FILE))
        if self._keys.bundle is None:
            self._end(outcome, artifacts)
            return
        sealed = seal_results(self._folder, artifacts, self._keys.bundle, self.row.job_id, self.row.attempt)
        self._end(outcome, sealed)
        for artifact in artifacts:
            if artifact.name != LOG_ARTIFACT:  # of which the end may not have been sent yet
                artifact.path.unlink()

    def _sandbox_job(self) -> SandboxJob:
        spec, order = self._order.spec, self._order.order
        traced = spec.job_class is JobClass.TRACED
        entry = ("-m", "worker.sdk", spec.entrypoint) if traced else (spec.entrypoint,)
        reproducible = spec.job_class is not JobClass.OPAQUE
        threads = str(1 if reproducible else self._host.opaque_threads)
        return SandboxJob(
            name=f"{self.row.job_id.hex()[:16]}-{self.row.attempt}",
            command=(self._host.sandbox.python, *entry, *spec.arguments),
            bundle=self._folder / "bundle",
            out=self._folder / "out",
            limits=order.limits,
            environment={
                "GPGPU_TRACE": "/out/trace",
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
                "OPENBLAS_NUM_THREADS": threads,
                # Threads that spin for each other stand still where they share processors with others.
                "OMP_WAIT_POLICY": "PASSIVE",
                "PYTHONHASHSEED": "0",
                "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
                **self._host.device_environment,
            },
            data=self._folder / "data" if order.data.plaintext_digest != ZERO_DIGEST else None,
            spec_file=self._folder / "spec.json",
            devices=self._host.devices,
        )

    def _limit_value(self, ending: Ending) -> int | None:
        return None if ending.limit is None else getattr(self._order.order.limits, ending.limit)

    def _refuse(self, refusal: OrderRefused) -> None:
        """With a receipt where the fault is the order's own; else the oracle may try again."""
        detail = f"{refusal.error.code}: {refusal.error.message}"
        self._log.warning("attempt_refused", reason=detail, signed=refusal.signed)
        if refusal.signed:
            self._end(outcome_without_run(JobOutcome.REFUSED, int(time.time()), detail))
            return
        self._move(AttemptState.REFUSED, detail)
        raise Stopped

    def _end(self, outcome: Outcome, artifacts: list[ArtifactRow] | None = None) -> None:
        self._host.journal.attempts.end(*self.row.key, outcome.to_text(), artifacts or [], outcome.detail)
        self._report(AttemptState.UPLOADING, outcome.detail)

    def _deliver(self) -> None:
        """Uploads, then signs: a receipt names only bytes that the oracle has."""
        row = self._host.journal.attempts.get(*self.row.key)
        if row is None or row.ending is None:
            raise RuntimeError(f"attempt {self.row.attempt}: expected an ending in the journal, got none")
        outcome = Outcome.from_text(row.ending)
        try:
            for artifact in self._host.journal.attempts.artifacts(*row.key):
                if not artifact.uploaded:
                    self._upload(artifact.path, artifact.file_digest)
                    self._host.journal.attempts.mark_uploaded(*row.key, artifact.name)
        except RejectedError as error:
            outcome = self._undeliverable(outcome, error)
        self._sign(outcome)

    def _upload(self, path: Path, digest: Digest) -> None:
        self._retry(lambda: self._host.artifacts.upload(path, digest), until_cancelled=False)

    def _undeliverable(self, outcome: Outcome, error: RejectedError) -> Outcome:
        """The oracle will never take these files: the job has no result, and the receipt says so."""
        self._log.error("upload_refused", code=error.code, reason=error.message)
        outcome = failed(outcome, f"upload refused: {error.code}")
        names = [artifact.name for artifact in self._host.journal.attempts.artifacts(*self.row.key)]
        self._host.journal.attempts.drop_artifacts(*self.row.key, outcome.to_text(), names)
        return outcome

    def _sign(self, outcome: Outcome) -> None:
        rows = self._host.journal.attempts.artifacts(*self.row.key)
        artifacts = {row.name: row.digest for row in rows}
        sealed = {row.name: row.sealed for row in rows if row.sealed is not None}
        order, spec = self._order.order, self._order.spec
        receipt = JobReceipt(
            lease_id=order.lease_id,
            order_digest=self.row.job_id,
            spec_digest=order.spec_digest,
            unit_id=self._host.unit_id,
            attempt=self.row.attempt,
            input_digest=spec.bundle_digest,
            output_digest=artifacts.get(OUTPUT_ARTIFACT, ZERO_DIGEST),
            trace_root=outcome.trace_root,
            leaf_count=outcome.leaf_count,
            environment_digest=self._host.environment_digest,
            outcome=outcome.outcome,
            exit_code=outcome.exit_code,
            gpu_milliseconds=outcome.run_milliseconds * self._host.gpu_count,
            energy_joules=outcome.energy_joules,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
        )
        signature = sign(self._host.domain, receipt, self._host.account)
        signed = SignedReceipt(receipt, signature, artifacts, sealed)
        self._host.journal.receipts.add(signed, self.row.fencing_token)
        self._log.info("receipt_signed", outcome=outcome.outcome.name.lower(), exit_code=outcome.exit_code)
        self._host.wake_link()

    def _move(self, state: AttemptState, detail: str = "") -> None:
        self._host.journal.attempts.move(*self.row.key, state, detail[:4000])
        self._report(state, detail)

    def _report(self, state: AttemptState, detail: str = "") -> None:
        self._host.report(status_of(self.row, state, detail))
        self._log.info("attempt_state", state=state, detail=detail)

    def _leave_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Stopped

    def _retry(self, action: Callable[[], T], *, until_cancelled: bool = True) -> T:
        """Until it is done, refused for good, or the worker stops."""
        pause_seconds = RETRY_SECONDS
        halt = self._cancelled if until_cancelled else self._stopping
        while not halt.is_set():
            try:
                return action()
            except RetryableError as error:
                self._log.warning("attempt_waits", code=error.code, reason=error.message)
            halt.wait(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_RETRY_SECONDS)
        raise Stopped


def status_of(row: AttemptRow, state: AttemptState, detail: str) -> link.Status:
    return link.Status(
        job_id=to_hex(row.job_id),
        attempt=row.attempt,
        fencing_token=row.fencing_token,
        state=state.value,
        detail=detail[:4000],
    )
