"""What jobs print, a file for each attempt: appended at known offsets, so that nothing is lost or doubled."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.units import JobId


class JobLogs:
    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def append(self, job_id: JobId, attempt: int, offset: int, data: bytes, max_bytes: int) -> int:
        """The offset that the worker goes on from. Bytes known already, or after a gap, are not written.

        Beyond `max_bytes` nothing is kept, and the worker is told to go on: its own limit stops such a job.
        """
        path = self.path(job_id, attempt)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size_bytes = os.fstat(descriptor).st_size
            if size_bytes >= max_bytes:
                return max(offset + len(data), size_bytes)
            if offset > size_bytes or offset + len(data) <= size_bytes:
                return size_bytes
            fresh = data[size_bytes - offset :][: max_bytes - size_bytes]
            _write_at(descriptor, fresh, size_bytes)
            os.fdatasync(descriptor)
            return offset + len(data)
        finally:
            os.close(descriptor)

    def total_bytes(self, job_id: JobId, attempts: int) -> int:
        """Of attempts 1 to `attempts` together."""
        return sum(self._size_bytes(job_id, attempt) for attempt in range(1, attempts + 1))

    def read(self, job_id: JobId, attempts: int, offset: int, max_bytes: int) -> bytes:
        """From `offset` on in the logs of attempts 1 to `attempts`, one after the other.

        Only the newest attempt's log grows, so what was read once stays where it was.
        """
        parts: list[bytes] = []
        for attempt in range(1, attempts + 1):
            size_bytes = self._size_bytes(job_id, attempt)
            if offset < size_bytes and max_bytes > 0:
                with self.path(job_id, attempt).open("rb") as file:
                    file.seek(offset)
                    parts.append(file.read(min(max_bytes, size_bytes - offset)))
                max_bytes -= len(parts[-1])
                offset += len(parts[-1])
            offset = max(offset - size_bytes, 0)
        return b"".join(parts)

    def _size_bytes(self, job_id: JobId, attempt: int) -> int:
        try:
            return self.path(job_id, attempt).stat().st_size
        except FileNotFoundError:
            return 0

    def path(self, job_id: JobId, attempt: int) -> Path:
        return self._root / job_id.hex() / f"{attempt}.log"


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
