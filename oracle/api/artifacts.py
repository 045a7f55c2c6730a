"""Content-addressed bytes: bundles and data of renters, outputs and checkpoints of workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from oracle.api.auth import Caller, read_stream, signed, signed_headers
from oracle.api.errors import ApiError, json_response
from oracle.api.parameters import sha256_of
from oracle.api.services import Services, services_of
from oracle.artifacts import Upload
from oracle.store import artifacts
from protocol.bodies import ArtifactBody
from protocol.units import Address, Digest

router = APIRouter(prefix="/v1/artifacts")

FLUSH_BYTES = 1 << 20


@router.put("/{digest}")
async def upload_artifact(
    request: Request, digest: str, caller: Annotated[Caller, Depends(signed_headers)]
) -> Response:
    """Signed, by anyone, within the quota of its account: renters upload before they pay.

    Also where the bytes are stored already they are read in full: an upload is the proof of possessing them.
    """
    services = services_of(request)
    wanted = sha256_of(digest)
    if wanted != caller.body_digest:
        raise ApiError(422, "digest_mismatch", f"expected a body signed as {digest}, got another digest")
    room_bytes = await run_in_threadpool(_room_bytes, services, wanted, caller.address)
    if services.uploads.locked():
        raise ApiError(429, "too_many_uploads", "too many uploads at once: try again soon")
    async with services.uploads:
        with services.artifacts.upload(room_bytes) as upload:
            await _receive(request, upload, room_bytes)
            created = await run_in_threadpool(_store, services, upload, wanted, caller.address)
            size_bytes = upload.size_bytes
    body = ArtifactBody(digest=digest, size_bytes=size_bytes, created=created)
    return json_response(body, 201 if created else 200)


@router.get("/{digest}")
def download_artifact(request: Request, digest: str, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Signed, by whoever uploaded it, or by the renter or worker of a job that refers to it. With ranges."""
    services = services_of(request)
    wanted = sha256_of(digest)
    with services.store.read() as transaction:
        allowed = artifacts.may_read_artifact(transaction, wanted, caller.address)
    path = services.artifacts.path(wanted)
    if not allowed or not path.is_file():
        # One answer for both: whether a stranger's bytes are here is nobody's business.
        raise ApiError(404, "unknown_artifact", "no such artifact, or not yours to read")
    return FileResponse(path, media_type="application/octet-stream")


async def _receive(request: Request, upload: Upload, room_bytes: int) -> None:
    pending = bytearray()

    async def take(chunk: bytes) -> None:
        pending.extend(chunk)
        if len(pending) >= FLUSH_BYTES:
            await run_in_threadpool(upload.write, bytes(pending))
            pending.clear()

    await read_stream(request, room_bytes, take)
    await run_in_threadpool(upload.write, bytes(pending))


def _room_bytes(services: Services, digest: Digest, account: Address) -> int:
    """The most that this account may upload now. 413 `quota_exceeded` where that is nothing."""
    settings = services.settings
    with services.store.read() as transaction:
        if artifacts.owns_artifact(transaction, digest, account):
            return settings.max_artifact_bytes
        used_bytes = artifacts.used_bytes(transaction, account)
        if artifacts.is_newcomer(transaction, account):
            left_bytes = min(
                settings.newcomer_quota_bytes - used_bytes,
                settings.newcomers_quota_bytes - artifacts.newcomers_bytes(transaction),
            )
        else:
            left_bytes = settings.account_quota_bytes - used_bytes
    if left_bytes <= 0:
        raise ApiError(413, "quota_exceeded", f"{account} has stored {used_bytes} bytes, its quota")
    return min(left_bytes, settings.max_artifact_bytes)


def _store(services: Services, upload: Upload, digest: Digest, account: Address) -> bool:
    """True: the bytes were not here before."""
    upload.complete(digest)
    with services.artifact_lock:
        # Uploads at the same time share one quota: what counts is what is left now.
        if upload.size_bytes > _room_bytes(services, digest, account):
            raise ApiError(413, "quota_exceeded", f"{account} has used its quota meanwhile")
        services.artifacts.keep(upload, digest)
        with services.store.write() as transaction:
            created = artifacts.artifact_size(transaction, digest) is None
            artifacts.add_artifact(transaction, digest, upload.size_bytes, account, services.now())
    services.wake_dispatcher()
    return created
