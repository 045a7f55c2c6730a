"""Server-sent events: a job's log and a lease's timeline, each resumed after the last event that was seen.

What is sent is read anew from the store each turn, with the right to see it; a wake-up only hastens the turn.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from oracle.api.auth import Caller, session_of, signed
from oracle.api.errors import ApiError
from oracle.api.jobs import readable_job, reader_of_lease
from oracle.api.parameters import MAX_INTEGER, MAX_OFFSET, Offset, job_id_of, lease_id_of
from oracle.api.services import Services, services_of
from oracle.api.views import logs_body
from oracle.store import attempts, entities, history, jobs
from protocol.bodies import ChainEventBody, EndBody, JobStateBody, LogsBody
from protocol.errors import BadInput
from protocol.structs import LeaseStatus
from protocol.units import JobId, LeaseId, shorten, to_hex

router = APIRouter(prefix="/v1")

TURN_SECONDS = 1.0
"""Also without a wake-up: what another oracle of the same database did wakes nobody here."""
LOG_EVENT_BYTES = 1 << 16
TIMELINE_BATCH = 100
SETTLING_SECONDS = 2
"""A job's change is told when its second is over: the next one comes after it, and none is skipped."""

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=128)]
Signed = Annotated[Caller, Depends(signed)]
_PLACE = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """In a timeline: block and index of the last event seen; time and sequence of the last job's change."""

    event: tuple[int, int] = (0, 0)
    change: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return ".".join(map(str, (*self.event, *self.change)))


@dataclass(frozen=True, slots=True)
class Turn:
    """What a timeline tells next, the place after it, and how it ended, if it did."""

    events: tuple[ServerSentEvent, ...]
    place: Place
    ended: EndBody | None = None


def stream_place(request: Request, caller: Signed) -> Generator[None, None, None]:
    """Held until the answer has been sent."""
    with services_of(request).doors.streams.place(caller.address):
        yield


async def log_start(
    request: Request, job_id: str, caller: Signed, offset: Offset = 0, last_event_id: LastEventId = None
) -> int:
    """The offset to begin at, of a job that the caller may read."""
    start = offset if last_event_id is None else _read_offset(last_event_id)
    await run_in_threadpool(_read_log, services_of(request), job_id_of(job_id), caller, start)
    return start


async def timeline_start(
    request: Request, lease_id: str, caller: Signed, last_event_id: LastEventId = None
) -> Place:
    """The place to begin after, of a lease whose jobs the caller may read."""
    start = Place() if last_event_id is None else _read_place(last_event_id)
    await run_in_threadpool(_read_timeline, services_of(request), lease_id_of(lease_id), caller, start)
    return start


@router.get(
    "/jobs/{job_id}/logs/stream", response_class=EventSourceResponse, dependencies=[Depends(stream_place)]
)
async def stream_log(
    request: Request, job_id: str, caller: Signed, start: Annotated[int, Depends(log_start)]
) -> AsyncIterator[ServerSentEvent]:
    """`log` events as of GET .../logs, each with its next offset as id; `end` with the job's last state.

    Signed, by the renter or the worker of the lease. Ends with the job, the right to read it, or the oracle.
    """
    services, wanted, offset = services_of(request), job_id_of(job_id), start
    with services.wakeups.subscribe(wanted) as changed, suppress(ApiError):
        while not services.stopping.is_set():
            changed.clear()
            body, state = await run_in_threadpool(_read_log, services, wanted, caller, offset)
            if body.data:
                offset = body.next_offset
                yield ServerSentEvent(event="log", id=str(offset), data=body)
            elif body.complete:
                yield ServerSentEvent(event="end", id=str(offset), data=EndBody(state=state))
                return
            else:
                await _wait(changed)


@router.get(
    "/leases/{lease_id}/timeline", response_class=EventSourceResponse, dependencies=[Depends(stream_place)]
)
async def stream_timeline(
    request: Request, lease_id: str, caller: Signed, start: Annotated[Place, Depends(timeline_start)]
) -> AsyncIterator[ServerSentEvent]:
    """`chain` events about the lease, confirmed, in their order, and `job` where one has changed; then `end`.

    Signed, by a renter of the lease, who hears of its own jobs, or its worker. A job that changes twice
    within two seconds may be told once, as it then is. Ends when the lease is closed and its jobs have ended.
    """
    services, wanted, place = services_of(request), lease_id_of(lease_id), start
    with suppress(ApiError):
        while not services.stopping.is_set():
            turn = await run_in_threadpool(_read_timeline, services, wanted, caller, place)
            for event in turn.events:
                yield event
            place = turn.place
            if turn.ended is not None:
                yield ServerSentEvent(event="end", id=str(place), data=turn.ended)
                return
            if not turn.events:
                await _wait(services.stopping)


def _read_log(services: Services, job_id: JobId, caller: Caller, offset: int) -> tuple[LogsBody, str]:
    _check_session(services, caller)
    with services.store.read() as transaction:
        job = readable_job(transaction, job_id, caller.address)
        attempt = attempts.latest_attempt(transaction, job_id)
    made = attempt.attempt if attempt else 0
    body = logs_body(services.logs, job_id, made, job.state, offset, LOG_EVENT_BYTES)
    return body, job.state.value


def _read_timeline(services: Services, lease_id: LeaseId, caller: Caller, place: Place) -> Turn:
    _check_session(services, caller)
    with services.store.read() as transaction:
        renter = reader_of_lease(transaction, lease_id, caller.address)
        cursor = history.get_cursor(transaction)
        lease = entities.get_lease(transaction, lease_id)
        confirmed = (cursor.number if cursor else 0) - services.settings.confirmations
        events = history.list_lease_events(transaction, lease_id, place.event, confirmed, TIMELINE_BATCH)
        until = services.now() - SETTLING_SECONDS
        changes = jobs.list_changes(transaction, lease_id, renter, place.change, until, TIMELINE_BATCH)
        over = (
            not (events or changes)
            and lease is not None
            and lease.status is LeaseStatus.CLOSED
            and not jobs.has_unfinished(transaction, lease_id, renter)
            and not history.list_lease_events(transaction, lease_id, place.event, MAX_INTEGER, 1)
            and not jobs.list_changes(transaction, lease_id, renter, place.change, MAX_INTEGER, 1)
        )
    told: list[ServerSentEvent] = []
    for block, index, body, timestamp in events:
        place = Place((block, index), place.change)
        told.append(_event("chain", place, ChainEventBody(event=json.loads(body), block_timestamp=timestamp)))
    for change in changes:
        place = Place(place.event, (change.updated_at, change.sequence))
        told.append(_event("job", place, _job_state(change)))
    return Turn(tuple(told), place, EndBody(state="closed") if over else None)


def _event(name: str, place: Place, body: ChainEventBody | JobStateBody) -> ServerSentEvent:
    return ServerSentEvent(event=name, id=str(place), data=body)


def _job_state(change: jobs.JobChange) -> JobStateBody:
    return JobStateBody.model_validate(
        {
            "job_id": to_hex(change.job_id),
            "state": change.state.value,
            "detail": change.detail,
            "updated_at": change.updated_at,
        }
    )


def _check_session(services: Services, caller: Caller) -> None:
    """A stream goes on no longer than the session that it was opened with."""
    if caller.token_digest is not None:
        session_of(services, caller.token_digest)


async def _wait(changed: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(TURN_SECONDS):
            await changed.wait()


def _read_offset(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > MAX_OFFSET:
        raise BadInput(f"Last-Event-ID: expected the id of an event of this stream, got {shorten(text)}")
    return int(text)


def _read_place(text: str) -> Place:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise BadInput(f"Last-Event-ID: expected the id of an event of this stream, got {shorten(text)}")
    block, index, changed_at, sequence = map(int, match.groups())
    return Place((block, index), (changed_at, sequence))
