"""What /proc says of a tree of processes: members, tasks, memory, bytes in files without a name."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_GONE: Final = (FileNotFoundError, ProcessLookupError, PermissionError)


def descendants(root_pid: int) -> list[int]:
    """`root_pid` and all below it, as of now; processes that end meanwhile are left out."""
    found = [root_pid]
    for pid in found:
        found += _children(pid)
    return found


def tree_tasks(process_ids: Sequence[int]) -> int:
    """Processes and threads."""
    return sum(_count(_PROC / str(pid) / "task") for pid in process_ids)


def tree_memory_bytes(process_ids: Sequence[int]) -> int:
    """Proportional set size, so that shared pages count once; resident size where that cannot be read."""
    return sum(_memory_bytes(pid) for pid in process_ids)


def nameless_bytes(process_ids: Sequence[int], device: int) -> int:
    """Bytes on `device` in files that were deleted and are still open: no walk over a folder sees them."""
    inodes: dict[int, int] = {}
    for pid in process_ids:
        for descriptor in _names(_PROC / str(pid) / "fd"):
            try:
                found = os.stat(_PROC / str(pid) / "fd" / descriptor)
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 0 and found.st_dev == device:
                inodes[found.st_ino] = found.st_blocks * 512
    return sum(inodes.values())


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in _names(_PROC / str(pid) / "task"):
        try:
            found += [
                int(child) for child in (_PROC / str(pid) / "task" / task / "children").read_text().split()
            ]
        except _GONE:
            continue
    return found


def _memory_bytes(pid: int) -> int:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except _GONE:
        return _resident_bytes(pid)
    return 0


def _resident_bytes(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    except _GONE:
        return 0


def _count(folder: Path) -> int:
    return len(_names(folder))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except _GONE:
        return []
