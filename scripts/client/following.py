"""Watching jobs until they end."""

import time
from collections.abc import Callable, Iterator, Sequence

from protocol.bodies import JobBody
from protocol.structs import JobOutcome
from protocol.units import JobId
from scripts.client.api import OracleClient
from scripts.client.unsealing import JobLog, Opener

ENDED_STATES = ("finished", "proven", "unproven", "expired", "abandoned", "cancelled")


def follow(
    oracle: OracleClient,
    job_ids: Sequence[JobId],
    on_change: Callable[[JobBody], None],
    on_log: Callable[[JobId, bytes], None] | None = None,
    opener: Opener | None = None,
    check: Callable[[], None] | None = None,
    poll_seconds: float = 0.5,
) -> Iterator[JobBody]:
    """Each job as it ends.

    Meanwhile `on_change` hears of every change of state, `on_log` every byte of the logs, and `check`, which
    is asked at every turn, may raise to give up. Logs of sealed jobs are read with `opener`.
    """
    states: dict[JobId, tuple[str, int]] = {}
    logs: dict[JobId, JobLog] = {}
    offsets = dict.fromkeys(job_ids, 0)
    waiting = list(job_ids)
    while waiting:
        if check is not None:
            check()
        for current in list(waiting):
            body = oracle.job(current)
            if states.get(current) != (body.state, body.attempt):
                states[current] = (body.state, body.attempt)
                on_change(body)
            if on_log is not None:
                log = logs.setdefault(current, JobLog(oracle, body, opener))
                offsets[current] = _drain(log, current, offsets[current], on_log)
            if body.state in ENDED_STATES:
                waiting.remove(current)
                yield body
        if waiting:
            time.sleep(poll_seconds)


def _drain(log: JobLog, current: JobId, offset: int, on_log: Callable[[JobId, bytes], None]) -> int:
    while True:
        data, next_offset, _ = log.read(offset)
        if data:
            on_log(current, data)
        if next_offset == offset:
            return offset
        offset = next_offset


def has_succeeded(body: JobBody) -> bool:
    """Whether the job ended with a receipt that says so."""
    return body.receipt is not None and body.receipt.receipt.outcome is JobOutcome.COMPLETED
