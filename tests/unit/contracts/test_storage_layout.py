"""The market's code lies in three contracts that run on one storage, and must agree on what lies where."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CONTRACTS = ("LeaseMarket", "LeaseAmendments", "LeaseSuccession")
AST_ID = re.compile(r"\)\d+_storage")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As the compiler tells them, in a build of its own: build/forge may be older than the sources."""
    out = tmp_path_factory.mktemp("layouts")
    command = [str(ROOT / "node_modules/.bin/forge"), "build", "--extra-output", "storageLayout"]
    command += ["--out", str(out / "out"), "--cache-path", str(out / "cache")]
    command += [f"contracts/{contract}.sol" for contract in CONTRACTS]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    artifacts = {contract: out / "out" / f"{contract}.sol" / f"{contract}.json" for contract in CONTRACTS}
    return {contract: json.loads(path.read_text())["storageLayout"] for contract, path in artifacts.items()}


def variables_of(layout: dict[str, Any]) -> list[tuple[str, str, int, str]]:
    return [
        (entry["label"], entry["slot"], entry["offset"], AST_ID.sub(")_storage", entry["type"]))
        for entry in layout["storage"]
    ]


def structs_of(layout: dict[str, Any]) -> dict[str, list[tuple[str, str, int, str]]]:
    """Members of each struct that the storage holds, by the struct's name."""
    return {
        kind["label"]: variables_of({"storage": kind["members"]})
        for kind in layout["types"].values()
        if "members" in kind
    }


@pytest.mark.parametrize("contract", CONTRACTS[1:])
def test_storage_layout__of_code_behind_the_market__is_the_markets(
    layouts: dict[str, Any], contract: str
) -> None:
    market = layouts["LeaseMarket"]
    assert variables_of(layouts[contract]) == variables_of(market)
    assert structs_of(layouts[contract]) == structs_of(market)


def test_storage_layout__of_a_lease__fits_three_slots(layouts: dict[str, Any]) -> None:
    members = structs_of(layouts["LeaseMarket"])["struct LeaseState"]
    slots = {label: slot for label, slot, _, _ in members}
    assert slots["deposit"] == slots["flags"] == "0"
    assert slots["proofHash"] == "1"
    assert slots["renterOverride"] == slots["transfers"] == "2"
    assert set(slots.values()) == {"0", "1", "2"}
