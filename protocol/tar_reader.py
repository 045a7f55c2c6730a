"""Reads the tars that `bundle` writes, one member at a time, and refuses whatever else a tar can hold.

Only regular files and folders, in ustar headers, with paths and sizes in bounded pax headers where ustar has
no room: the standard library's reader allocates what a hostile header asks for, and knows links and sparse
files.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from protocol.errors import BadInput, LimitExceeded
from protocol.units import shorten

BLOCK_BYTES: Final = 512
MAX_PAX_BYTES: Final = 64 << 10
MAX_PATH_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 32
_COPY_BYTES: Final = 1 << 20
_ZERO_BLOCK: Final = bytes(BLOCK_BYTES)
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True, slots=True)
class TarFile:
    """`pieces` are its bytes; they must be taken before the next member is."""

    path: str
    executable: bool
    size_bytes: int
    pieces: Iterator[bytes]


def read_tar(source: BinaryIO, max_bytes: int, max_files: int) -> Iterator[TarFile]:
    """The files of a tar. BadInput, LimitExceeded."""
    left_bytes, files, folders = max_bytes, 0, 0
    extended: dict[str, str] = {}
    while (block := _block(source)) != _ZERO_BLOCK:
        header = _header(block)
        if header.type == tarfile.XHDTYPE:
            extended = _read_pax(source, header.size)
            continue
        path, size_bytes = _path(extended.get("path", header.name)), _size(extended, header.size)
        extended = {}
        if header.type == tarfile.DIRTYPE:
            folders += 1
            if size_bytes or folders > max_files:
                raise BadInput(f"tar: expected at most {max_files} folders, each without content")
            continue
        if header.type not in _REGULAR:
            raise BadInput(f"tar: expected regular files only, {shorten(path)} has type {header.type!r}")
        files, left_bytes = files + 1, left_bytes - size_bytes
        if files > max_files:
            raise LimitExceeded(f"tar: expected at most {max_files} files, got more")
        if left_bytes < 0:
            raise LimitExceeded(f"tar: expected at most {max_bytes} bytes of content, got more")
        pieces = _pieces(source, size_bytes)
        yield TarFile(path, bool(header.mode & 0o100), size_bytes, pieces)
        for _ in pieces:
            pass  # whatever the caller left of it
        _exactly(source, -size_bytes % BLOCK_BYTES)
    _require_end(source)


def checked_path(path: str) -> str:
    """`path` where it is relative, plain and of bounded length; BadInput otherwise."""
    parts = path.split("/")
    if not path or len(path.encode()) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH:
        limits = f"{MAX_PATH_BYTES} bytes and {MAX_DEPTH} parts"
        raise BadInput(f"tar: expected a path of at most {limits}, got {shorten(path)}")
    for part in parts:
        if part in ("", ".", "..") or len(part.encode()) > MAX_NAME_BYTES:
            raise BadInput(f"tar: expected a plain relative path, got {shorten(path)}")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise BadInput(f"tar: expected a path without control characters, got {shorten(path)}")
    return path


def _path(name: str) -> str:
    return checked_path(name.removesuffix("/"))


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"tar: malformed header: {error}") from error
    if header.size < 0:
        raise BadInput(f"tar: expected a size of at least 0, got {header.size}")
    return header


def _size(extended: dict[str, str], size_bytes: int) -> int:
    text = extended.get("size")
    if text is None:
        return size_bytes
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadInput(f"tar: expected a size in a pax header, got {shorten(text)}")
    return int(text)


def _read_pax(source: BinaryIO, size_bytes: int) -> dict[str, str]:
    """Path and size of a pax header, each record of it being "<length> <key>=<value>\\n"."""
    if size_bytes > MAX_PAX_BYTES:
        raise LimitExceeded(f"tar: expected a pax header of at most {MAX_PAX_BYTES} bytes, got {size_bytes}")
    data = _exactly(source, size_bytes)
    _exactly(source, -size_bytes % BLOCK_BYTES)
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data[:8].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : length].partition(b"=")
        if not equals or length > len(data) or not value.endswith(b"\n"):
            raise BadInput("tar: malformed pax header")
        if key.startswith((b"GNU.sparse", b"linkpath")):
            raise BadInput(f"tar: expected regular files only, got the pax key {shorten(key)}")
        if key in (b"path", b"size"):
            found[key.decode()] = _decoded(value[:-1])
        data = data[length:]
    return found


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"tar: expected UTF-8 in a pax header, got {shorten(value)}") from error


def _pieces(source: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    while size_bytes:
        piece = _exactly(source, min(size_bytes, _COPY_BYTES))
        size_bytes -= len(piece)
        yield piece


def _block(source: BinaryIO) -> bytes:
    return _exactly(source, BLOCK_BYTES)


def _exactly(source: BinaryIO, size_bytes: int) -> bytes:
    """So many bytes, however the source cuts them. BadInput where it ends before."""
    pieces: list[bytes] = []
    left = size_bytes
    while left:
        piece = source.read(left)
        if not piece:
            raise BadInput(f"tar: expected {left} more bytes, got the end")
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _require_end(source: BinaryIO) -> None:
    """After the first zero block only zeros follow."""
    while piece := source.read(_COPY_BYTES):
        if piece.count(0) != len(piece):
            raise BadInput("tar: expected nothing after the end, got more")
