"""Child processes that never outlive us; their logs are in files and explain their failures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.errors import ProtocolError

LEASH = Path(__file__).with_name("leash.py")
STOP_SECONDS = 5.0
LAST_LINES = 15


class ProcessFailed(ProtocolError):
    """A process that should live has ended, or one that should succeed has not."""

    def __init__(self, name: str, returncode: int, log_path: Path) -> None:
        tail = "\n".join(f"    {line}" for line in last_lines(log_path))
        super().__init__(
            "process_failed", f"{name} ended with {describe_exit(returncode)}; the end of {log_path}:\n{tail}"
        )
        self.name = name
        self.returncode = returncode


@dataclass(frozen=True, slots=True)
class Process:
    """One running child, in a process group of its own, its output appended to `log_path`."""

    name: str
    popen: subprocess.Popen[bytes]
    log_path: Path

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def require_running(self) -> None:
        """ProcessFailed, with the last lines of the log, where the process has ended."""
        returncode = self.popen.poll()
        if returncode is not None:
            raise ProcessFailed(self.name, returncode, self.log_path)

    def kill_group(self, sent: signal.Signals) -> None:
        try:
            os.killpg(self.popen.pid, sent)
        except ProcessLookupError:
            return


class Supervisor:
    """Starts processes, and ends all of them, last first, however its `with` block is left."""

    def __init__(self, log_folder: Path) -> None:
        self.log_folder = log_folder
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    @property
    def processes(self) -> tuple[Process, ...]:
        return tuple(self._processes)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        memory_bytes: int = 0,
    ) -> Process:
        """Start `command`, to die with us. `memory_bytes` caps its data segments, 0 for no cap.

        Call it in the main thread: the kernel ties the child to the thread that starts it.
        """
        self.log_folder.mkdir(parents=True, exist_ok=True)
        log_path = self.log_folder / f"{name}.log"
        leashed = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(memory_bytes), *command]
        with log_path.open("ab") as log:
            popen = subprocess.Popen(  # noqa: S603 - the caller's own command, no shell between
                leashed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )
        process = Process(name=name, popen=popen, log_path=log_path)
        self._processes.append(process)
        return process

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        timeout_seconds: float,
    ) -> None:
        """Run `command` to its end; ProcessFailed where that is not success in time."""
        process = self.start(name, command, environment=environment, folder=folder)
        try:
            returncode = process.popen.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self.stop(process)
            raise ProcessFailed(name, process.popen.returncode, process.log_path) from None
        self.stop(process)
        if returncode != 0:
            raise ProcessFailed(name, returncode, process.log_path)

    def require_running(self) -> None:
        """ProcessFailed for the first process that has ended on its own."""
        for process in self._processes:
            process.require_running()

    def stop(self, process: Process) -> None:
        """End one process and all of its group."""
        end_groups([process])
        if process in self._processes:
            self._processes.remove(process)

    def stop_all(self) -> None:
        """End every process: those started last first, so that nobody loses what it depends on."""
        while self._processes:
            self.stop(self._processes[-1])


def end_groups(processes: Sequence[Process]) -> None:
    """SIGTERM, then SIGKILL for what is left after STOP_SECONDS; the leaders are reaped."""
    for process in processes:
        process.kill_group(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.popen.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill_group(signal.SIGKILL)
            process.popen.wait()
        # The leader's children may outlive it in its group.
        process.kill_group(signal.SIGKILL)


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log, however large it is."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 64 * 1024))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ["(no output)"]
    return text.splitlines()[-count:] or ["(no output)"]


def describe_exit(returncode: int) -> str:
    if returncode < 0:
        return f"signal {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"
