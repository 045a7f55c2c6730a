"""Watching jobs until they end."""

import time
from collections.abc import Callable, Iterator, Sequence

from protocol.bodies import JobBody
from protocol.structs import JobOutcome
from protocol.units import JobId
from scripts.client.api import OracleClient

ENDED_STATES = ("finished", "proven", "expired", "abandoned")


def follow(
    oracle: OracleClient,
    job_ids: Sequence[JobId],
    on_change: Callable[[JobBody], None],
    on_log: Callable[[JobId, bytes], None] | None = None,
    check: Callable[[], None] | None = None,
    poll_seconds: float = 0.5,
) -> Iterator[JobBody]:
    """Each job as it ends.

    Meanwhile `on_change` hears of every change of state, `on_log` every byte of the logs, and `check`, which
    is asked at every turn, may raise to give up.
    """
    states: dict[JobId, tuple[str, int]] = {}
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
                offsets[current] = _drain(oracle, current, offsets[current], on_log)
            if body.state in ENDED_STATES:
                waiting.remove(current)
                yield body
        if waiting:
            time.sleep(poll_seconds)


def _drain(oracle: OracleClient, current: JobId, offset: int, on_log: Callable[[JobId, bytes], None]) -> int:
    while True:
        data, next_offset, _ = oracle.log(current, offset)
        if not data:
            return offset
        on_log(current, data)
        offset = next_offset


def has_succeeded(body: JobBody) -> bool:
    """Whether the job ended with a receipt that says so."""
    return body.receipt is not None and body.receipt.receipt.outcome is JobOutcome.COMPLETED
