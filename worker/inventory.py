"""The devices of this host: NVIDIA cards by NVML, else one CPU device, plainly called so."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import pynvml  # pyright: ignore[reportMissingTypeStubs]

from protocol.keccak import keccak256

T = TypeVar("T")

CPU_CLASS: Final = "CPU"
_MACHINE_ID_FILES: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_NVML: Final[Any] = pynvml


class InventoryError(Exception):
    """The devices cannot be told; the message says which one, and what its driver said."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """`gpu_id` is keccak-256 of the UUID, `minor` the number of the device node."""

    gpu_id: bytes
    uuid: str
    name: str
    vram_mib: int
    minor: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """`lost`: cards that the driver lists and that do not answer, in words."""

    device: Literal["cuda", "cpu"]
    gpus: tuple[Gpu, ...]
    cpu_count: int
    driver: str
    lost: tuple[str, ...] = ()


class GpuInventory(Protocol):
    def read(self) -> Inventory:
        """What is there now. InventoryError where that cannot be told."""
        ...

    def energy_joules(self) -> int:
        """Energy of all devices since some fixed instant; 0 where nothing measures it."""
        ...

    def close(self) -> None: ...


class NvmlInventory:
    """The cards of the host, asked anew at each call: a card can fall off the bus at any time."""

    def __init__(self) -> None:
        try:
            _NVML.nvmlInit()
        except _NVML.NVMLError as error:
            raise InventoryError(f"NVML: {error}") from error

    def read(self) -> Inventory:
        gpus: list[Gpu] = []
        lost: list[str] = []
        for index in range(_ask("device count", _NVML.nvmlDeviceGetCount)):
            try:
                gpus.append(_read_gpu(index))
            except InventoryError as error:
                lost.append(str(error))
        gpus.sort(key=lambda gpu: gpu.gpu_id)
        driver = _text(_ask("driver version", _NVML.nvmlSystemGetDriverVersion))
        return Inventory("cuda", tuple(gpus), _cpu_count(), driver, tuple(lost))

    def energy_joules(self) -> int:
        """Cards that cannot measure it count as nothing."""
        total_millijoules = 0
        for index in range(_ask("device count", _NVML.nvmlDeviceGetCount)):
            try:
                handle = _NVML.nvmlDeviceGetHandleByIndex(index)
                total_millijoules += int(_NVML.nvmlDeviceGetTotalEnergyConsumption(handle))
            except _NVML.NVMLError:
                continue
        return total_millijoules // 1000

    def close(self) -> None:
        _NVML.nvmlShutdown()


class CpuInventory:
    """The host's processors as one device. `name` tells several workers of one host apart."""

    def __init__(self, name: str, machine_id: str | None = None) -> None:
        identity = f"cpu:{machine_id if machine_id is not None else read_machine_id()}:{name}"
        memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        self._gpu = Gpu(keccak256(identity.encode()), identity, CPU_CLASS, memory_mib, -1)

    def read(self) -> Inventory:
        return Inventory("cpu", (self._gpu,), _cpu_count(), "")

    def energy_joules(self) -> int:
        return 0

    def close(self) -> None:
        return None


def open_inventory(device: Literal["auto", "cpu", "cuda"], cpu_device: str) -> GpuInventory:
    """`auto`: the cards where NVML finds any, else the CPU. InventoryError where `cuda` is wanted and there
    is none.
    """
    if device == "cpu":
        return CpuInventory(cpu_device)
    try:
        inventory = NvmlInventory()
    except InventoryError:
        if device == "cuda":
            raise
        return CpuInventory(cpu_device)
    if device == "auto" and not _ask("device count", _NVML.nvmlDeviceGetCount):
        inventory.close()
        return CpuInventory(cpu_device)
    return inventory


def read_machine_id(files: Sequence[Path] = _MACHINE_ID_FILES) -> str:
    """The host's own name for itself. InventoryError where it has none: an id must not change at a
    restart.
    """
    for path in files:
        if path.is_file() and (text := path.read_text().strip()):
            return text
    raise InventoryError(
        f"this host has no machine id: expected one in {files[0]} (`systemd-machine-id-setup`)"
    )


def _read_gpu(index: int) -> Gpu:
    name = f"card {index}"
    handle = _ask(name, lambda: _NVML.nvmlDeviceGetHandleByIndex(index))
    uuid = _text(_ask(name, lambda: _NVML.nvmlDeviceGetUUID(handle)))
    return Gpu(
        gpu_id=keccak256(uuid.encode()),
        uuid=uuid,
        name=_text(_ask(name, lambda: _NVML.nvmlDeviceGetName(handle))),
        vram_mib=int(_ask(name, lambda: _NVML.nvmlDeviceGetMemoryInfo(handle)).total) >> 20,
        minor=int(_ask(name, lambda: _NVML.nvmlDeviceGetMinorNumber(handle))),
    )


def _ask(subject: str, question: Callable[[], T]) -> T:
    try:
        return question()
    except _NVML.NVMLError as error:
        raise InventoryError(f"{subject}: {error}") from error


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cpu_count() -> int:
    return len(os.sched_getaffinity(0))
