"""`python -m tests.mutation LeaseMarket`: changes a contract in small wrong ways and runs the tests.

A mutant is killed when a test fails, survives when all pass; one that does not compile does not count.
The last line of output is one JSON object.
"""

import concurrent.futures
import json
import os
import random
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import click

from tests.mutation.mutants import Mutant, mutants_of

ROOT: Final = Path(__file__).resolve().parents[2]
# Fewer random cases than `make test` has: what they cannot tell apart, a mutant may survive.
_QUICK: Final = {
    "FOUNDRY_FUZZ_RUNS": "48",
    "FOUNDRY_INVARIANT_RUNS": "3",
    "FOUNDRY_INVARIANT_DEPTH": "48",
    "FORGE_SNAPSHOT_CHECK": "false",
    "FOUNDRY_OPTIMIZER": "false",
}
# Only the mutant and what inherits it is compiled anew. Reverts of constructors are not seen then: who
# survives is tried once more without.
_LINKED_AT_RUN_TIME: Final = {"FOUNDRY_DYNAMIC_TEST_LINKING": "true"}
# Sizes differ without the optimizer; no mutant is told by its size.
_NOT_OF_CONDUCT: Final = ("--no-match-test", "WhenAllFits", "--no-match-path", "tests/contracts/*Gas.t.sol")
_COPIED: Final = ("contracts", "tests/contracts", "tests/vectors", "tests/benchmarks/gas", "foundry.toml")
_LINKED: Final = ("node_modules", "scripts")


class Fate(Enum):
    KILLED = "killed"
    SURVIVED = "survived"
    STILLBORN = "stillborn"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Trial:
    mutant: Mutant
    fate: Fate


class Workshop:
    """A copy of the contracts and their tests in which one mutant at a time is built and tested."""

    def __init__(self, folder: Path, timeout_seconds: float) -> None:
        self.folder = folder
        self.timeout_seconds = timeout_seconds
        for name in _COPIED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        for name in _LINKED:
            (folder / name).symlink_to(ROOT / name)

    def passes_unchanged(self) -> bool:
        return self._run_tests(_LINKED_AT_RUN_TIME) is Fate.SURVIVED

    def judge(self, mutant: Mutant) -> Trial:
        target = self.folder / mutant.path
        original = target.read_text()
        target.write_text(mutant.apply(original))
        try:
            fate = self._run_tests(_LINKED_AT_RUN_TIME)
            return Trial(mutant, self._run_tests({}) if fate is Fate.SURVIVED else fate)
        finally:
            target.write_text(original)

    def _run_tests(self, linking: dict[str, str]) -> Fate:
        try:
            done = subprocess.run(
                ["forge", "test", "--fail-fast", *_NOT_OF_CONDUCT],
                cwd=self.folder,
                env=os.environ | _QUICK | linking,
                capture_output=True,
                text=True,
                timeout=self.timeout_seconds,
            )
        except subprocess.TimeoutExpired:
            return Fate.TIMED_OUT
        output = done.stdout + done.stderr
        if done.returncode == 0:
            return Fate.SURVIVED
        if "Compiler run failed" in output or "Compiler error" in output:
            return Fate.STILLBORN
        if "[FAIL" in output:
            return Fate.KILLED
        raise click.ClickException(f"expected passed or failed tests, got:\n{output[-2000:]}")


def summary(trials: list[Trial]) -> dict[str, dict[str, float | int]]:
    """By contract: counts, and the share killed of those that compiled; who timed out was not killed."""
    by_contract: dict[str, dict[str, float | int]] = {}
    for name in sorted({Path(trial.mutant.path).stem for trial in trials}):
        fates = [trial.fate for trial in trials if Path(trial.mutant.path).stem == name]
        counts: dict[str, float | int] = {fate.value: fates.count(fate) for fate in Fate}
        alive = len(fates) - fates.count(Fate.STILLBORN)
        counts["killed_percent"] = round(100 * fates.count(Fate.KILLED) / alive, 1) if alive else 0.0
        by_contract[name] = counts
    return by_contract


@click.command()
@click.argument("contracts", nargs=-1, required=True)
@click.option("--count", type=click.IntRange(0), default=0, help="Mutants a contract, drawn by seed; 0: all.")
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--timeout-seconds", default=600.0, show_default=True)
def cli(contracts: tuple[str, ...], count: int, seed: int, jobs: int, timeout_seconds: float) -> None:
    """Mutate CONTRACTS (names of files in contracts/) and say which mutants the tests missed."""
    chosen: list[Mutant] = []
    for name in contracts:
        path = f"contracts/{name}.sol"
        if not (ROOT / path).is_file():
            raise click.BadParameter(f"expected a file {path}")
        found = list(mutants_of(path, (ROOT / path).read_text()))
        chosen += random.Random(seed).sample(found, min(count, len(found))) if count else found
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        workshops = [Workshop(Path(folder) / str(number), timeout_seconds) for number in range(jobs)]
        for workshop in workshops:
            # Builds everything once, too.
            if not workshop.passes_unchanged():
                raise click.ClickException("the tests fail without any mutant")
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            shares = [chosen[number::jobs] for number in range(jobs)]
            runs = [
                pool.submit(_judge_all, workshop, share, trials)
                for workshop, share in zip(workshops, shares, strict=True)
            ]
            for run in concurrent.futures.as_completed(runs):
                run.result()
    click.echo(json.dumps(summary(trials)))


def _judge_all(workshop: Workshop, mutants: list[Mutant], trials: list[Trial]) -> None:
    for mutant in mutants:
        trial = workshop.judge(mutant)
        trials.append(trial)
        if trial.fate in (Fate.SURVIVED, Fate.TIMED_OUT):
            click.echo(f"{trial.fate.value}: {mutant}", err=True)


if __name__ == "__main__":
    cli()
