"""How a job's bounds are kept: by a cgroup where this host lets us make one, else by a watchdog over the
process tree.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from protocol.structs import JobLimits
from worker.sandbox.process_tree import descendants, tree_memory_bytes, tree_tasks

_MOUNT: Final = Path("/sys/fs/cgroup")
_PREFIX: Final = "gpgpu"


class LimitName(StrEnum):
    WALL = "wall_seconds"
    MEMORY = "memory_bytes"
    PROCESSES = "processes"
    OUTPUT = "output_bytes"
    LOG = "log_bytes"


class Tier(StrEnum):
    """Who keeps the bounds on memory and processes, strongest first."""

    CGROUP_V2 = "cgroup_v2"
    CGROUP_V1 = "cgroup_v1"
    WATCHDOG = "watchdog"


class Limiter(Protocol):
    """Keeps one sandbox's memory and number of tasks (processes and threads) within bounds."""

    @property
    def join_files(self) -> Sequence[str]:
        """`cgroup.procs` files that the sandbox's first process writes itself into."""
        ...

    def exceeded(self) -> LimitName | None:
        """Which bound the sandbox has hit so far."""
        ...

    def process_ids(self, root_pid: int) -> Sequence[int]: ...

    def close(self) -> None:
        """Kills what is left and frees the kernel's objects."""
        ...


@dataclass(frozen=True, slots=True)
class LimiterFactory:
    """Makes limiters of one tier. `tag` tells the workers of one host apart."""

    tier: Tier
    folders: tuple[Path, ...]
    tag: str

    def make(self, name: str, limits: JobLimits, overhead_tasks: int) -> "Limiter":
        if self.tier is Tier.WATCHDOG:
            return Watchdog(limits, overhead_tasks)
        group = [folder / f"{self._stem}-{name}" for folder in self.folders]
        return Cgroup(group, limits, overhead_tasks, v2=self.tier is Tier.CGROUP_V2)

    def sweep(self) -> None:
        """Ends whatever an earlier life of this worker left in its cgroups."""
        for folder in self.folders:
            for stale in folder.glob(f"{self._stem}-*"):
                _remove_group(stale)

    @property
    def _stem(self) -> str:
        return f"{_PREFIX}-{self.tag}"


def choose_tier(tag: str, wanted: Tier | None = None) -> LimiterFactory:
    """The strongest tier that works here, or `wanted` alone. Probes by making and removing a cgroup."""
    candidates = {Tier.CGROUP_V2: _v2_folders, Tier.CGROUP_V1: _v1_folders}
    for tier, find in candidates.items():
        if wanted is not None and wanted is not tier:
            continue
        folders = find()
        if folders and all(_writable(folder, tag) for folder in folders):
            return LimiterFactory(tier, tuple(folders), tag)
    return LimiterFactory(Tier.WATCHDOG, (), tag)


class Cgroup:
    """A group in each of the hierarchies that count memory and tasks."""

    def __init__(self, folders: Sequence[Path], limits: JobLimits, overhead_tasks: int, *, v2: bool) -> None:
        self._folders = tuple(folders)
        self._v2 = v2
        for folder in self._folders:
            _remove_group(folder)
            folder.mkdir()
            _configure(folder, limits, overhead_tasks)

    @property
    def join_files(self) -> Sequence[str]:
        return [str(folder / "cgroup.procs") for folder in self._folders]

    def exceeded(self) -> LimitName | None:
        for folder in self._folders:
            memory = "memory.events" if self._v2 else "memory.oom_control"
            if _counter(folder / memory, "oom_kill") > 0:
                return LimitName.MEMORY
            if _counter(folder / "pids.events", "max") > 0:
                return LimitName.PROCESSES
        return None

    def process_ids(self, root_pid: int) -> Sequence[int]:
        del root_pid
        return [int(line) for line in (self._folders[0] / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        for folder in self._folders:
            _remove_group(folder)


class Watchdog:
    """Counts the process tree at each look. What it cannot see between two looks, rlimits bound."""

    def __init__(self, limits: JobLimits, overhead_tasks: int) -> None:
        self._limits = limits
        self._overhead_tasks = overhead_tasks
        self._processes: Sequence[int] = ()

    @property
    def join_files(self) -> Sequence[str]:
        return ()

    def exceeded(self) -> LimitName | None:
        if tree_memory_bytes(self._processes) > self._limits.memory_bytes:
            return LimitName.MEMORY
        if tree_tasks(self._processes) > self._limits.processes + self._overhead_tasks:
            return LimitName.PROCESSES
        return None

    def process_ids(self, root_pid: int) -> Sequence[int]:
        self._processes = descendants(root_pid)
        return self._processes

    def close(self) -> None:
        self._processes = ()


def _configure(folder: Path, limits: JobLimits, overhead_tasks: int) -> None:
    # Swap would turn a bound on memory into a bound on nothing; hosts without swap lack the files.
    settings = {
        "memory.max": limits.memory_bytes,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        "memory.limit_in_bytes": limits.memory_bytes,
        "memory.memsw.limit_in_bytes": limits.memory_bytes,
        "pids.max": limits.processes + overhead_tasks,
    }
    for name, value in settings.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))


def _counter(path: Path, name: str) -> int:
    if not path.exists():
        return 0
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _remove_group(folder: Path) -> None:
    if not folder.exists():
        return
    kill = folder / "cgroup.kill"
    if kill.exists():
        kill.write_text("1")
    for line in (folder / "cgroup.procs").read_text().split():
        try:
            os.kill(int(line), 9)
        except ProcessLookupError:
            continue
    try:
        folder.rmdir()
    except OSError as error:
        # A process that is being killed still counts; the next sweep removes the empty group.
        if not folder.exists():
            return
        if (folder / "cgroup.procs").read_text():
            return
        if error.errno != errno.EBUSY:
            raise
        folder.rmdir()  # the last one has gone since


def _own_groups() -> dict[str, str]:
    """Path of this process in each hierarchy, keyed by controllers ("" for v2)."""
    groups: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _v1_folders() -> list[Path]:
    groups = _own_groups()
    found = [_MOUNT / name / groups[name].lstrip("/") for name in ("memory", "pids") if name in groups]
    return found if len(found) == 2 and all(folder.is_dir() for folder in found) else []


def _v2_folders() -> list[Path]:
    own = _own_groups().get("")
    if own is None or not (_MOUNT / "cgroup.controllers").exists():
        return []
    folder = _MOUNT / own.lstrip("/")
    if not os.access(folder / "cgroup.subtree_control", os.W_OK):
        return []
    return [folder] if _delegated(folder) else []


def _delegated(folder: Path) -> bool:
    """Whether groups below `folder` may bound memory and tasks.

    In v2 only a group without processes of its own may hand out controllers, so this process first moves
    into a group below (systemd: a service with `Delegate=yes`).
    """
    needed = {"memory", "pids"}
    if needed <= set((folder / "cgroup.subtree_control").read_text().split()):
        return True
    if not needed <= set((folder / "cgroup.controllers").read_text().split()):
        return False
    leaf = folder / f"{_PREFIX}-daemon-{os.getpid()}"
    try:
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        (folder / "cgroup.subtree_control").write_text("+memory +pids")
    except OSError:
        return False
    return True


def _writable(folder: Path, tag: str) -> bool:
    probe = folder / f"{_PREFIX}-{tag}-probe"
    try:
        probe.mkdir(exist_ok=True)
        bounded = any((probe / name).exists() for name in ("memory.max", "memory.limit_in_bytes", "pids.max"))
        probe.rmdir()
    except OSError:
        return False
    return bounded
