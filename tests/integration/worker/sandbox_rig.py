"""Runs short Python programs in a real sandbox and says how they ended."""

import textwrap
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.structs import JobLimits
from worker.sandbox import Ending, Sandbox, SandboxJob, Tier
from worker.sandbox.layout import discover_runtime
from worker.sandbox.limits import LimiterFactory, choose_tier

LIMITS = JobLimits(
    wall_seconds=30, memory_bytes=512 << 20, processes=32, output_bytes=8 << 20, log_bytes=1 << 20
)
DROP_TO = 62_000


@dataclass(frozen=True, slots=True)
class Run:
    ending: Ending
    log: str
    out: Path


@dataclass(slots=True)
class Rig:
    sandbox: Sandbox
    folder: Path

    def run(
        self,
        program: str,
        *,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        cancelled: threading.Event | None = None,
        on_start: Callable[[int], object] = lambda _: None,
        **limits: int,
    ) -> Run:
        job = self.job(program, arguments=arguments, environment=environment, **limits)
        log = bytearray()
        ending = self.sandbox.run(job, log.extend, cancelled or threading.Event(), on_start)
        return Run(ending, log.decode(errors="replace"), job.out)

    def job(
        self,
        program: str,
        *,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        **limits: int,
    ) -> SandboxJob:
        name = uuid.uuid4().hex[:8]
        bundle, out = self.folder / name / "bundle", self.folder / name / "out"
        bundle.mkdir(parents=True)
        (out / "output").mkdir(parents=True)
        (bundle / "main.py").write_text(textwrap.dedent(program))
        return SandboxJob(
            name=name,
            command=(self.sandbox.python, "main.py", *arguments),
            bundle=bundle,
            out=out,
            limits=replace(LIMITS, **limits),
            environment=environment or {},
        )


def make_rig(
    folder: Path,
    tier: Tier | None = None,
    *,
    root_drops_to: int = DROP_TO,
    min_free_disk_bytes: int = 0,
    sealed: tuple[Path, ...] = (),
    tag: str | None = None,
) -> Rig:
    limiters: LimiterFactory = choose_tier(tag or f"test-{uuid.uuid4().hex[:8]}", tier)
    assert tier is None or limiters.tier is tier
    sandbox = Sandbox(
        discover_runtime(sealed),
        limiters,
        sealed=sealed,
        root_drops_to=root_drops_to,
        min_free_disk_bytes=min_free_disk_bytes,
    )
    return Rig(sandbox, folder)
