"""Resumable uploads of artifacts: tus 1.0.0 with creation, checksum, expiration and termination.

Each request is signed like every other, so a piece carries its SHA-256 and counts whole or not at all. To
create an upload that is under way is to find it again: `Upload-Offset` of the answer says where it stands.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from contextlib import ExitStack
from email.utils import formatdate
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from oracle.api.auth import Caller, read_stream, signed, signed_headers
from oracle.api.errors import ApiError
from oracle.api.parameters import sha256_of
from oracle.api.services import Services, services_of
from oracle.store.uploads import UploadEntry
from oracle.uploads import OffsetConflict, Piece
from protocol.errors import BadInput
from protocol.units import Digest

router = APIRouter(prefix="/v1/uploads")

VERSION: Final = "1.0.0"
CHECKSUM_MISMATCH: Final = 460
CHECKSUMS: Final = {"sha256": 32, "sha1": 20}
FLUSH_BYTES: Final = 1 << 20
PIECE_TYPE: Final = "application/offset+octet-stream"
METADATA_DIGEST: Final = "sha256"
MAX_DIGITS: Final = 18


@router.options("")
def describe(request: Request) -> Response:
    """Open: what of the protocol is served."""
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,checksum,expiration,termination",
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        "Tus-Max-Size": str(services_of(request).settings.max_artifact_bytes),
    }
    return _answer(HTTPStatus.NO_CONTENT, headers)


@router.post("")
def create(request: Request, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Signed, by anyone, within the quota of its account. `Upload-Metadata: sha256 <base64 of 64 digits>`."""
    _check_version(request)
    services = services_of(request)
    size_bytes = _number(request, "Upload-Length")
    digest = _digest_of_metadata(request.headers.get("Upload-Metadata", ""))
    entry = services.incoming.begin(caller.address, digest, size_bytes)
    if entry.offset_bytes == entry.size_bytes:
        services.wake_dispatcher()
    location = f"/v1/uploads/{entry.upload_id}"
    return _answer(HTTPStatus.CREATED, {"Location": location, **_standing(services, entry)})


@router.head("/{upload_id}")
def find(request: Request, upload_id: str, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Signed, by who began it. Says how many bytes are here."""
    _check_version(request)
    services = services_of(request)
    entry = services.incoming.find(caller.address, upload_id)
    headers = {"Upload-Length": str(entry.size_bytes), "Cache-Control": "no-store"}
    return _answer(HTTPStatus.OK, {**headers, **_standing(services, entry)})


@router.patch("/{upload_id}")
async def append(
    request: Request, upload_id: str, caller: Annotated[Caller, Depends(signed_headers)]
) -> Response:
    """Signed, by who began it. On the disk once it is answered; after the last piece it is an artifact."""
    _check_version(request)
    if request.headers.get("Content-Type") != PIECE_TYPE:
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wrong_type", f"expected Content-Type {PIECE_TYPE}")
    services, offset_bytes = services_of(request), _number(request, "Upload-Offset")
    checksum = _Checksum(request.headers.get("Upload-Checksum"))
    if services.uploads.locked():
        raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "too_many_uploads", "too many uploads: try again soon")
    try:
        async with services.uploads:
            with ExitStack() as stack:
                opening = services.incoming.piece(caller.address, upload_id, offset_bytes)
                piece = await run_in_threadpool(stack.enter_context, opening)
                await _receive(request, services, piece, checksum)
                checksum.check()
                entry = await run_in_threadpool(piece.complete, caller.body_digest)
    except OffsetConflict as error:
        headers = {"Tus-Resumable": VERSION, "Upload-Offset": str(error.expected)}
        raise ApiError(HTTPStatus.CONFLICT, error.code, error.message, headers) from error
    if entry.offset_bytes == entry.size_bytes:
        services.wake_dispatcher()
    return _answer(HTTPStatus.NO_CONTENT, _standing(services, entry))


@router.delete("/{upload_id}")
def end(request: Request, upload_id: str, caller: Annotated[Caller, Depends(signed)]) -> Response:
    """Signed, by who began it. Afterwards nothing is left of it."""
    _check_version(request)
    incoming = services_of(request).incoming
    incoming.end(incoming.find(caller.address, upload_id))
    return _answer(HTTPStatus.NO_CONTENT, {})


class _Checksum:
    """The one of the header, where it is given: over the piece, as the standard has it."""

    def __init__(self, header: str | None) -> None:
        name, _, text = (header or "").partition(" ")
        self._state = None
        if header is None:
            return
        if name not in CHECKSUMS:
            raise BadInput(f"Upload-Checksum: expected one of {', '.join(CHECKSUMS)}")
        self._expected = _base64(text, "Upload-Checksum")
        self._state = hashlib.new(name, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        if self._state is not None:
            self._state.update(data)

    def check(self) -> None:
        if self._state is not None and self._state.digest() != self._expected:
            raise ApiError(CHECKSUM_MISMATCH, "checksum_mismatch", "the piece is not the one of its checksum")


async def _receive(request: Request, services: Services, piece: Piece, checksum: _Checksum) -> None:
    pending = bytearray()

    async def take(chunk: bytes) -> None:
        checksum.update(chunk)
        pending.extend(chunk)
        if len(pending) >= FLUSH_BYTES:
            await run_in_threadpool(piece.write, bytes(pending))
            pending.clear()

    await read_stream(request, min(piece.room_bytes, services.settings.upload_piece_bytes), take)
    await run_in_threadpool(piece.write, bytes(pending))


def _answer(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **headers})


def _standing(services: Services, entry: UploadEntry) -> dict[str, str]:
    expires_at = entry.touched_at + services.settings.upload_expiry_seconds
    return {"Upload-Offset": str(entry.offset_bytes), "Upload-Expires": formatdate(expires_at, usegmt=True)}


def _check_version(request: Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise ApiError(HTTPStatus.PRECONDITION_FAILED, "wrong_version", f"expected Tus-Resumable: {VERSION}")


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise BadInput(f"{name}: expected a decimal number")
    return int(text)


def _digest_of_metadata(header: str) -> Digest:
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        if key == METADATA_DIGEST:
            text = _base64(value, "Upload-Metadata")
            if not text.isascii():
                raise BadInput(f"Upload-Metadata: expected {METADATA_DIGEST} as hex digits")
            return sha256_of(text.decode("ascii"))
    raise BadInput(f"Upload-Metadata: expected {METADATA_DIGEST}")


def _base64(text: str, subject: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"{subject}: expected base64") from error
