"""Orders in; jobs and their logs out, to the two parties of the lease."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from oracle.api.auth import Caller, signed
from oracle.api.errors import ApiError, bad_input, json_response
from oracle.api.parameters import (
    MAX_INTEGER,
    Cursor,
    Limit,
    Offset,
    Priority,
    WaitSeconds,
    check_party,
    job_id_of,
    lease_id_of,
    read_cursor,
    write_cursor,
)
from oracle.api.services import Services, services_of
from oracle.api.views import job_body, logs_body
from oracle.clock import later_of
from oracle.schedule import has_ended
from oracle.store import attempts, entities, history, jobs
from oracle.store.engine import Transaction
from oracle.store.jobs import NewJob
from protocol.bodies import JobsBody, LogsBody, OrderBody
from protocol.orders import check_order
from protocol.orders import lease_id as lease_id_of_terms
from protocol.structs import Terms
from protocol.units import Address, JobId, LeaseId

router = APIRouter(prefix="/v1")

Signed = Annotated[Caller, Depends(signed)]


@router.post("/orders")
def post_order(request: Request, caller: Signed, priority: Priority = 0) -> Response:
    """Signed, by the lease's renter of today, who alone may order. The same order again gets the same job.

    Of the renter's queue under the lease, the highest priority goes first.
    """
    services = services_of(request)
    try:
        order = OrderBody.model_validate_json(caller.body)
    except ValidationError as error:
        raise bad_input(error) from error
    renter = renter_of(services, order.terms)
    if caller.address != renter:
        raise ApiError(403, "not_the_renter", f"expected {renter}, got {caller.address}")
    signed_order = order.signed_order()
    job_id = check_order(
        services.domain, order.terms, order.order, signed_order.signature, order.spec, (renter,)
    )
    with services.store.write() as transaction:
        created = jobs.get_job(transaction, job_id) is None
        if created:
            now = services.now()
            check_deadline(transaction, services, signed_order.order.deadline)
            check_room(transaction, services, order.terms, order.order.lease_id)
            fresh = NewJob(job_id, renter, order.terms, signed_order, now, priority)
            jobs.insert_jobs(transaction, [fresh])
        job = jobs.get_job(transaction, job_id)
        assert job is not None  # noqa: S101 - inserted above, in the same transaction
        body = job_body(transaction, services.logs, services.readers, job)
    services.wake_dispatcher()
    return json_response(body, HTTPStatus.CREATED if created else HTTPStatus.OK)


@router.get("/jobs/{job_id}")
def read_job(request: Request, job_id: str, caller: Signed) -> Response:
    """Signed, by the renter or the worker of the lease: a job says what a renter computes."""
    services = services_of(request)
    with services.store.read() as transaction:
        job = readable_job(transaction, job_id_of(job_id), caller.address)
        body = job_body(transaction, services.logs, services.readers, job)
    return json_response(body)


@router.get("/leases/{lease_id}/jobs")
def list_jobs(
    request: Request, lease_id: str, caller: Signed, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Signed, by a renter of the lease, who sees what it ordered itself, or its worker. As they came in."""
    services = services_of(request)
    wanted = lease_id_of(lease_id)
    after, _ = read_cursor(cursor)
    with services.store.read() as transaction:
        renter = reader_of_lease(transaction, wanted, caller.address)
        found = jobs.list_jobs(transaction, wanted, renter, min(after, MAX_INTEGER), limit + 1)
        page = tuple(job_body(transaction, services.logs, services.readers, job) for job in found[:limit])
    following = write_cursor(found[limit - 1].sequence, found[limit - 1].job_id) if found[limit:] else None
    return json_response(JobsBody(jobs=page, next_cursor=following))


@router.get("/jobs/{job_id}/logs")
async def read_logs(
    request: Request, job_id: str, caller: Signed, offset: Offset = 0, wait_seconds: WaitSeconds = 0
) -> Response:
    """Signed, by the renter or the worker of the lease. Waits for news at the end of what there is."""
    services = services_of(request)
    wanted = job_id_of(job_id)
    deadline = asyncio.get_running_loop().time() + wait_seconds
    with services.wakeups.subscribe(wanted) as changed:
        while True:
            changed.clear()
            body = await run_in_threadpool(_read_logs, services, wanted, caller.address, offset)
            left_seconds = deadline - asyncio.get_running_loop().time()
            if body.data or body.complete or left_seconds <= 0 or services.stopping.is_set():
                return json_response(body)
            try:
                async with asyncio.timeout(left_seconds):
                    await changed.wait()
            except TimeoutError:
                return json_response(body)


def renter_of(services: Services, terms: Terms) -> Address:
    """Of today; the one of the terms where the lease is not indexed yet."""
    with services.store.read() as transaction:
        lease = entities.get_lease(transaction, lease_id_of_terms(services.domain, terms))
    return terms.renter if lease is None else lease.renter


def _read_logs(services: Services, job_id: JobId, caller: Address, offset: int) -> LogsBody:
    with services.store.read() as transaction:
        job = readable_job(transaction, job_id, caller)
        attempt = attempts.latest_attempt(transaction, job_id)
    return logs_body(services.logs, job_id, attempt.attempt if attempt else 0, job.state, offset)


def reader_of_lease(transaction: Transaction, lease_id: LeaseId, caller: Address) -> Address | None:
    """Whose jobs of the lease this caller may see: one renter's, or all (None) as its worker. 403, 404."""
    lease = entities.get_lease(transaction, lease_id)
    if lease is not None:
        terms, renters = lease.terms, lease.renters
    else:
        first = jobs.list_jobs(transaction, lease_id, None, 0, 1)
        if not first:
            raise ApiError(404, "unknown_lease", "no such lease in the blocks that are indexed, and no job")
        terms = first[0].terms
        renters = (terms.renter,)
    return None if check_party(transaction, terms, renters, caller) else caller


def readable_job(transaction: Transaction, job_id: JobId, caller: Address) -> jobs.JobEntry:
    job = jobs.get_job(transaction, job_id)
    if job is None:
        raise ApiError(404, "unknown_job", "no such job")
    check_party(transaction, job.terms, (job.renter,), caller)
    return job


def check_deadline(transaction: Transaction, services: Services, deadline: int) -> None:
    """422 where an order could not start any more."""
    now = _now(transaction, services)
    if deadline < now:
        raise ApiError(422, "expired", f"deadline: expected at least {now}, got {deadline}")


def check_room(transaction: Transaction, services: Services, terms: Terms, lease_id: LeaseId) -> int:
    """How many further jobs the lease takes, at least one. 409 where it is over, 429 where it takes none."""
    settings = services.settings
    lease = entities.get_lease(transaction, lease_id)
    room = settings.max_jobs_per_lease - jobs.count_jobs(transaction, lease_id)
    if lease is None:
        of_renter = settings.max_orders_before_lease - jobs.count_orphans(transaction, terms.renter)
        orphans = min(of_renter, settings.max_orders_before_lease_total - jobs.count_orphans(transaction))
        if orphans < 1:
            raise ApiError(429, "too_many_orders", "too many orders wait for leases that are not indexed yet")
        room = min(room, orphans)
    elif has_ended(lease, _now(transaction, services)):
        raise ApiError(
            409, "lease_over", f"the lease ended at {lease.end}, status {lease.status.name.lower()}"
        )
    if room < 1:
        raise ApiError(429, "too_many_jobs", f"expected at most {settings.max_jobs_per_lease} jobs a lease")
    return room


def _now(transaction: Transaction, services: Services) -> int:
    cursor = history.get_cursor(transaction)
    return later_of(services.now(), cursor.timestamp if cursor else None)
