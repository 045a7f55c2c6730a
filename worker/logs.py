"""Where a job's log is kept, and what of it is still to be sent."""

import os
from pathlib import Path
from typing import Final

LOG_FILE: Final = "log"
CHUNK_BYTES: Final = 64 << 10


class LogFile:
    """Appends to one attempt's log. The sandbox has bounded what comes from the job."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def note(self, text: str) -> None:
        """A line of the worker's own, told apart from the job's by its prefix."""
        self.write(f"\n[worker] {text}\n".encode())

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


def read_log(path: Path, offset_bytes: int) -> bytes:
    """At most CHUNK_BYTES from `offset_bytes` on; empty where there is nothing more yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            return file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b""
