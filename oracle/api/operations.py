"""For operators and their machines: is it alive, is it ready, what does it count."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from ipaddress import ip_address
from typing import Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from oracle import metrics
from oracle.api.errors import ApiError, json_response
from oracle.api.services import Services, services_of
from oracle.jobs import JobState
from oracle.store import history, jobs
from oracle.store.probe import is_writable
from protocol.bodies import HealthBody, ReadyBody
from protocol.digests import sha256

router = APIRouter()


@router.get("/v1/health")
def read_health(request: Request) -> Response:
    """Liveness: answers 200 as long as the process does. Open: says nothing but how far the index is."""
    services = services_of(request)
    with services.store.read() as transaction:
        cursor = history.get_cursor(transaction)
    head, indexed = services.head_block(), cursor.number if cursor else None
    synced = head is not None and indexed is not None and indexed >= head
    return json_response(
        HealthBody(
            status="ok" if synced else "syncing",
            head_block=head,
            indexed_block=indexed,
            workers_connected=services.links.count(),
        )
    )


@router.get("/v1/ready")
def read_ready(request: Request) -> Response:
    """Whether a balancer should send requests here: 200, or 503. Says which check fails, and no more."""
    body = readiness(services_of(request))
    return json_response(body, HTTPStatus.OK if body.ready else HTTPStatus.SERVICE_UNAVAILABLE)


@router.get("/metrics")
def read_metrics(request: Request) -> Response:
    """For the networks of the settings, or with their token."""
    services = services_of(request)
    if not _may_read_metrics(services, request):
        raise ApiError(HTTPStatus.FORBIDDEN, "not_the_operator", "expected the operator's token or network")
    _read_gauges(services)
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)


def readiness(services: Services) -> ReadyBody:
    """Looked up at most once a second: whoever asks more often gets the answer of before."""
    return services.doors.readiness.get(lambda: _check(services))


def _check(services: Services) -> ReadyBody:
    failing: list[Literal["store", "chain", "lag"]] = []
    lag_blocks: int | None = None
    if not is_writable(services.store):
        failing.append("store")
    else:
        lag_blocks = _lag_blocks(services)
        if lag_blocks is None or lag_blocks > services.settings.ready_lag_blocks:
            failing.append("lag")
    if not services.doors.chain_reachable():
        failing.append("chain")
    return ReadyBody(ready=not failing, failing=tuple(failing), lag_blocks=lag_blocks)


def _lag_blocks(services: Services) -> int | None:
    with services.store.read() as transaction:
        cursor = history.get_cursor(transaction)
    head = services.head_block()
    return None if head is None or cursor is None else max(head - cursor.number, 0)


def _may_read_metrics(services: Services, request: Request) -> bool:
    given = request.headers.get("authorization", "")
    if given:
        expected = services.doors.metrics_token_digest
        token = given[7:] if given[:7].lower() == "bearer " else ""
        return expected is not None and hmac.compare_digest(sha256(token.encode()), expected)
    if request.state.through_stranger:
        return False
    try:
        address = ip_address(request.state.client)
    except ValueError:
        return False
    return any(address in network for network in services.settings.metrics_networks)


def _read_gauges(services: Services) -> None:
    with services.store.read() as transaction:
        cursor = history.get_cursor(transaction)
        states = jobs.count_states(transaction)
    head = services.head_block() or 0
    indexed = cursor.number if cursor else 0
    metrics.HEAD_BLOCK.set(head)
    metrics.INDEXED_BLOCK.set(indexed)
    metrics.LAG_BLOCKS.set(max(head - indexed, 0))
    for state in JobState:
        metrics.JOBS.labels(state).set(states.get(state, 0))
    metrics.WORKERS.set(services.links.count())
    metrics.STREAMS.set(services.doors.streams.count())
    standing = services.doors.standing()
    if standing is not None:
        metrics.OUTBOX.set(standing.unconfirmed)
        metrics.HELD.set(standing.held)
        metrics.SPENT_WEI.set(standing.spent_wei)
        metrics.CONTESTED.set(standing.contested)
