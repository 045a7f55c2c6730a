"""What workers report: heartbeats, the progress of attempts, logs, receipts. Each is one short transaction.

Everything is checked against the ledger and the store; a report that is stale or not the worker's to make
changes nothing. Reports are resent after a reconnect, so all of them are idempotent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from oracle.clock import Now, later_of
from oracle.joblogs import JobLogs
from oracle.jobs import (
    JOB_STATE_OF_ATTEMPT,
    RECEIVING_ATTEMPTS,
    AttemptState,
    JobState,
    attempt_after,
    refusal_pause_seconds,
)
from oracle.schedule import takes_receipts
from oracle.store import artifacts, attempts, entities, evidence, history, jobs, receipts
from oracle.store.attempts import AttemptEntry
from oracle.store.engine import Store, Transaction
from oracle.store.jobs import CANCELLED_BY_RENTER, JobEntry
from oracle.store.receipts import StoredReceipt
from protocol import link
from protocol.sealing import is_sealed
from protocol.signed import SignedReceipt
from protocol.structs import JobReceipt
from protocol.typed_data import Domain, check_signature, digest
from protocol.units import ZERO_DIGEST, Address, Digest, JobId, UnitId, hex_bytes, to_hex

log = structlog.get_logger(__name__)

AHEAD_BLOCKS = 1000
"""How far a heartbeat's block may be ahead of the oracle's own."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who speaks on a link: proven by its hello."""

    worker: Address
    unit_id: UnitId


class Intake:
    """Safe for any number of threads: the store serialises the writes."""

    def __init__(
        self,
        store: Store,
        logs: JobLogs,
        domain: Domain,
        now: Now,
        *,
        proof_grace_seconds: int,
        wake_dispatcher: Callable[[], None],
        wake_readers: Callable[[JobId], None],
    ) -> None:
        self._store = store
        self._logs = logs
        self._domain = domain
        self._now = now
        self._proof_grace_seconds = proof_grace_seconds
        self._wake_dispatcher = wake_dispatcher
        self._wake_readers = wake_readers

    def heartbeat(self, reporter: Reporter, message: link.Heartbeat) -> bool:
        """False: it is not of this unit's lease, or names a block not of the chain; nothing is kept."""
        signed = message.read()
        beat = signed.heartbeat
        check_signature(self._domain, beat, signed.signature, reporter.worker)
        with self._store.read() as transaction:
            lease = entities.get_lease(transaction, beat.lease_id)
            cursor = history.get_cursor(transaction)
            block = history.get_block(transaction, beat.block_number) if _fits(beat.block_number) else None
        if lease is None or cursor is None or beat.block_number > cursor.number + AHEAD_BLOCKS:
            return False
        if lease.terms.offer.unit_id != reporter.unit_id or beat.unit_id != reporter.unit_id:
            return False
        if block is not None and (block.hash, block.timestamp) != (beat.block_hash, beat.block_timestamp):
            return False
        with self._store.write() as transaction:
            return receipts.insert_heartbeat(transaction, signed, self._now())

    def status(self, reporter: Reporter, report: link.Status | link.Attempt) -> bool:
        """False: the report is stale, or changes nothing."""
        job_id = JobId(hex_bytes(report.job_id, 32, "job_id"))
        detail = report.detail if isinstance(report, link.Status) else "at connect"
        with self._store.write() as transaction:
            attempt = _current(transaction, reporter, job_id, report.attempt, report.fencing_token)
            if attempt is None:
                return False
            following = attempt_after(attempt.state, AttemptState(report.state))
            if following is None:
                return False
            self._apply_status(transaction, attempt, following, detail)
        log.info("attempt_reported", job_id=job_id, attempt=report.attempt, state=following, detail=detail)
        self._wake_dispatcher()
        self._wake_readers(job_id)
        return True

    def _apply_status(
        self, transaction: Transaction, attempt: AttemptEntry, following: AttemptState, detail: str
    ) -> None:
        now = self._now()
        attempts.set_attempt_state(transaction, attempt.fencing_token, following, now, detail)
        pause = {}
        if following == AttemptState.REFUSED:
            cursor = history.get_cursor(transaction)
            rested = later_of(now, cursor.timestamp if cursor else None)
            pause = {"not_before": rested + refusal_pause_seconds(attempt.attempt)}
        job_state = JOB_STATE_OF_ATTEMPT[following]
        if job_state == JobState.QUEUED and jobs.is_cancel_asked(transaction, attempt.job_id):
            job_state, detail, pause = JobState.CANCELLED, f"{CANCELLED_BY_RENTER}; {detail}", {}
        jobs.set_job_state(transaction, attempt.job_id, job_state, now, detail, **pause)

    def log(self, reporter: Reporter, message: link.Log) -> link.LogAck | None:
        """None: the attempt is not this worker's current one, and the log is not kept."""
        job_id = JobId(hex_bytes(message.job_id, 32, "log.job_id"))
        with self._store.read() as transaction:
            attempt = _current(transaction, reporter, job_id, message.attempt, message.fencing_token)
            job = jobs.get_job(transaction, job_id)
        if attempt is None or job is None:
            return None
        # A job that ended may have log left to send; one that was given to another attempt may not.
        if attempt.state not in RECEIVING_ATTEMPTS | {AttemptState.FINISHED}:
            return None
        max_bytes = job.signed_order.order.limits.log_bytes + link.MAX_LOG_BYTES
        next_offset = self._logs.append(job_id, attempt.attempt, message.offset, message.data, max_bytes)
        self._wake_readers(job_id)
        return link.LogAck(job_id=message.job_id, attempt=message.attempt, next_offset=next_offset)

    def receipt(self, reporter: Reporter, message: link.Receipt) -> link.ReceiptAck:
        """Accepted once and for all, or refused with a code; the same receipt again gets the same answer."""
        signed = message.read()
        job_id = signed.receipt.order_digest
        with self._store.write() as transaction:
            code = self._refusal(transaction, reporter, signed, message.fencing_token)
            if code is None:
                self._accept(transaction, signed, message.fencing_token)
        accepted = code in (None, "known")
        log.info("receipt", job_id=job_id, attempt=signed.receipt.attempt, accepted=accepted, code=code or "")
        if code is None:
            self._wake_dispatcher()
            self._wake_readers(job_id)
        return link.ReceiptAck(
            job_id=to_hex(job_id),
            attempt=signed.receipt.attempt,
            accepted=accepted,
            code="" if accepted else str(code),
        )

    def _refusal(
        self, transaction: Transaction, reporter: Reporter, signed: SignedReceipt, fencing_token: int
    ) -> str | None:
        """Why the receipt is not taken; "known" where the very same one was; None where nothing is wrong."""
        receipt = signed.receipt
        job = jobs.get_job(transaction, receipt.order_digest)
        if job is None:
            return "unknown_job"
        stored = receipts.get_receipt(transaction, job.job_id)
        if stored is not None:
            return "known" if stored.signed == signed else "receipt_conflict"
        attempt = _current(transaction, reporter, job.job_id, receipt.attempt, fencing_token)
        if attempt is None or attempt.state not in RECEIVING_ATTEMPTS:
            return "stale_attempt"
        lease = entities.get_lease(transaction, receipt.lease_id)
        cursor = history.get_cursor(transaction)
        now = later_of(self._now(), cursor.timestamp if cursor else None)
        if lease is None or not takes_receipts(lease, now, self._proof_grace_seconds):
            return "lease_over"
        return self._content_refusal(transaction, reporter, signed, job)

    def _content_refusal(
        self, transaction: Transaction, reporter: Reporter, signed: SignedReceipt, job: JobEntry
    ) -> str | None:
        receipt = signed.receipt
        check_signature(self._domain, receipt, signed.signature, reporter.worker)
        unit = entities.get_unit(transaction, reporter.unit_id)
        if unit is None or unit.unit.worker != reporter.worker:
            return "worker_rotated"
        order = job.signed_order.order
        if receipt.lease_id != job.lease_id or receipt.unit_id != job.terms.offer.unit_id:
            return "lease_mismatch"
        if receipt.spec_digest != order.spec_digest:
            return "spec_mismatch"
        if receipt.input_digest != job.signed_order.spec.bundle_digest:
            return "input_mismatch"
        if is_sealed(order.bundle) and signed.artifacts and not signed.sealed:
            return "artifacts_not_sealed"
        if not _output_matches(receipt, signed) or receipt.finished_at < receipt.started_at:
            return "receipt_inconsistent"
        digests = set(signed.stored.values())
        if len(artifacts.owned_sizes(transaction, digests, reporter.worker)) != len(digests):
            return "artifact_missing"
        return None

    def _accept(self, transaction: Transaction, signed: SignedReceipt, fencing_token: int) -> None:
        now = self._now()
        receipt = signed.receipt
        job_id = receipt.order_digest
        receipt_digest = digest(self._domain, receipt)
        receipts.insert_receipt(
            transaction, job_id, StoredReceipt(signed, receipt_digest, fencing_token), now
        )
        artifacts.use_artifacts(transaction, job_id, signed.stored)
        attempts.set_attempt_state(transaction, fencing_token, AttemptState.FINISHED, now)
        outcome = receipt.outcome.name.lower()
        jobs.set_job_state(transaction, job_id, JobState.FINISHED, now, outcome=outcome)
        evidence.look_again(transaction, job_id)


def _current(
    transaction: Transaction, reporter: Reporter, job_id: JobId, number: int, fencing_token: int
) -> AttemptEntry | None:
    """The job's newest attempt, where it is the one that is spoken of and the speaker's unit runs it."""
    attempt = attempts.latest_attempt(transaction, job_id)
    if attempt is None or attempt.unit_id != reporter.unit_id:
        return None
    if (attempt.attempt, attempt.fencing_token) != (number, fencing_token):
        return None
    return attempt


def _output_matches(receipt: JobReceipt, signed: SignedReceipt) -> bool:
    return signed.artifacts.get("output", Digest(ZERO_DIGEST)) == receipt.output_digest


def _fits(number: int) -> bool:
    return number < 1 << 62
