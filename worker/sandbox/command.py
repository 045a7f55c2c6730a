"""The command line of a sandbox: bwrap's arguments, for an ordinary user and for root."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from worker.sandbox.layout import Mount, Runtime

INSIDE_ID: Final = 65534
# Reads one line before the job may start: a worker that dies before it wrote that line leaves no job behind.
_GATE: Final = (
    'read -r go || exit 125; ulimit -c 0; ulimit -n "$1"; ulimit -f "$2"; '
    'ulimit -u "$3" 2>/dev/null || ulimit -p "$3"; shift 3; exec "$@" </dev/null'
)
# Enters the cgroups, so that all descendants are bounded from their first instruction.
_JOIN: Final = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1" || exit 124; shift; n=$((n-1)); done; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds that the kernel keeps for each process of the sandbox, and the sizes of its memory file
    systems.
    """

    open_files: int
    file_bytes: int
    tasks: int
    tmp_bytes: int


def sandbox_command(
    runtime: Runtime,
    mounts: Sequence[Mount],
    command: Sequence[str],
    environment: Mapping[str, str],
    bounds: Bounds,
    *,
    directory: str,
    drop_to: int | None,
    info_fd: int,
) -> list[str]:
    """`drop_to`: the host's uid that root becomes first.

    A user namespace alone does not take root's power away: outside it stays uid 0, which owns the files
    under /proc/sys. So root opens a first bwrap that only shows the mounts, becomes an ordinary user there,
    and that user opens the sandbox proper.
    """
    all_mounts = (*runtime.mounts, *mounts)
    gate = [
        "/bin/sh",
        "-c",
        _GATE,
        "gate",
        str(bounds.open_files),
        str(-(-bounds.file_bytes // 512)),
        str(bounds.tasks),
    ]
    tail = ["--", *gate, *command]
    if drop_to is None:
        inner = _inner(runtime, all_mounts, environment, bounds, directory)
        return [str(runtime.bwrap), "--info-fd", str(info_fd), *inner, *tail]
    shown = [Mount(Path(mount.target), mount.target, mount.writable, mount.device) for mount in all_mounts]
    inner = _inner(runtime, shown, environment, bounds, directory)
    return [
        str(runtime.bwrap),
        "--info-fd",
        str(info_fd),
        *_outer(runtime, all_mounts),
        "--",
        *_drop(drop_to),
        runtime.bwrap_inside,
        *inner,
        *tail,
    ]


def joined(command: Sequence[str], cgroup_files: Sequence[str]) -> list[str]:
    """`command` started as a member of the cgroups that these `cgroup.procs` files stand for."""
    if not cgroup_files:
        return list(command)
    return ["/bin/sh", "-c", _JOIN, "join", str(len(cgroup_files)), *cgroup_files, *command]


def _inner(
    runtime: Runtime,
    mounts: Sequence[Mount],
    environment: Mapping[str, str],
    bounds: Bounds,
    directory: str,
) -> list[str]:
    arguments = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    arguments += ["--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID), "--cap-drop", "ALL", "--hostname", "job"]
    arguments += _folder_arguments(mounts)
    arguments += [part for mount in mounts if not mount.device for part in _mount_arguments(mount)]
    arguments += _link_arguments(runtime)
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += [part for mount in mounts if mount.device for part in _mount_arguments(mount)]
    for target in ("/dev/shm", "/tmp"):  # noqa: S108  the sandbox's own, not the host's
        arguments += ["--perms", "1777", "--size", str(bounds.tmp_bytes), "--tmpfs", target]
    # Both are memory file systems of bwrap without a bound.
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", directory, "--clearenv"]
    for name, value in sorted(environment.items()):
        arguments += ["--setenv", name, value]
    return arguments


def _outer(runtime: Runtime, mounts: Sequence[Mount]) -> list[str]:
    arguments = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
        arguments += ["--cap-add", capability]
    arguments += _folder_arguments(mounts)
    arguments += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108  the sandbox's own
    arguments += [part for mount in mounts if not mount.device for part in _mount_arguments(mount)]
    # The kernel lets the inner user mount a fresh /proc only where this one is wholly visible.
    return [*arguments, *_link_arguments(runtime), "--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"]


def _drop(uid: int) -> list[str]:
    return [
        "/usr/bin/setpriv",
        f"--reuid={uid}",
        f"--regid={uid}",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
    ]


def _folder_arguments(mounts: Sequence[Mount]) -> list[str]:
    """Folders above the mounts, open to all: bwrap would make them for its own user only."""
    targets = [PurePosixPath(mount.target) for mount in mounts if not mount.device]
    above = {folder for target in targets for folder in target.parents} - {PurePosixPath("/")}
    return [part for folder in sorted(above) for part in ("--perms", "0755", "--dir", str(folder))]


def _mount_arguments(mount: Mount) -> list[str]:
    option = "--dev-bind" if mount.device else "--bind" if mount.writable else "--ro-bind"
    return [option, str(mount.source), mount.target]


def _link_arguments(runtime: Runtime) -> list[str]:
    return [part for source, target in runtime.links for part in ("--symlink", source, target)]
