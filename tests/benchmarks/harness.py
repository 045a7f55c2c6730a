"""Times callables side by side, interleaved, and states how ours stands to its peers and to the goal."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Path = Callable[[], object]
"""Runs a path once. A float that it returns is its seconds, where the whole call is not what is measured."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`text` is the goal as the project set it, word for word; the others are what it comes to."""

    text: str
    times: Mapping[str, float] = field(default_factory=dict)
    """By peer: at least so many times as good."""
    at_most: float | None = None
    at_least: float | None = None
    """Ours, in the figure's unit."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One path, in the final shape. A peer's figure is None where it could not be run here.

    `ratio`: ours against the best of the peers that ran, above 1 where ours is better; None without any.
    """

    ours: float
    peers: Mapping[str, float | None]
    unit: str
    ratio: float | None
    goal: str
    met: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def median_seconds(paths: Mapping[str, Path], rounds: int) -> dict[str, float]:
    """Median of each path's seconds; one uncounted round first, then all paths in turn, `rounds` times."""
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(rounds + 1):
        for name, path in paths.items():
            began = time.perf_counter()
            measured = path()
            elapsed = time.perf_counter() - began
            if turn:
                seconds[name].append(measured if isinstance(measured, float) else elapsed)
    return {name: statistics.median(values) for name, values in seconds.items()}


def figure(
    values: Mapping[str, float | None], unit: str, goal: Goal, *, less_is_better: bool = False
) -> Figure:
    """Of "ours" and the peers by name, in the unit. A peer of the goal that did not run means: not met."""
    ours = values["ours"]
    if ours is None:
        raise ValueError("ours: expected a figure, got None")
    peers = {name: value for name, value in values.items() if name != "ours"}
    peers |= {name: None for name in goal.times if name not in peers}

    def ratio_to(peer: float) -> float:
        return peer / ours if less_is_better else ours / peer

    ran = [ratio_to(value) for value in peers.values() if value is not None]
    met = all(
        (value := peers[name]) is not None and ratio_to(value) >= times for name, times in goal.times.items()
    )
    met = met and (goal.at_most is None or ours <= goal.at_most)
    met = met and (goal.at_least is None or ours >= goal.at_least)
    return Figure(
        ours=_shown(ours),
        peers={name: None if value is None else _shown(value) for name, value in peers.items()},
        unit=unit,
        ratio=_shown(min(ran)) if ran else None,
        goal=goal.text,
        met=met,
    )


def _shown(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 1000 else float(round(value))
