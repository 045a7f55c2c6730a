"""How much a job has written, counted without following links and without trusting the shape of its
folders.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 100_000
MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class OutputSize:
    bytes: int
    entries: int
    too_deep: bool

    def exceeds(self, limit_bytes: int) -> bool:
        return self.bytes > limit_bytes or self.entries > MAX_ENTRIES or self.too_deep


def measure(root: Path) -> OutputSize:
    """Sizes of all files under `root` as of now. Stops early at more than MAX_ENTRIES or MAX_DEPTH."""
    total, entries = 0, 0
    pending: list[tuple[str, int]] = [(str(root), 0)]
    while pending:
        folder, depth = pending.pop()
        if depth > MAX_DEPTH:
            return OutputSize(total, entries, too_deep=True)
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # gone, or closed by its owner: the disk's free space is watched too
        entries += len(names)
        if entries > MAX_ENTRIES:
            break
        for name in names:
            path = f"{folder}/{name}"
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode):
                pending.append((path, depth + 1))
            else:
                total += max(found.st_size, found.st_blocks * 512) if stat.S_ISREG(found.st_mode) else 0
    return OutputSize(total, entries, too_deep=False)
