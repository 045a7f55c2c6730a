"""One sandboxed run: start, watch every bound, stop, and say how it ended."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.structs import JobLimits, JobOutcome
from worker.sandbox.command import Bounds, joined, sandbox_command
from worker.sandbox.errors import SandboxError, SandboxUnavailable, explain
from worker.sandbox.layout import (
    DATA_TARGET,
    JOB_TARGET,
    OUT_TARGET,
    SPEC_TARGET,
    Mount,
    Runtime,
    check_sealed,
)
from worker.sandbox.limits import Limiter, LimiterFactory, LimitName, Tier
from worker.sandbox.output_size import measure
from worker.sandbox.process_tree import nameless_bytes

POLL_SECONDS: Final = 0.05
START_SECONDS: Final = 20.0
OPEN_FILES: Final = 4096
MAX_TMP_BYTES: Final = 1 << 30
# The processes of bwrap itself: one level for an ordinary user, two for root.
_OVERHEAD_TASKS: Final = 4
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class SandboxJob:
    """`name` is unique among the sandboxes that this worker runs at once."""

    name: str
    command: tuple[str, ...]
    bundle: Path
    out: Path
    limits: JobLimits
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    data: Path | None = None
    spec_file: Path | None = None
    devices: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """`limit` names the bound that stopped the run where outcome is LIMIT_EXCEEDED."""

    outcome: JobOutcome
    exit_code: int
    limit: LimitName | None
    started_at: int
    finished_at: int
    run_milliseconds: int
    log_bytes: int


class Sandbox:
    """Runs commands of renters. Thread-safe: each run keeps its own state.

    A run must stay in the thread that called it: the kernel kills the sandbox when that thread ends.
    """

    def __init__(
        self,
        runtime: Runtime,
        limiters: LimiterFactory,
        *,
        sealed: Sequence[Path],
        root_drops_to: int,
        min_free_disk_bytes: int,
    ) -> None:
        self._runtime = runtime
        self._limiters = limiters
        self._sealed = tuple(sealed)
        self._drop_to = root_drops_to if os.geteuid() == 0 else None
        self._min_free_disk_bytes = min_free_disk_bytes

    @property
    def tier(self) -> Tier:
        return self._limiters.tier

    @property
    def python(self) -> str:
        return self._runtime.python

    def run(
        self,
        job: SandboxJob,
        write_log: Callable[[bytes], object],
        cancelled: threading.Event,
        on_start: Callable[[int], object] = lambda _: None,
    ) -> Ending:
        """Blocks until every process of the job is gone. `on_start` gets the pid before the job's first
        instruction.
        """
        self._prepare(job)
        limiter = self._limiters.make(job.name, job.limits, _OVERHEAD_TASKS)
        try:
            with contextlib.ExitStack() as stack:
                process, init = self._start(job, limiter, stack)
                run = _Run(job, process, init, limiter, write_log, cancelled, self._min_free_disk_bytes)
                on_start(process.pid)
                return run.watch()
        finally:
            limiter.close()

    def _prepare(self, job: SandboxJob) -> None:
        # What we made for the job is the job's own: /out itself and the folders in it.
        for folder in (job.out, *(path for path in job.out.iterdir() if path.is_dir())):
            if self._drop_to is not None:
                os.chown(folder, self._drop_to, self._drop_to, follow_symlinks=False)
            os.chmod(folder, 0o700)
        mounts = _job_mounts(job)
        check_sealed(mounts, self._sealed)

    def _start(
        self, job: SandboxJob, limiter: Limiter, stack: contextlib.ExitStack
    ) -> tuple["subprocess.Popen[bytes]", int]:
        info_read, info_write = os.pipe()
        stack.callback(os.close, info_read)
        command = sandbox_command(
            self._runtime,
            _job_mounts(job),
            job.command,
            {**self._environment(job), **job.environment},
            _bounds(job.limits),
            directory=JOB_TARGET,
            drop_to=self._drop_to,
            info_fd=info_write,
        )
        try:
            process = subprocess.Popen(  # noqa: S603  the command is ours; the job's part runs inside
                joined(command, limiter.join_files),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": "/usr/bin:/bin"},
                pass_fds=(info_write,),
                start_new_session=True,
            )
        finally:
            os.close(info_write)
        stack.callback(_reap, process)
        init = os.pidfd_open(_read_child_pid(info_read, process))
        stack.callback(os.close, init)
        return process, init

    def _environment(self, job: SandboxJob) -> dict[str, str]:
        python_folder = str(Path(self._runtime.python).parent)
        environment = {
            "PATH": f"{python_folder}:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",  # noqa: S108  the sandbox's own
            "USER": "job",
            "LOGNAME": "job",
            "LANG": "C.UTF-8",
            "PYTHONPATH": ":".join(self._runtime.python_path),
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "GPGPU_JOB_DIR": JOB_TARGET,
            "GPGPU_OUTPUT": f"{OUT_TARGET}/output",
        }
        if job.data is not None:
            environment["GPGPU_DATA"] = DATA_TARGET
        if job.spec_file is not None:
            environment["GPGPU_SPEC"] = SPEC_TARGET
        return environment


class _Run:
    """The loop around one started sandbox."""

    def __init__(
        self,
        job: SandboxJob,
        process: "subprocess.Popen[bytes]",
        init: int,
        limiter: Limiter,
        write_log: Callable[[bytes], object],
        cancelled: threading.Event,
        min_free_disk_bytes: int,
    ) -> None:
        self._job = job
        self._process = process
        self._init = init
        self._limiter = limiter
        self._write_log = write_log
        self._cancelled = cancelled
        self._min_free_disk_bytes = min_free_disk_bytes
        self._device = os.stat(job.out).st_dev
        self._log_bytes = 0
        self._limit: LimitName | None = None
        self._was_cancelled = False
        self._next_measure = 0.0

    def watch(self) -> Ending:
        started_at, began = int(time.time()), time.monotonic()
        self._open_gate()
        deadline = began + self._job.limits.wall_seconds
        while not self._ended():
            if self._limit is None and not self._was_cancelled:
                self._judge(deadline)
        milliseconds = round((time.monotonic() - began) * 1000)
        code = _exit_code(self._process.wait())
        if self._limit is None:
            self._limit = self._final_limit()
        return Ending(
            outcome=self._outcome(code),
            exit_code=code,
            limit=self._limit,
            started_at=started_at,
            finished_at=max(started_at, int(time.time())),
            run_milliseconds=milliseconds,
            log_bytes=self._log_bytes,
        )

    def _open_gate(self) -> None:
        gate = self._process.stdin
        if gate is None:
            raise SandboxError("the sandbox was started without its gate")
        # It may have died already: then its output says why.
        with contextlib.suppress(BrokenPipeError):
            gate.write(b"go\n")
            gate.close()

    def _ended(self) -> bool:
        """Waits for output or for the next look; True once init, and so every process of the job, is gone."""
        output = self._process.stdout
        if output is None:
            raise SandboxError("the sandbox was started without its log")
        poll = select.poll()
        poll.register(self._init, select.POLLIN)
        poll.register(output, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(POLL_SECONDS * 1000)}
        if output.fileno() in ready:
            chunk = os.read(output.fileno(), _CHUNK_BYTES)
            if chunk:
                self._keep(chunk)
                return False
            # Closed by the job or by its end: from now on only init counts.
            poll.unregister(output)
            ready = {fd for fd, _ in poll.poll(POLL_SECONDS * 1000)}
        return self._init in ready

    def _keep(self, chunk: bytes) -> None:
        room = self._job.limits.log_bytes - self._log_bytes
        if room > 0:
            self._write_log(chunk[:room])
            self._log_bytes += len(chunk[:room])
        if len(chunk) > room:
            self._stop(LimitName.LOG)

    def _judge(self, deadline: float) -> None:
        now = time.monotonic()
        if self._cancelled.is_set():
            self._was_cancelled = True
            self._kill()
        elif now > deadline:
            self._stop(LimitName.WALL)
        elif now >= self._next_measure:
            self._measure(now)

    def _measure(self, now: float) -> None:
        processes = self._limiter.process_ids(self._process.pid)
        exceeded = self._limiter.exceeded()
        if exceeded is None and self._output_exceeded(processes):
            exceeded = LimitName.OUTPUT
        if exceeded is not None:
            self._stop(exceeded)
        # A look never takes more than a tenth of the time, whatever the job has put there.
        self._next_measure = time.monotonic() + max(POLL_SECONDS, 9 * (time.monotonic() - now))

    def _output_exceeded(self, processes: Sequence[int]) -> bool:
        limit_bytes = self._job.limits.output_bytes
        if shutil.disk_usage(self._job.out).free < self._min_free_disk_bytes:
            return True
        size = measure(self._job.out)
        return size.exceeds(limit_bytes) or size.bytes + nameless_bytes(processes, self._device) > limit_bytes

    def _final_limit(self) -> LimitName | None:
        """A bound hit between the last look and the end."""
        if self._was_cancelled:
            return None
        if measure(self._job.out).exceeds(self._job.limits.output_bytes):
            return LimitName.OUTPUT
        return self._limiter.exceeded()

    def _outcome(self, code: int) -> JobOutcome:
        if self._was_cancelled:
            return JobOutcome.CANCELLED
        if self._limit is not None:
            return JobOutcome.LIMIT_EXCEEDED
        return JobOutcome.COMPLETED if code == 0 else JobOutcome.FAILED

    def _stop(self, limit: LimitName) -> None:
        if self._limit is None:
            self._limit = limit
        self._kill()

    def _kill(self) -> None:
        """The end of init is the end of its namespace: the kernel leaves no process of the job behind."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._init, signal.SIGKILL)


def _job_mounts(job: SandboxJob) -> list[Mount]:
    mounts = [Mount(job.bundle, JOB_TARGET), Mount(job.out, OUT_TARGET, writable=True)]
    if job.data is not None:
        mounts.append(Mount(job.data, DATA_TARGET))
    if job.spec_file is not None:
        mounts.append(Mount(job.spec_file, SPEC_TARGET))
    return [*mounts, *job.devices]


def _bounds(limits: JobLimits) -> Bounds:
    tmp_bytes = max(1 << 20, min(limits.memory_bytes, MAX_TMP_BYTES))
    return Bounds(
        open_files=OPEN_FILES,
        # One more than allowed, so that a file that was cut short shows that it would have been too long.
        file_bytes=max(limits.output_bytes + 1, tmp_bytes),
        # The limiter names the bound; this one only stops a fork bomb between two of its looks.
        tasks=2 * limits.processes + 16,
        tmp_bytes=tmp_bytes,
    )


def _read_child_pid(info_read: int, process: "subprocess.Popen[bytes]") -> int:
    """Pid of the sandbox's init, from bwrap's --info-fd. SandboxUnavailable with bwrap's own words
    otherwise.
    """
    text = b""
    deadline = time.monotonic() + START_SECONDS
    while not text.rstrip().endswith(b"}"):
        ready, _, _ = select.select([info_read], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(info_read, 4096) if ready else b""
        if not part:
            raise SandboxUnavailable(f"the sandbox did not start: {explain(_last_words(process))}")
        text += part
    return int(json.loads(text)["child-pid"])


def _last_words(process: "subprocess.Popen[bytes]") -> str:
    process.kill()
    output, _ = process.communicate()
    return output.decode(errors="replace")


def _reap(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()


def _exit_code(code: int) -> int:
    """Shell's way for both bwrap's own death and the job's: 128 + signal."""
    return 128 - code if code < 0 else code
