"""How a figure is stated: what counts as met, and what a peer that did not run does to it."""

import importlib
import pkgutil

import pytest

from tests import benchmarks
from tests.benchmarks.harness import Goal, figure, median_seconds

TWICE = Goal(">= 2x one", times={"one": 2})


@pytest.mark.parametrize(
    ("values", "less_is_better", "ratio", "met"),
    [
        ({"ours": 200.0, "one": 100.0}, False, 2.0, True),
        ({"ours": 199.0, "one": 100.0}, False, 1.99, False),
        ({"ours": 100.0, "one": 200.0}, True, 2.0, True),
        ({"ours": 101.0, "one": 200.0}, True, 1.98, False),
        ({"ours": 200.0, "one": 100.0, "two": 400.0}, False, 0.5, True),
        ({"ours": 200.0, "one": None}, False, None, False),
        ({"ours": 200.0}, False, None, False),
    ],
)
def test_figure__against_peers(
    values: dict[str, float | None], less_is_better: bool, ratio: float | None, met: bool
) -> None:
    found = figure(values, "events/s", TWICE, less_is_better=less_is_better).to_json()
    assert list(found) == ["ours", "peers", "unit", "ratio", "goal", "met"]
    assert (found["ratio"], found["met"], found["goal"]) == (ratio, met, TWICE.text)
    assert "one" in found["peers"]


@pytest.mark.parametrize(("ours", "met"), [(29.0, True), (30.0, True), (31.0, False)])
def test_figure__limit__is_of_ours_alone(ours: float, met: bool) -> None:
    found = figure({"ours": ours, "peer": None}, "ms", Goal("<= 30 ms", at_most=30), less_is_better=True)
    assert (found.met, found.ratio, found.peers) == (met, None, {"peer": None})
    assert figure({"ours": ours}, "1/s", Goal(">= 31", at_least=31)).met is (ours >= 31)


def test_median_seconds__interleaved__first_round_uncounted_and_own_measure_preferred() -> None:
    order: list[str] = []

    def path(name: str, seconds: list[float]) -> float:
        order.append(name)
        return seconds.pop(0)

    one, two = [9.0, 1.0, 3.0, 2.0], [9.0, 4.0, 4.0, 5.0]
    found = median_seconds({"one": lambda: path("one", one), "two": lambda: path("two", two)}, 3)
    assert found == {"one": 2.0, "two": 4.0}
    assert order == ["one", "two"] * 4


@pytest.mark.parametrize("module", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_benchmark__of_the_code_as_it_is__can_be_loaded(module: str) -> None:
    """They run elsewhere, in processes of their own: here it is seen that nothing they take has moved."""
    if module != "__main__":
        importlib.import_module(f"{benchmarks.__name__}.{module}")
