"""The worker as a whole: makes what runs equal to what is desired, and keeps every thread of it alive or
none.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from protocol import link
from protocol.errors import BadInput
from protocol.units import JobId, hex_bytes, to_hex
from worker.attempt import Attempt, Host, status_of
from worker.folders import attempt_folder, remove_folder
from worker.journal import AttemptRow, AttemptState, ReceiptState
from worker.journal.attempts import IN_FLIGHT
from worker.leases import LeaseView
from worker.logs import read_log

_log: Final = structlog.get_logger(__name__)
_REPORTED: Final = IN_FLIGHT | {AttemptState.LOST}
RESEND_SECONDS: Final = 5.0
LOG_WAIT_SECONDS: Final = 10.0
"""A receipt waits so long for the end of its log, so that whoever reads the log sees all of it."""

Key = tuple[JobId, int]


class Agent:
    """Thread-safe: the link, the pulse and the attempts call it from their own threads."""

    def __init__(self, host: Host, clock: Callable[[], float]) -> None:
        self._host = host
        self._clock = clock
        self._lock = threading.RLock()
        self._running: dict[Key, Attempt] = {}
        self._threads: dict[Key, threading.Thread] = {}
        self._failure: BaseException | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._views: tuple[LeaseView, ...] = ()
        self._sent_receipts: dict[Key, float] = {}
        self._held_receipts: dict[Key, float] = {}
        self._sent_logs: dict[Key, tuple[int, float]] = {}

    @property
    def views(self) -> tuple[LeaseView, ...]:
        """The open leases, as the pulse saw them last."""
        return self._views

    def recover(self) -> None:
        """After a start: what was running is lost, for its processes died with us; what had ended goes on."""
        for row in self._host.journal.attempts.in_states(IN_FLIGHT):
            if row.state is AttemptState.UPLOADING:
                self._start(row)
            else:
                detail = "the worker restarted"
                self._host.journal.attempts.move(*row.key, AttemptState.LOST, detail)
                remove_folder(attempt_folder(self._host.folder, row))
                _log.warning("attempt_lost", job_id=to_hex(row.job_id), attempt=row.attempt)

    def receive(self, message: link.ServerMessage) -> None:
        """One message of the oracle."""
        match message:
            case link.Desired():
                self._reconcile(message.assignments)
            case link.LogAck():
                job_id = JobId(hex_bytes(message.job_id, 32, "log_ack.job_id"))
                self._host.journal.attempts.mark_log_acked(job_id, message.attempt, message.next_offset)
                self._sent_logs.pop((job_id, message.attempt), None)
            case link.ReceiptAck():
                self._acknowledge(message)
            case _:
                raise BadInput(f"link: expected no {type(message).__name__.lower()} now")

    def leases_changed(self, views: tuple[LeaseView, ...]) -> None:
        """Jobs of leases that no longer hold this second are stopped, whatever the oracle says; one that
        waits for its lease to start goes on waiting.
        """
        self._views = views
        over = {v.lease_id for v in views if v.has_started and not v.holds(v.block.timestamp)}
        with self._lock:
            for attempt in self._running.values():
                if attempt.row.lease_id in over:
                    attempt.cancel()

    def attempts(self) -> list[link.Attempt]:
        """What `hello` says of the attempts that the oracle may still wait for: the last, as many as fit."""
        live = {lease.lease_id for lease in self._host.journal.leases.live()}
        rows = [row for row in self._host.journal.attempts.in_states(_REPORTED) if row.lease_id in live]
        return [
            link.Attempt(
                job_id=to_hex(row.job_id),
                attempt=row.attempt,
                fencing_token=row.fencing_token,
                state=row.state.value,
            )
            for row in rows[-link.MAX_ATTEMPTS :]
        ]

    def pending(self, anew: bool) -> list[link.Log | link.Receipt | link.Status]:
        """Logs and receipts that are due. After a reconnect all that is not acknowledged is."""
        with self._lock:
            if anew:
                self._sent_receipts.clear()
                self._sent_logs.clear()
            messages: list[link.Log | link.Receipt | link.Status] = []
            finished = {
                (row.job_id, row.attempt): row for row in self._host.journal.receipts.unacknowledged()
            }
            for row in self._host.journal.attempts.in_states({AttemptState.RUNNING, AttemptState.UPLOADING}):
                messages += self._log_part(row)
            for key, receipt in finished.items():
                row = self._host.journal.attempts.get(*key)
                part = [] if row is None else self._log_part(row)
                messages += part
                if self._may_send(key, log_left=bool(part) or key in self._sent_logs):
                    messages.append(link.Receipt.of(receipt.signed, receipt.fencing_token))
            return messages

    def run_until_stopped(self, stop: threading.Event) -> None:
        """Blocks; raises what any guarded thread raised."""
        while not stop.is_set() and self._failure is None:
            self._wake.wait(0.5)
        self.stop()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ends every attempt where it stands; the journal says how to go on."""
        with self._lock:
            self._stopping = True
            attempts, threads = list(self._running.values()), list(self._threads.values())
        for attempt in attempts:
            attempt.stop()
        for thread in threads:
            thread.join(timeout=30)

    def guard(self, action: Callable[[], object], name: str) -> threading.Thread:
        """A started thread whose failure is the failure of the whole worker."""
        thread = threading.Thread(target=self._guarded, args=(action, name), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, action: Callable[[], object], name: str) -> None:
        try:
            action()
        except BaseException as error:
            _log.error("thread_failed", thread=name, kind=type(error).__name__, reason=str(error))
            self._failure = self._failure or error
            self._wake.set()

    def _reconcile(self, assignments: Sequence[link.Assignment]) -> None:
        desired: dict[Key, link.Assignment] = {(a.read_job_id(), a.attempt): a for a in assignments}
        with self._lock:
            if self._stopping:
                return
            for key, assignment in desired.items():
                running = self._running.get(key)
                if running is None:
                    self._take(key, assignment)
                elif assignment.cancel:
                    running.cancel()
            for key, attempt in self._running.items():
                if key not in desired:
                    attempt.cancel()

    def _take(self, key: Key, assignment: link.Assignment) -> None:
        """What cannot be read is refused; the other assignments go on."""
        try:
            if assignment.cancel:
                self._answer_cancel(key, assignment)
            else:
                self._accept(key, assignment)
        except BadInput as error:
            _log.error("assignment_malformed", job_id=assignment.job_id, reason=error.message)
            self._host.report(
                link.Status(
                    job_id=assignment.job_id,
                    attempt=assignment.attempt,
                    fencing_token=assignment.fencing_token,
                    state="refused",
                    detail=error.message[:4000],
                )
            )

    def _accept(self, key: Key, assignment: link.Assignment) -> None:
        row = self._host.journal.attempts.get(*key)
        if row is None:
            assignment.read_terms()
            lease_id = assignment.read_order().order.lease_id
            encoded = msgspec.json.encode(assignment)
            self._host.journal.attempts.add(*key, assignment.fencing_token, lease_id, encoded)
            row = self._host.journal.attempts.get(*key)
        if row is not None and row.state is AttemptState.ACCEPTED:
            self._start(row)
        elif row is not None and row.state in (AttemptState.LOST, AttemptState.REFUSED):
            # The oracle has not heard: it was said on a link that broke.
            self._host.report(status_of(row, row.state, row.detail))

    def _answer_cancel(self, key: Key, assignment: link.Assignment) -> None:
        """A job that was cancelled before it was known here still gets its receipt; that it is lost is said
        again.
        """
        self._accept(key, assignment)
        running = self._running.get(key)
        if running is not None:
            running.cancel()

    def _start(self, row: AttemptRow) -> None:
        with self._lock:
            attempt = Attempt(self._host, row)
            self._running[row.key] = attempt

            def run() -> None:
                try:
                    attempt.run()
                finally:
                    with self._lock:
                        self._running.pop(row.key, None)
                        self._threads.pop(row.key, None)

            self._threads[row.key] = self.guard(run, f"attempt-{row.job_id.hex()[:8]}-{row.attempt}")

    def _acknowledge(self, message: link.ReceiptAck) -> None:
        key = JobId(hex_bytes(message.job_id, 32, "receipt_ack.job_id")), message.attempt
        state = ReceiptState.ACCEPTED if message.accepted else ReceiptState.STALE
        self._host.journal.receipts.acknowledge(*key, state, message.code)
        if not message.accepted:
            _log.warning("receipt_refused", job_id=message.job_id, attempt=message.attempt, code=message.code)
        row = self._host.journal.attempts.get(*key)
        if row is not None and row.state is AttemptState.FINISHED:
            remove_folder(attempt_folder(self._host.folder, row))
        with self._lock:
            for known in (self._sent_receipts, self._held_receipts, self._sent_logs):
                known.pop(key, None)

    def _log_part(self, row: AttemptRow) -> list[link.Log]:
        """The next bytes of a log, once what was sent before is acknowledged or overdue."""
        sent = self._sent_logs.get(row.key)
        if sent is not None and sent[0] == row.log_acked_bytes and self._clock() - sent[1] < RESEND_SECONDS:
            return []
        data = read_log(attempt_folder(self._host.folder, row), row.log_acked_bytes)
        if not data:
            self._sent_logs.pop(row.key, None)
            return []
        self._sent_logs[row.key] = (row.log_acked_bytes, self._clock())
        return [
            link.Log(
                job_id=to_hex(row.job_id),
                attempt=row.attempt,
                fencing_token=row.fencing_token,
                offset=row.log_acked_bytes,
                data=data,
            )
        ]

    def _may_send(self, key: Key, *, log_left: bool) -> bool:
        now = self._clock()
        held_since = self._held_receipts.setdefault(key, now)
        if log_left and now - held_since < LOG_WAIT_SECONDS:
            return False
        if now - self._sent_receipts.get(key, -RESEND_SECONDS) < RESEND_SECONDS:
            return False
        self._sent_receipts[key] = now
        return True
