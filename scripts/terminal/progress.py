"""Steps with their states while they run: bars at a terminal, one plain line for each change elsewhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

WAITING, RUNNING, DONE, FAILED = "[dim]·[/]", "[cyan]>[/]", "[green]✓[/]", "[red]✗[/]"
DETAIL_WIDTH = 44


@dataclass(slots=True)
class Step:
    """One step. `total` stays None where nobody knows how far it is."""

    title: str
    steps: "Steps"
    task: TaskID | None = None
    detail_text: str = ""
    started_at: float = field(default_factory=time.monotonic)

    def detail(self, text: str) -> None:
        """What the step does now."""
        if text != self.detail_text:
            self.passing(text)
            self.steps.line(self, text)

    def passing(self, text: str) -> None:
        """As `detail`, for what changes too often to be worth a line of its own."""
        self.detail_text = text
        if self.task is not None:
            self.steps.progress.update(self.task, detail=_cut(text))

    def advance_to(self, done: int, total: int, text: str = "") -> None:
        """How far it is, of how much."""
        if self.task is not None:
            self.steps.progress.update(self.task, completed=done, total=total)
        self.detail(text or f"{done} of {total}")


class Steps:
    """All steps, listed from the start."""

    def __init__(self, titles: Mapping[str, str], console: Console) -> None:
        self.console = console
        self.is_live = console.is_terminal
        self.began_at = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.fields[mark]}"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[detail]}[/]"),
            TimeElapsedColumn(),
            console=console,
            disable=not self.is_live,
        )
        self._steps = {
            name: Step(
                title, self, self.progress.add_task(title, start=False, total=1, mark=WAITING, detail="")
            )
            for name, title in titles.items()
        }

    @contextmanager
    def shown(self) -> Iterator["Steps"]:
        """While the block runs, the steps are on the screen."""
        with self.progress:
            yield self

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run a step; it is marked as failed where the block raises."""
        step = self._steps[name]
        step.started_at = time.monotonic()
        assert step.task is not None  # noqa: S101 - every step is made with its task
        self.progress.start_task(step.task)
        self.progress.update(step.task, mark=RUNNING, total=None)
        self.line(step, "started")
        try:
            yield step
        except BaseException:
            self.progress.update(step.task, mark=FAILED, total=1, completed=0)
            self.progress.stop_task(step.task)
            self.line(step, "failed")
            raise
        self.progress.update(step.task, mark=DONE, total=1, completed=1)
        self.progress.stop_task(step.task)
        self.line(step, f"done in {time.monotonic() - step.started_at:.1f} s")

    def line(self, step: Step, text: str) -> None:
        """A line of its own where there is no screen to keep up to date."""
        if not self.is_live:
            elapsed = time.monotonic() - self.began_at
            self.console.print(f"{elapsed:6.1f} s  {step.title}: {text}", markup=False, highlight=False)


def _cut(text: str) -> str:
    """One line, short enough for its column, its brackets taken literally."""
    line = text.splitlines()[0] if text else ""
    shown = line if len(line) <= DETAIL_WIDTH else line[: DETAIL_WIDTH - 1] + "…"
    return shown.replace("[", r"\[")
