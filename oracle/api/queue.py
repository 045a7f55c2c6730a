"""Many orders at once; and what a renter does with its jobs afterwards: cancel them, put them first."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import Response

from oracle.api.auth import Caller, signed, signed_batch
from oracle.api.errors import ApiError, bad_input, json_response
from oracle.api.jobs import check_deadline, check_room, renter_of
from oracle.api.parameters import job_id_of
from oracle.api.services import Services, services_of
from oracle.api.views import job_body
from oracle.store import jobs
from oracle.store.engine import Transaction
from oracle.store.jobs import NewJob
from protocol.bodies import (
    Body,
    ErrorBody,
    JobBody,
    OrderedBody,
    OrderedJobsBody,
    OrdersBody,
    PriorityBody,
    QueuedOrderBody,
)
from protocol.errors import RejectedError
from protocol.orders import check_order
from protocol.structs import Terms
from protocol.units import Address, JobId, to_hex

B = TypeVar("B", bound=Body)
Refused = ApiError | RejectedError

router = APIRouter(prefix="/v1")

Signed = Annotated[Caller, Depends(signed)]


@router.post("/orders/batch")
def post_orders(request: Request, caller: Annotated[Caller, Depends(signed_batch)]) -> Response:
    """Signed, as one order. Those that are taken are stored together; the same again get the same jobs."""
    services = services_of(request)
    body = _read(OrdersBody, caller)
    renter = renter_of(services, body.terms)
    if caller.address != renter:
        raise ApiError(403, "not_the_renter", f"expected {renter}, got {caller.address}")
    refused: dict[int, Refused] = {}
    sound: dict[int, NewJob] = {}
    for place, order in enumerate(body.orders):
        try:
            sound[place] = _checked(services, body.terms, order, renter)
        except RejectedError as error:
            refused[place] = error
    with services.store.write() as transaction:
        created = _insert(transaction, services, body.terms, sound, refused)
    services.wake_dispatcher()
    results = (_result(place, sound, refused, created) for place in range(len(body.orders)))
    return json_response(OrderedJobsBody(results=tuple(results)))


@router.post("/jobs/{job_id}/cancel")
def cancel_job(request: Request, job_id: str, caller: Signed) -> Response:
    """Signed, by who ordered it. Ends at once what does not run; the worker stops what does. Idempotent."""
    services = services_of(request)
    with services.store.write() as transaction:
        job = _own_job(transaction, job_id_of(job_id), caller)
        jobs.ask_cancel(transaction, job, services.now())
        body = _body(transaction, services, job.job_id)
    services.wake_dispatcher()
    services.links.wake_all()
    services.wakeups.wake(job.job_id)
    return json_response(body)


@router.put("/jobs/{job_id}/priority")
def put_priority(request: Request, job_id: str, caller: Signed) -> Response:
    """Signed, by who ordered it. What runs goes on, and what has ended stays."""
    services = services_of(request)
    wanted = _read(PriorityBody, caller)
    with services.store.write() as transaction:
        job = _own_job(transaction, job_id_of(job_id), caller)
        jobs.set_priority(transaction, job.job_id, wanted.priority)
        body = _body(transaction, services, job.job_id)
    return json_response(body)


def _checked(services: Services, terms: Terms, order: QueuedOrderBody, renter: Address) -> NewJob:
    signed_order = order.signed_order()
    checked = check_order(services.domain, terms, order.order, signed_order.signature, order.spec, (renter,))
    return NewJob(checked, renter, terms, signed_order, services.now(), order.priority)


def _insert(
    transaction: Transaction,
    services: Services,
    terms: Terms,
    sound: dict[int, NewJob],
    refused: dict[int, Refused],
) -> set[JobId]:
    """The jobs that are new. What there is no room or no time for is refused, each for itself."""
    known = jobs.job_states(transaction, {job.job_id for job in sound.values()})
    fresh: dict[JobId, NewJob] = {}
    room: int | None = None
    for place, job in sound.items():
        if job.job_id in known or job.job_id in fresh:
            continue
        try:
            check_deadline(transaction, services, job.signed.order.deadline)
            if room is None:
                room = check_room(transaction, services, terms, job.signed.order.lease_id)
            if len(fresh) >= room:
                raise ApiError(429, "too_many_jobs", "the lease takes no more jobs now")
        except ApiError as error:
            refused[place] = error
        else:
            fresh[job.job_id] = job
    jobs.insert_jobs(transaction, list(fresh.values()))
    return set(fresh)


def _result(
    place: int, sound: dict[int, NewJob], refused: dict[int, Refused], created: set[JobId]
) -> OrderedBody:
    error = refused.get(place)
    if error is not None:
        refusal = ErrorBody(code=error.code, message=error.message[:500])
        return OrderedBody(job_id=None, created=False, refused=refusal)
    known = sound[place].job_id
    return OrderedBody(job_id=to_hex(known), created=known in created, refused=None)


def _own_job(transaction: Transaction, wanted: JobId, caller: Caller) -> jobs.JobEntry:
    job = jobs.get_job(transaction, wanted)
    if job is None:
        raise ApiError(404, "unknown_job", "no such job")
    if caller.address != job.renter:
        raise ApiError(403, "not_the_renter", f"expected {job.renter}, got {caller.address}")
    return job


def _body(transaction: Transaction, services: Services, wanted: JobId) -> JobBody:
    job = jobs.get_job(transaction, wanted)
    assert job is not None  # noqa: S101 - read before, in the same transaction
    return job_body(transaction, services.logs, services.readers, job)


def _read(kind: type[B], caller: Caller) -> B:
    try:
        return kind.model_validate_json(caller.body)
    except ValidationError as error:
        raise bad_input(error) from error
