"""task.yaml, the renter's file: strict parsing, and the job specs and limits that it stands for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from protocol.errors import BadInput
from protocol.structs import JobClass, JobLimits, JobSpec
from protocol.units import Digest

ZERO_DIGEST = Digest(bytes(32))
TRACED_RUNNER = ("-m", "worker.sdk")
ACCELERATOR = re.compile(r"(?P<gpu_class>[^:]{1,32}):(?P<count>[1-9]\d?)", re.ASCII)
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Count = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Seconds = Annotated[int, Field(ge=1, le=366 * 24 * 3600, strict=True)]


class Strict(BaseModel):
    """Unknown keys are errors, numbers are not read out of strings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(Strict):
    accelerators: str = "CPU:1"
    # Of the unit, as registered; and what the quorum measured of it.
    vram_gib: Annotated[int, Field(ge=1, le=1 << 20, strict=True)] | None = None
    tflops: Annotated[float, Field(gt=0, le=1e9)] | None = None
    measured_within_hours: Annotated[int, Field(ge=1, le=1 << 20, strict=True)] | None = None

    @field_validator("accelerators")
    @classmethod
    def _is_class_and_count(cls, value: str) -> str:
        if not ACCELERATOR.fullmatch(value):
            raise ValueError(f'expected "CLASS:COUNT" such as "RTX 4090:1" or "CPU:1", got {value!r}')
        return value

    @property
    def gpu_class(self) -> str:
        return self.accelerators.rpartition(":")[0]

    @property
    def gpu_count(self) -> int:
        return int(self.accelerators.rpartition(":")[2])


class Limits(Strict):
    wall_seconds: Seconds = 3600
    memory_gib: Annotated[float, Field(gt=0, le=4096)] = 4
    processes: Annotated[int, Field(ge=1, le=65536, strict=True)] = 64
    output_mib: Annotated[int, Field(ge=1, le=1024 * 1024, strict=True)] = 256
    log_mib: Annotated[int, Field(ge=1, le=1024, strict=True)] = 8


class GpgpuSection(Strict):
    job_class: Literal["traced", "exact", "opaque"] = Field(default="opaque", alias="class")
    seed: Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)] = 0
    steps: Count | None = None
    checkpoint_every: Count | None = None
    precision: Literal["fp32", "fp16", "bf16", "fp64"] = "fp32"
    max_price_per_hour: str | None = None
    token: str | None = None
    kind: Literal["reserved", "idle"] | None = None
    # A score in the token: see `protocol.reputation`.
    min_reputation: str | None = None
    lease_seconds: Seconds = 3600
    # Up to which the lease may be topped up later.
    max_lease_seconds: Seconds | None = None
    # Of a calendar lease, such as "mon-fri 18-24" (UTC).
    hours: list[str] = []
    limits: Limits = Limits()
    # Unset: code and results are sealed to the unit's key where it has one.
    encrypt: bool | None = None
    # Whether verifiers and arbiters may read a sealed job; who cannot read it cannot check it.
    verifiers: bool = True
    sweep: list[list[str]] | None = Field(default=None, min_length=1, max_length=10_000)

    @field_validator("max_price_per_hour", "min_reputation", mode="before")
    @classmethod
    def _is_decimal(cls, value: Any) -> str | None:
        # YAML reads 0.25 as a float, whose shortest text is what was written.
        if value is None:
            return None
        text = repr(value) if isinstance(value, float) else str(value)
        if isinstance(value, bool) or not re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
            raise ValueError(f"expected a decimal amount such as 0.25, got {value!r}")
        return text

    @field_validator("sweep", mode="before")
    @classmethod
    def _arguments_as_text(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [[argument_text(item) for item in row] if isinstance(row, list) else row for row in value]

    @model_validator(mode="after")
    def _traced_has_steps(self) -> Self:
        if self.job_class == "traced" and (self.steps is None or self.checkpoint_every is None):
            raise ValueError("a traced task needs `steps` and `checkpoint_every`")
        if self.job_class != "traced" and (self.steps is not None or self.checkpoint_every is not None):
            raise ValueError("`steps` and `checkpoint_every` are for traced tasks alone")
        return self


class Config(Strict):
    gpgpu: GpgpuSection = GpgpuSection()


class TaskFile(Strict):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    workdir: str = "."
    resources: Resources = Resources()
    envs: dict[str, str] = {}
    run: str
    config: Config = Config()

    @field_validator("envs", mode="before")
    @classmethod
    def _values_as_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for name in value:
            if not isinstance(name, str) or not ENV_NAME.fullmatch(name):
                raise ValueError(f"expected names of environment variables, got {name!r}")
        return {name: argument_text(item) for name, item in value.items()}

    @model_validator(mode="after")
    def _run_fits_class(self) -> Self:
        entrypoint_and_arguments(self.run, self.config.gpgpu.job_class)
        return self


def argument_text(value: Any) -> str:
    """A YAML scalar as the command line argument that a person means by it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return repr(value) if isinstance(value, float) else str(value)
    raise ValueError(f"expected a scalar, got {value!r}")


def entrypoint_and_arguments(run: str, job_class: str) -> tuple[str, tuple[str, ...]]:
    """The bundle's entrypoint and its arguments. No shell runs on the worker: `run` is one python command."""
    try:
        words = shlex.split(run)
    except ValueError as error:
        raise ValueError(f"`run` is not a command line: {error}") from error
    if len(words) < 2 or words[0] not in ("python", "python3"):
        raise ValueError(f"`run` must start with `python`, got {run!r}")
    if job_class != "traced":
        return _script(words[1], run), tuple(words[2:])
    if tuple(words[1:3]) != TRACED_RUNNER or len(words) < 4:
        raise ValueError(f"a traced task runs `python -m worker.sdk MODULE:ATTRIBUTE ...`, got {run!r}")
    module, colon, attribute = words[3].partition(":")
    names = [*module.split("."), attribute]
    if not colon or not all(name.isidentifier() for name in names):
        raise ValueError(f"expected MODULE:ATTRIBUTE, got {words[3]!r}")
    return words[3], tuple(words[4:])


def _script(path: str, run: str) -> str:
    if not path.endswith(".py") or path.startswith(("/", "-")) or ".." in Path(path).parts:
        raise ValueError(f"`run` must name a script of the workdir, as in `python train.py`, got {run!r}")
    return path


@dataclass(frozen=True, slots=True)
class Task:
    """A parsed task.yaml and the absolute folder of its code."""

    file: TaskFile
    workdir: Path

    @property
    def section(self) -> GpgpuSection:
        return self.file.config.gpgpu

    def entrypoint(self) -> str:
        return entrypoint_and_arguments(self.file.run, self.section.job_class)[0]

    def argument_rows(self) -> tuple[tuple[str, ...], ...]:
        """The arguments of each job: one row without a sweep, else one for each of its rows."""
        common = entrypoint_and_arguments(self.file.run, self.section.job_class)[1]
        if self.section.sweep is None:
            return (common,)
        return tuple((*common, *row) for row in self.section.sweep)

    def job_specs(self, bundle_digest: Digest, entrypoint: str) -> tuple[JobSpec, ...]:
        """The spec of each job, over a bundle whose digest is known by now."""
        return tuple(self._spec(bundle_digest, entrypoint, row) for row in self.argument_rows())

    def _spec(self, bundle_digest: Digest, entrypoint: str, arguments: tuple[str, ...]) -> JobSpec:
        return JobSpec(
            bundle_digest=bundle_digest,
            entrypoint=entrypoint,
            arguments=arguments,
            data_root=ZERO_DIGEST,
            initial_state_root=ZERO_DIGEST,
            seed=self.section.seed,
            steps=self.section.steps or 0,
            checkpoint_every=self.section.checkpoint_every or 0,
            precision=self.section.precision,
            job_class=JobClass[self.section.job_class.upper()],
            tolerance_profile=ZERO_DIGEST,
            environment_digest=ZERO_DIGEST,
        )

    def limits(self) -> JobLimits:
        limits = self.section.limits
        return JobLimits(
            wall_seconds=limits.wall_seconds,
            memory_bytes=int(limits.memory_gib * 1024**3),
            processes=limits.processes,
            output_bytes=limits.output_mib * 1024**2,
            log_bytes=limits.log_mib * 1024**2,
        )


def load_task(path: Path) -> Task:
    """Read a task.yaml; BadInput names the file, the key and what was expected there."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path}: expected a mapping of keys, got {type(document).__name__}")
    try:
        file = TaskFile.model_validate(document)
    except ValidationError as error:
        raise BadInput(f"{path}: " + "; ".join(_complaints(error))) from error
    workdir = (path.parent / file.workdir).resolve()
    if not workdir.is_dir():
        raise BadInput(f"{path}: workdir: expected a folder, nothing such at {workdir}")
    return Task(file=file, workdir=workdir)


def _complaints(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "task"
        what = (
            "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        )
        lines.append(f"{where}: {what}")
    return lines
