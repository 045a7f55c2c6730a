"""The step interface of TRACED jobs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job may depend on. Everything in it is pinned by the job's specification, but for the
    folders.
    """

    arguments: tuple[str, ...]
    seed: int
    steps: int
    precision: str
    device: str
    """"cpu" or "cuda"."""
    job_dir: Path
    """The bundle, read-only."""
    data: Path | None
    """The data artifact, read-only, where the order names one."""
    output: Path
    """What `finish` writes here is uploaded."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step consumed and measured. The trace binds both."""

    batch: "Mapping[str, Tensor] | None" = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


class TracedJob(ABC):
    """A computation in steps.

    `step(i)` must depend on nothing but `state()`, the context, the bundle and the data: then any segment
    can be re-executed from its checkpoint. The states of the random generators of Python, NumPy and torch
    are kept by the runner, beside `state()`.
    """

    @abstractmethod
    def init(self, context: JobContext) -> None:
        """Makes the state before the first step, out of the seed. Also called before `load_state`."""

    @abstractmethod
    def step(self, index: int) -> StepResult:
        """Does step `index`, 0 to steps - 1."""

    @abstractmethod
    def state(self) -> "Mapping[str, Tensor]":
        """All that the next step depends on, by name. Tensors themselves, no copies: the runner copies none
        either.
        """

    @abstractmethod
    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        """Afterwards `state()` equals `state`, and the next steps go on from there."""

    def finish(self, context: JobContext) -> None:
        """Writes the results into `context.output`, after the last step."""
        del context
