"""Reads that are asked most, answered before any router, which what is unusual is left to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.types import Scope

from oracle.api.auth import token_in
from oracle.api.batches import Batches
from oracle.api.errors import ApiError
from oracle.api.limits import take_place
from oracle.api.services import Services
from oracle.joblogs import JobLogs
from oracle.jobs import MAX_PRIORITY
from oracle.store import reads
from protocol.errors import BadInput
from protocol.readers import ReaderKey
from protocol.sealing import KEY_BYTES
from protocol.structs import JobClass
from protocol.units import JobId, hex_bytes, to_hex

JOB_ROUTE = "/v1/jobs/{job_id}"
_JOB_PREFIX = "/v1/jobs/"
_JOB_CHARACTERS = len(_JOB_PREFIX) + len("0x") + 64


async def read_job(services: Services, batches: Batches, scope: Scope, state: dict[str, Any]) -> bytes | None:
    """The answer to a party of the job that is signed in; None: the router's to answer. 429."""
    path: str = scope["path"]
    if scope["method"] != "GET" or len(path) != _JOB_CHARACTERS or not path.startswith(_JOB_PREFIX):
        return None
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    try:
        token = token_in(header.decode("latin-1"))
        job_id = JobId(hex_bytes(path[len(_JOB_PREFIX) :], 32))
    except (ApiError, BadInput):
        return None
    if token is None:
        return None
    now = services.now()
    view = await batches.read(lambda transaction: reads.read_job(transaction, job_id, token, now))
    if view is None or view.account not in (view.renter, view.worker):
        return None
    state["account"], state["route"] = view.account, JOB_ROUTE
    take_place(services.doors.by_account, view.account)
    return job_content(services.logs, services.readers, job_id, view)


def job_content(logs: JobLogs, readers: Sequence[ReaderKey], job_id: JobId, view: reads.JobView) -> bytes:
    """A `JobBody`, as `views.job_body` makes it: what is stored is JSON of that form already."""
    signed = orjson.loads(view.signed_order)
    return orjson.dumps(
        {
            "job_id": to_hex(job_id),
            "lease_id": to_hex(view.lease_id),
            "state": view.state,
            "detail": view.detail,
            "order": signed["order"],
            "spec": signed["spec"],
            "checked_as": _checked_as(signed, readers),
            "attempt": view.attempts_made,
            "created_at": view.created_at,
            "updated_at": view.updated_at,
            "log_bytes": logs.total_bytes(job_id, view.attempts_made),
            "receipt": None if view.receipt is None else orjson.Fragment(view.receipt),
            "proof_hash": None if view.proof_hash is None else to_hex(view.proof_hash),
            "priority": MAX_PRIORITY - view.rank,
            "cancel_asked_at": view.cancel_asked_at,
        }
    )


def _checked_as(signed: dict[str, Any], readers: Sequence[ReaderKey]) -> str:
    """As `protocol.readers.checked_as`."""
    checkers = {to_hex(reader.key) for reader in readers}
    wrapped: list[str] = signed["order"]["bundle"]["wrapped_keys"]
    if not wrapped or any(key[: len("0x") + 2 * KEY_BYTES] in checkers for key in wrapped):
        return str(signed["spec"]["job_class"]).upper()
    return JobClass.OPAQUE.name
