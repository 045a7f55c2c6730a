"""What the chain says: deployment, leases. All open: all of it is public on-chain."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from oracle.api.errors import ApiError, json_response
from oracle.api.parameters import MAX_INTEGER, Cursor, Limit, lease_id_of, read_cursor, write_cursor
from oracle.api.services import services_of
from oracle.api.views import lease_body
from oracle.store import entities
from protocol.bodies import DeploymentBody, LeasesBody, ReadersBody
from protocol.units import parse_address

router = APIRouter(prefix="/v1")


@router.get("/deployment")
def read_deployment(request: Request) -> Response:
    """Open: public facts of the chain."""
    return json_response(DeploymentBody(manifest=services_of(request).manifest))


@router.get("/readers")
def list_readers(request: Request) -> Response:
    """Open: each key is signed by whose it is."""
    return json_response(ReadersBody(readers=services_of(request).readers))


@router.get("/leases/{lease_id}")
def read_lease(request: Request, lease_id: str) -> Response:
    """Open: leases are events of the chain."""
    wanted = lease_id_of(lease_id)
    with services_of(request).store.read() as transaction:
        entry = entities.get_lease(transaction, wanted)
    if entry is None:
        raise ApiError(404, "unknown_lease", "no such lease in the blocks that are indexed")
    return json_response(lease_body(entry))


@router.get("/leases")
def list_leases(
    request: Request,
    renter: str | None = None,
    provider: str | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Open: leases are events of the chain. In the order of their opening."""
    rented_by = None if renter is None else parse_address(renter, "renter")
    provided_by = None if provider is None else parse_address(provider, "provider")
    after = read_cursor(cursor)
    if after[0] > MAX_INTEGER:
        return json_response(LeasesBody(leases=(), next_cursor=None))
    with services_of(request).store.read() as transaction:
        found = entities.list_leases(transaction, rented_by, provided_by, after, limit + 1)
    following = None
    if len(found) > limit:
        last = found[limit - 1]
        following = write_cursor(last.opened_at.block_number, last.lease_id)
    leases = tuple(lease_body(entry) for entry in found[:limit])
    return json_response(LeasesBody(leases=leases, next_cursor=following))
