"""The generated ABI: names, and an export that notices every difference from the build."""

import copy
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocol.abi import CONTRACTS, canonical_type, entries, load_abi, snake_case, struct_fields
from scripts import export_abi


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pricePerHour", "price_per_hour"),
        ("vramMiB", "vram_mib"),
        ("feeBps", "fee_bps"),
        ("salt", "salt"),
        ("gpuIds", "gpu_ids"),
        ("from", "from_"),
    ],
)
def test_snake_case__name_in_solidity__is_the_one_in_python(name: str, expected: str) -> None:
    assert snake_case(name) == expected


@pytest.mark.parametrize("contract", CONTRACTS)
def test_entries__names__are_not_overloaded(contract: str) -> None:
    for kind in ("function", "event", "error"):
        assert len(entries(contract, kind)) == len(
            [item for item in load_abi(contract) if item["type"] == kind]
        )


def test_canonical_type__nested_struct__is_spelled_out() -> None:
    terms, _ = entries("LeaseMarket", "function")["open"].fields
    assert canonical_type(terms.component).startswith(
        "((address,bytes32,bytes32,uint16,address,uint96,uint8,"
    )
    assert [field.struct for field in struct_fields("Terms")].count("Offer") == 1
    with pytest.raises(KeyError):
        struct_fields("Nonsense")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Artifacts as forge writes them, and a copy of the exported files beside them."""
    built = (*CONTRACTS, *(name for names in export_abi.DELEGATES.values() for name in names))
    for contract in built:
        abi = load_abi(contract) if contract in CONTRACTS else []
        artifact = tmp_path / "forge" / f"{contract}.sol" / f"{contract}.json"
        artifact.parent.mkdir(parents=True)
        artifact.write_text(json.dumps({"abi": abi, "bytecode": {}}))
    target = tmp_path / "abi"
    target.mkdir()
    for path in export_abi.TARGET.glob("*.json"):
        (target / path.name).write_text(path.read_text())
    monkeypatch.setattr(export_abi, "TARGET", target)
    return tmp_path / "forge"


def run(build: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(export_abi.cli, [*options, "--build", str(build)])
    return result.exit_code, result.output


def test_export__files_equal_to_the_build__pass_the_check(build: Path) -> None:
    assert run(build, "--check")[0] == 0


def test_export__artifact_in_another_order__is_the_same_text(build: Path) -> None:
    path = build / "Digests.sol" / "Digests.json"
    path.write_text(json.dumps({"abi": load_abi("Digests")[::-1]}))
    assert run(build, "--check")[0] == 0


def test_export__contract_changed__fails_the_check_until_exported(build: Path) -> None:
    path = build / "LeaseMarket.sol" / "LeaseMarket.json"
    changed = copy.deepcopy(load_abi("LeaseMarket"))
    changed[0]["name"] = "other"
    path.write_text(json.dumps({"abi": changed}))
    (export_abi.TARGET / "Stale.json").write_text("[]")
    code, output = run(build, "--check")
    assert code == 1 and "LeaseMarket.json" in output and "Stale.json" in output
    assert run(build)[0] == 0
    assert run(build, "--check")[0] == 0
    assert not (export_abi.TARGET / "Stale.json").exists()


def test_export__delegates_of_a_contract__add_what_callers_can_call(build: Path) -> None:
    whole = load_abi("LeaseMarket")
    own = [entry for entry in whole if entry.get("name") != "failover"]
    (build / "LeaseMarket.sol" / "LeaseMarket.json").write_text(json.dumps({"abi": own}))
    assert run(build, "--check")[0] == 1
    others = [entry for entry in whole if entry.get("name") in ("failover", "open", "LeaseOpened")]
    noise: list[dict[str, object]] = [{"type": "constructor", "inputs": []}, {"type": "fallback"}]
    delegate = build / "LeaseSuccession.sol" / "LeaseSuccession.json"
    delegate.write_text(json.dumps({"abi": [*noise, *others]}))
    assert run(build, "--check")[0] == 0


def test_export__not_built__says_how_to(build: Path) -> None:
    (build / "Digests.sol" / "Digests.json").unlink()
    code, output = run(build, "--check")
    assert code == 1 and "forge build" in output
