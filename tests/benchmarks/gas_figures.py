"""Measures what every call costs, in steady state and at the first time; the last line is one JSON object."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build"
SNAPSHOTS: Final = ROOT / "tests" / "benchmarks" / "gas"
DOCUMENT: Final = ROOT / "docs" / "gas.md"


@dataclass(frozen=True, slots=True)
class Goal:
    """Gas that the call should cost at most in steady state, and the best figure measured of a peer."""

    call: str
    gas: int
    peer: str


GOALS: Final = {
    "register_stake": Goal("stake, which makes a provider", 70_000, "Prime Intellect 222,946"),
    "list_offer": Goal("list an offer", 55_000, "Boundless submit 46,000; Oyster providerAdd 74,822"),
    "open_listed": Goal("open a lease on a listed offer", 110_000, "Boundless lock 149,434; Oyster 170,260"),
    "open_signed": Goal("open a lease on a signed offer", 120_000, "Sablier Flow createAndDeposit 162,026"),
    "open_native": Goal("open a lease with native coin", 125_000, "Filecoin Pay createRail 212,141"),
    "top_up": Goal("top up", 55_000, "Oyster 56,092; Flow 61,380"),
    "post_proof_first": Goal("first proof of a lease", 68_000, "Boundless fulfil 116,712"),
    "post_proof": Goal("later proof", 52_000, "Boundless 57,357 a job in batches of 8; Prime 226,217"),
    "post_proofs_marginal": Goal("one more lease in postProofs", 20_000, "Boundless 57,357"),
    "settle": Goal("settle", 52_000, "Oyster 61,494"),
    "settle_many_marginal": Goal("one more lease in settleMany", 10_500, "-"),
    "close": Goal("close, settling the last proof inside", 56_000, "Oyster 96,844; Flow 134,056"),
    "challenge": Goal("challenge one segment of 256 leaves", 115_000, "-"),
    "slash": Goal("resolve a dispute, slashing", 55_000, "Prime 88,637"),
    "whole_lease": Goal(
        "a whole lease of one job: open, proof, close",
        234_000,
        "LlamaPay 204,000 without proofs; Boundless 266,000; Flow 296,000; Oyster 388,000; iExec 732,000; "
        "Lilypad 1,260,000",
    ),
}


def measure() -> dict[str, dict[str, int]]:
    """Figures by condition, out of a run of forge's gas tests into an empty folder."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        environment = os.environ | {
            "FOUNDRY_SNAPSHOTS": folder,
            "FORGE_SNAPSHOT_CHECK": "false",
            "FORGE_SNAPSHOT_EMIT": "true",
        }
        command = ["forge", "test", "--match-path", "tests/contracts/*Gas.t.sol"]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise SystemExit(f"forge test: expected exit status 0, got {done.returncode}")
        found = {path.stem: json.loads(path.read_text()) for path in Path(folder).glob("*.json")}
    return figures_in(found)


def figures_in(found: dict[str, dict[str, str]]) -> dict[str, dict[str, int]]:
    """Forge writes numbers as text."""
    return {condition: {key: int(gas) for key, gas in each.items()} for condition, each in found.items()}


def table(figures: dict[str, dict[str, int]]) -> str:
    """Markdown: a row for each goal."""
    rows = [
        "| call | steady | first time | goal | met | best measured peer |",
        "|---|---:|---:|---:|---|---|",
    ]
    for key, goal in GOALS.items():
        steady, first = figures["steady"][key], figures["first_time"][key]
        met = "yes" if steady <= goal.gas else f"no, {100 * (steady / goal.gas - 1):.0f} % above"
        rows.append(f"| {goal.call} | {steady:,} | {first:,} | {goal.gas:,} | {met} | {goal.peer} |")
    return "\n".join(rows) + "\n"


def committed() -> dict[str, dict[str, int]]:
    return figures_in({path.stem: json.loads(path.read_text()) for path in SNAPSHOTS.glob("*.json")})


def main() -> None:
    figures = measure()
    report: dict[str, object] = {key: figures["steady"][key] for key in GOALS}
    report["first_time"] = {key: figures["first_time"][key] for key in GOALS}
    print(table(figures), file=sys.stderr)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
