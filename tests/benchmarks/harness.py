"""Times callables side by side, interleaved, and states how ours stands to its peers and to the goal."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One path. `ratio`: the fastest peer's time over ours, or None where the goal is absolute."""

    ours: float
    peers: Mapping[str, float]
    unit: str
    ratio: float | None
    goal: str
    met: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def median_seconds(paths: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median of each path's seconds; one uncounted round first, then all paths in turn, `rounds` times."""
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(rounds + 1):
        for name, path in paths.items():
            began = time.perf_counter()
            path()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def against_peers(
    seconds: Mapping[str, float], unit: str, per: Callable[[float], float], times: float
) -> Figure:
    """Goal: at least `times` as fast as the fastest peer. `per` turns seconds into the figure's unit."""
    peers = {name: value for name, value in seconds.items() if name != "ours"}
    ratio = min(peers.values()) / seconds["ours"]
    shown = {name: round(per(value), 3) for name, value in peers.items()}
    ours = round(per(seconds["ours"]), 3)
    return Figure(ours, shown, unit, round(ratio, 2), f">= {times:g}x the fastest peer", ratio >= times)


def against_limit(seconds: float, limit_seconds: float) -> Figure:
    """Goal: at most `limit_seconds`."""
    return Figure(round(seconds, 3), {}, "s", None, f"<= {limit_seconds:g} s", seconds <= limit_seconds)
