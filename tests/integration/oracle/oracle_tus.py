"""Requests of tus 1.0.0, each signed like every other."""

import base64

import httpx2

from tests.integration.oracle import oracle_rig as rig

TUS = {"Tus-Resumable": "1.0.0"}
PIECE_TYPE = "application/offset+octet-stream"


def begin_headers(data: bytes, size_bytes: int | None = None) -> dict[str, str]:
    metadata = base64.b64encode(rig.sha256(data).hex().encode()).decode()
    length = str(len(data) if size_bytes is None else size_bytes)
    return {**TUS, "Upload-Length": length, "Upload-Metadata": f"name YQ==, sha256 {metadata}"}


def create(caller: rig.Caller, data: bytes, size_bytes: int | None = None) -> httpx2.Response:
    return caller("POST", "/v1/uploads", **begin_headers(data, size_bytes))


def patch(caller: rig.Caller, target: str, offset: int, piece: bytes, **more: str) -> httpx2.Response:
    headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": PIECE_TYPE}
    return caller("PATCH", target, piece, **{**headers, **more})


def offset_of(caller: rig.Caller, target: str) -> int:
    response = caller("HEAD", target, **TUS)
    assert response.status_code == 200
    return int(response.headers["Upload-Offset"])
