"""Where a job's log is kept, and what of it is still to be sent.

The log of a sealed order is kept twice: in the clear for the receipt's artifact, and as it is sent, which is
32 bytes of salt and then the enciphered log.
"""

import os
import secrets
from io import FileIO
from pathlib import Path
from typing import Final

from protocol.sealing import SALT_BYTES, log_cipher
from protocol.units import JobId

LOG_FILE: Final = "log"
SENT_LOG_FILE: Final = "log.sealed"
CHUNK_BYTES: Final = 64 << 10


class LogFile:
    """Appends to one attempt's log. The sandbox has bounded what comes from the job.

    `content_key`: of a sealed order.
    """

    def __init__(self, folder: Path, job_id: JobId, attempt: int, content_key: bytes | None) -> None:
        self._sealed: FileIO | None = None
        if content_key is not None:
            # Anew, under a salt of its own: an attempt runs once.
            salt = secrets.token_bytes(SALT_BYTES)
            self._sealed = FileIO(folder / SENT_LOG_FILE, "wb")
            self._cipher = log_cipher(content_key, job_id, attempt, salt)
            self._size_bytes = 0
            _write(self._sealed, salt)
        self._file = FileIO(folder / LOG_FILE, "ab")

    def write(self, data: bytes) -> None:
        _write(self._file, data)
        if self._sealed is not None:
            _write(self._sealed, self._cipher.apply(data, self._size_bytes))
            self._size_bytes += len(data)

    def note(self, text: str) -> None:
        """A line of the worker's own, told apart from the job's by its prefix."""
        self.write(f"\n[worker] {text}\n".encode())

    def close(self) -> None:
        for file in (self._file, self._sealed):
            if file is not None:
                os.fsync(file.fileno())
                file.close()


def read_log(folder: Path, offset_bytes: int) -> bytes:
    """What is sent: at most CHUNK_BYTES from `offset_bytes` on; empty where there is nothing more yet."""
    # The sent form is there before the other: whoever finds the log in the clear alone may send it so.
    if not (folder / LOG_FILE).exists():
        return b""
    sent = folder / SENT_LOG_FILE
    with (sent if sent.exists() else folder / LOG_FILE).open("rb") as file:
        file.seek(offset_bytes)
        return file.read(CHUNK_BYTES)


def _write(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
