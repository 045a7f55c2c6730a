"""Bundles: one deterministic, uncompressed tar of a folder's files, and its extraction from hostile hands.

Written: regular files only, sorted by the bytes of their paths, without times, owners and modes but the x
bit. Folders exist as parts of paths; an empty folder is not kept.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from protocol.errors import BadInput, LimitExceeded
from protocol.tar_reader import TarFile, checked_path, read_tar
from protocol.units import Digest, shorten

SOURCE_EXCLUDED: Final = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", ".ipynb_checkpoints"})
"""Names of files and folders that a renter's source tree need not carry."""

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def write_bundle(
    root: Path,
    out: BinaryIO,
    max_bytes: int,
    max_files: int,
    *,
    excluded_names: frozenset[str] = frozenset(),
    skip_special: bool = False,
) -> Digest:
    """Writes the files under `root` and returns the SHA-256 of the tar. The same files give the same bytes.

    BadInput for links, devices, sockets and pipes (left out where `skip_special`), and for names that are not
    UTF-8; LimitExceeded where the tar would be larger than `max_bytes` or hold more than `max_files` files.
    """
    sink = _HashingWriter(out, max_bytes)
    paths = sorted(_files(root, excluded_names, skip_special, max_files), key=os.fsencode)
    with tarfile.open(fileobj=cast(BinaryIO, sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in paths:
            _add(archive, root, path, sink)
    return Digest(sink.state.digest())


def extract_bundle(source: BinaryIO, target: Path, max_bytes: int, max_files: int) -> int:
    """Writes the files of a tar into `target`, which is made or must be empty; returns their number.

    BadInput for links, devices, absolute paths, "..", duplicates, malformed or cut tars; LimitExceeded where
    contents add up to more than `max_bytes` or there are more than `max_files` files. What was written by
    then stays: the caller removes `target`.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise BadInput(f"bundle: expected the empty folder {target.name}, it holds files")
    count = 0
    for member in read_tar(source, max_bytes, max_files):
        _extract(member, target)
        count += 1
    return count


@dataclass(slots=True)
class _HashingWriter:
    """Passes on at most `max_bytes` and hashes them."""

    out: BinaryIO
    max_bytes: int
    written_bytes: int = 0
    state: "hashlib._Hash" = field(default_factory=hashlib.sha256)  # type: ignore[name-defined]

    def write(self, data: bytes, /) -> int:
        self.require(len(data))
        self.out.write(data)
        self.state.update(data)
        self.written_bytes += len(data)
        return len(data)

    def require(self, size_bytes: int) -> None:
        if self.written_bytes + size_bytes > self.max_bytes:
            raise LimitExceeded(f"bundle: expected at most {self.max_bytes} bytes, got more")


def _files(root: Path, excluded: frozenset[str], skip_special: bool, max_files: int) -> Iterator[str]:
    """Paths of regular files relative to `root`, with slashes."""
    count = 0
    for folder, folders, names, folder_fd in os.fwalk(root, onerror=_raise):
        prefix = os.path.relpath(folder, root)
        linked = [name for name in folders if _mode(name, folder_fd) != stat.S_IFDIR]
        folders[:] = [name for name in folders if name not in excluded and name not in linked]
        for name in (*linked, *names):
            if name in excluded:
                continue
            path = name if prefix == "." else f"{prefix}/{name}"
            if _mode(name, folder_fd) != stat.S_IFREG:
                if skip_special:
                    continue
                raise BadInput(f"bundle: expected regular files only, got {shorten(path)}")
            count += 1
            if count > max_files:
                raise LimitExceeded(f"bundle: expected at most {max_files} files, got more")
            yield _utf8(path)


def _raise(error: OSError) -> None:
    raise BadInput(f"bundle: cannot read {shorten(error.filename)}: {error.strerror}") from error


def _mode(name: str, folder_fd: int) -> int:
    return stat.S_IFMT(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode)


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"bundle: expected UTF-8 names, got {shorten(path)}") from error
    return checked_path(path)


def _add(archive: tarfile.TarFile, root: Path, path: str, sink: _HashingWriter) -> None:
    with open(_open_beneath(root, path), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"bundle: expected a regular file, got {shorten(path)}")
        sink.require(status.st_size)
        member = tarfile.TarInfo(path)
        member.size = status.st_size
        member.mode = 0o755 if status.st_mode & 0o100 else 0o644
        try:
            archive.addfile(member, file)
        except OSError as error:
            raise BadInput(f"bundle: {shorten(path)} changed or failed while it was read: {error}") from error


def _open_beneath(root: Path, path: str) -> int:
    """Opens a file, following no link below `root`, whoever changes the folders meanwhile."""
    *folders, name = path.split("/")
    folder_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner_fd = os.open(folder, _FOLDER_FLAGS, dir_fd=folder_fd)
            os.close(folder_fd)
            folder_fd = inner_fd
        return os.open(name, _READ_FLAGS, dir_fd=folder_fd)
    except OSError as error:
        raise BadInput(f"bundle: cannot read {shorten(path)}: {error.strerror}") from error
    finally:
        os.close(folder_fd)


def _extract(member: TarFile, target: Path) -> None:
    path = target / member.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file_fd = os.open(path, _WRITE_FLAGS, 0o755 if member.executable else 0o644)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"bundle: expected each path once, got {shorten(member.path)} again") from error
    with open(file_fd, "wb") as file:
        os.fchmod(file.fileno(), 0o755 if member.executable else 0o644)
        for piece in member.pieces:
            file.write(piece)
