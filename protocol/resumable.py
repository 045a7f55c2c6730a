"""An upload in pieces by tus 1.0.0, without its I/O: requests come out, answers go in.

Broken off anywhere, it is begun again and goes on from what the oracle has: nothing is to be remembered.
"""

import base64
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.errors import ServiceUnavailable
from protocol.units import Digest

PIECE_BYTES: Final = 8 << 20
"""Up to so many bytes are sent in one request anyway."""
TARGET: Final = "/v1/uploads"
_VERSION: Final = {"Tus-Resumable": "1.0.0"}
CONFLICT: Final = 409
NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Step:
    """One request. Refusals of the statuses in `expected` are answers, others end the upload."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    expected: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def upload_steps(
    digest: Digest, size_bytes: int, read: Callable[[int, int], bytes], piece_bytes: int = PIECE_BYTES
) -> Generator[Step, Answer, None]:
    """Returns once the oracle has all bytes. `read(offset, size)` gives those of the artifact.

    ServiceUnavailable where the upload is to be begun anew.
    """
    metadata = base64.b64encode(digest.hex().encode()).decode()
    headers = {**_VERSION, "Upload-Length": str(size_bytes), "Upload-Metadata": f"sha256 {metadata}"}
    created = yield Step("POST", TARGET, headers)
    target, offset = created.headers.get("location", ""), _offset(created)
    if not target.startswith(f"{TARGET}/"):
        raise ServiceUnavailable(f"POST {TARGET}: expected the upload's location, got {target!r}")
    while offset < size_bytes:
        piece = read(offset, min(piece_bytes, size_bytes - offset))
        headers = {
            **_VERSION,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        answer = yield Step("PATCH", target, headers, piece, expected=(CONFLICT, NOT_FOUND))
        if answer.status in (CONFLICT, NOT_FOUND):
            raise ServiceUnavailable(f"PATCH {target}: the upload stands elsewhere by now")
        reached = _offset(answer)
        if not offset < reached <= size_bytes:
            raise ServiceUnavailable(
                f"PATCH {target}: expected more than {offset} bytes there, got {reached}"
            )
        offset = reached


def _offset(answer: Answer) -> int:
    text = answer.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ServiceUnavailable(f"upload: expected an Upload-Offset, got {text[:40]!r}")
    return int(text)
