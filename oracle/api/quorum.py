"""Signatures of this oracle for other members of the quorum, and what the quorum has found, for renters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from oracle.api.auth import Caller, signed_itself
from oracle.api.errors import ApiError, json_response
from oracle.api.parameters import lease_id_of
from oracle.api.services import services_of
from oracle.quorum.desk import QuorumDesk
from oracle.quorum.examination import Refusal
from protocol.findings import FINDINGS_TARGET, FindingBody, FindingSignatureBody
from protocol.units import to_hex

router = APIRouter()


@router.post(FINDINGS_TARGET)
def sign_finding(request: Request, caller: Annotated[Caller, Depends(signed_itself)]) -> Response:
    """Signed, by an active member of the quorum. 409 with the reason where this oracle does not see it so."""
    desk = _desk(request)
    finding = FindingBody.model_validate_json(caller.body).read()
    if not desk.is_member(caller.address):
        raise ApiError(403, "not_a_member", f"expected an active member of the quorum, got {caller.address}")
    answer = desk.sign(finding)
    if isinstance(answer, Refusal):
        raise ApiError(409, answer.code, answer.message)
    return json_response(FindingSignatureBody(signer=desk.signer.address, signature=to_hex(answer)))


@router.get("/v1/leases/{lease_id}/outage")
def read_outage(request: Request, lease_id: str) -> Response:
    """Open: it helps nobody but the delegate that the lease's policy names."""
    services = services_of(request)
    found = _desk(request).outage(lease_id_of(lease_id), services.now())
    if found is None:
        raise ApiError(404, "no_outage", "expected an outage that the quorum has found, there is none")
    return json_response(found)


def _desk(request: Request) -> QuorumDesk:
    desk = services_of(request).quorum
    if desk is None:
        raise ApiError(404, "not_a_signer", "this oracle does not sign for the quorum")
    return desk
