"""Measures what every call costs, in steady state and at the first time; the last line is one JSON object."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build"
KEYS: Final = (
    "register_stake",
    "list_offer",
    "open_listed",
    "open_signed",
    "open_native",
    "top_up",
    "post_proof_first",
    "post_proof",
    "post_proofs_marginal",
    "settle",
    "settle_many_marginal",
    "close",
    "challenge",
    "slash",
    "whole_lease",
)


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
    return {condition: {key: int(gas) for key, gas in figures.items()} for condition, figures in found.items()}


def main() -> None:
    figures = measure()
    report: dict[str, object] = {key: figures["steady"][key] for key in KEYS}
    report["first_time"] = {key: figures["first_time"][key] for key in KEYS}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
