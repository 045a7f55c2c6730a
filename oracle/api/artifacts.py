"""Content-addressed bytes: bundles and data of renters, outputs and checkpoints of workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from oracle.api.auth import Caller, read_stream, signed, signed_headers
from oracle.api.errors import ApiError, json_response
from oracle.api.parameters import sha256_of
from oracle.api.services import Services, services_of
from oracle.artifacts import Upload, measure_blocks, read_checked
from oracle.store import artifacts
from oracle.store.artifacts import ArtifactEntry
from protocol.bodies import ArtifactBody
from protocol.errors import DigestMismatch
from protocol.units import Address, Digest

router = APIRouter(prefix="/v1/artifacts")
log = structlog.get_logger(__name__)

FLUSH_BYTES: Final = 1 << 20
RANGE: Final = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)


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
    room_bytes = await run_in_threadpool(services.incoming.room_bytes, caller.address, wanted)
    if services.uploads.locked():
        raise ApiError(429, "too_many_uploads", "too many uploads at once: try again soon")
    async with services.uploads:
        with services.staging.upload(room_bytes) as upload:
            await _receive(request, upload, room_bytes)
            created = await run_in_threadpool(_store, services, upload, wanted, caller.address)
            size_bytes = upload.size_bytes
    body = ArtifactBody(digest=digest, size_bytes=size_bytes, created=created)
    return json_response(body, 201 if created else 200)


@router.get("/{digest}")
def download_artifact(request: Request, digest: str, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Signed, by whoever uploaded it, or by the renter or worker of a job that refers to it. With ranges.

    Each block is compared with what came in before any of it leaves; where the store has altered one the
    connection ends there, so that nobody takes the bytes for whole.
    """
    services = services_of(request)
    wanted = sha256_of(digest)
    with services.store.read() as transaction:
        allowed = artifacts.may_read_artifact(transaction, wanted, caller.address)
        entry = artifacts.get_artifact(transaction, wanted)
    if not allowed or entry is None:
        # One answer for both: whether a stranger's bytes are here is nobody's business.
        raise ApiError(404, "unknown_artifact", "no such artifact, or not yours to read")
    start, end = _range(request.headers.get("Range"), entry.size_bytes)
    pieces = _checked(services, wanted, entry, start, end)
    # What is wrong with the first block is said before the answer begins.
    first = next(pieces, b"")
    headers = {
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest}"',
    }
    is_part = "Range" in request.headers and (start, end) != (0, entry.size_bytes)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{entry.size_bytes}"
    status = HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK
    return StreamingResponse(_chain(first, pieces), status, headers, media_type="application/octet-stream")


def _checked(
    services: Services, digest: Digest, entry: ArtifactEntry, start: int, end: int
) -> Iterator[bytes]:
    try:
        blocks = entry.block_digests
        if blocks is None:
            blocks = measure_blocks(services.artifacts, digest, entry.size_bytes)
            with services.store.write() as transaction:
                artifacts.set_block_digests(transaction, digest, blocks)
        yield from read_checked(services.artifacts, digest, entry.size_bytes, blocks, start, end)
    except (DigestMismatch, FileNotFoundError) as error:
        log.error("artifact_damaged", digest=digest, reason=str(error))
        with services.store.write() as transaction:
            artifacts.set_block_digests(transaction, digest, None)
        # Whoever has the bytes heals it by uploading them again.
        raise ApiError(410, "artifact_damaged", "the store has lost or altered these bytes") from error


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _range(header: str | None, size_bytes: int) -> tuple[int, int]:
    """First byte, and the one after the last. Anything but one plain range is answered with everything."""
    found = RANGE.fullmatch(header or "")
    if found is None:
        return 0, size_bytes
    start = int(found[1])
    end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    if start >= size_bytes or start >= end:
        raise ApiError(416, "range_not_satisfiable", f"expected a range within {size_bytes} bytes")
    return start, end


async def _receive(request: Request, upload: Upload, room_bytes: int) -> None:
    pending = bytearray()

    async def take(chunk: bytes) -> None:
        pending.extend(chunk)
        if len(pending) >= FLUSH_BYTES:
            await run_in_threadpool(upload.write, bytes(pending))
            pending.clear()

    await read_stream(request, room_bytes, take)
    await run_in_threadpool(upload.write, bytes(pending))


def _store(services: Services, upload: Upload, digest: Digest, account: Address) -> bool:
    """True: the bytes were not here before."""
    created = services.incoming.store_whole(account, upload.complete(digest))
    services.wake_dispatcher()
    return created
