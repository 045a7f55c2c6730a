"""The deployment manifest on disk: whole or not there, strict when read."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import BadInput
from protocol.manifest import DeploymentManifest, DeploymentParameters, TokenInfo, load, save
from protocol.units import ZERO_ADDRESS, Digest, Seconds, Units, address_of

MARKET, REGISTRY, TOKEN, AMENDMENTS, SUCCESSION, QUORUM, COURT, PROCEEDINGS, OWNER, TREASURY = (
    address_of(bytes([i]) * 20) for i in range(0x0A, 0x14)
)
MANIFEST = DeploymentManifest(
    chain_id=31_337,
    block_number=3,
    market=MARKET,
    amendments=AMENDMENTS,
    succession=SUCCESSION,
    registry=REGISTRY,
    quorum=QUORUM,
    court=COURT,
    proceedings=PROCEEDINGS,
    timelock=ZERO_ADDRESS,
    owner=OWNER,
    treasury=TREASURY,
    stake_token=TOKEN,
    wrapped_native=ZERO_ADDRESS,
    tokens={"dUSD": TokenInfo(TOKEN, 6)},
    code_hashes={MARKET: Digest(b"\1" * 32)},
    transactions={"market": b"\2" * 32},
    parameters=DeploymentParameters(
        challenge_seconds=Seconds(8),
        proof_grace_seconds=Seconds(10),
        answer_seconds=Seconds(6),
        unbonding_seconds=Seconds(10),
        rotation_seconds=Seconds(3),
        exit_seconds=Seconds(60),
        fee_bps=100,
        threshold=2,
        committee_size=3,
        draw_delay_blocks=4,
        draw_seconds=Seconds(9),
        data_seconds=Seconds(5),
        commit_seconds=Seconds(5),
        reveal_seconds=Seconds(5),
        clock_seconds=Seconds(10),
        timelock_seconds=Seconds(0),
        member_bond=Units(100 * 10**18),
        challenge_bond=Units(10 * 10**18),
        absence_penalty=Units(10**18),
    ),
)


def test_manifest__saved__is_loaded_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deployment.json"
    save(MANIFEST, path)
    save(MANIFEST, path)
    assert load(path) == MANIFEST
    assert [child.name for child in path.parent.iterdir()] == ["deployment.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_save__folder_in_the_way__leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    path.mkdir()
    with pytest.raises(OSError):
        save(MANIFEST, path)
    assert [child.name for child in tmp_path.iterdir()] == ["deployment.json"]


def test_token_symbol__known_or_not__is_shown() -> None:
    assert MANIFEST.token_symbol(TOKEN) == "dUSD"
    assert MANIFEST.token_symbol(MARKET) == MARKET


@pytest.mark.parametrize(
    "changes",
    [
        {"surplus": 1},
        {"chain_id": "31337"},
        {"chain_id": True},
        {"block_number": -1},
        {"market": MARKET.lower()},
        {"tokens": []},
        {"tokens": {"dUSD": TOKEN}},
        {"tokens": {"dUSD": {"address": TOKEN, "decimals": 37}}},
        {"code_hashes": {"0x00": "0x" + "00" * 32}},
        {"code_hashes": {MARKET: "0x00"}},
        {"transactions": {"market": None}},
        {"parameters": {"challenge_seconds": 1}},
        {"parameters": {**MANIFEST.to_json()["parameters"], "fee_bps": 1.5}},
        {"parameters": {**MANIFEST.to_json()["parameters"], "member_bond": 5}},
        {"parameters": {**MANIFEST.to_json()["parameters"], "member_bond": "05"}},
        {"parameters": {**MANIFEST.to_json()["parameters"], "member_bond": str(1 << 96)}},
    ],
)
def test_from_json__malformed__is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="manifest"):
        DeploymentManifest.from_json({**MANIFEST.to_json(), **changes})


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "[" * 100_000, '{"chain_id": ' + "9" * 5000 + "}"])
def test_load__not_a_manifest__is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput):
        load(tmp_path / "x.json")


def test_load__no_file__says_which(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read .*absent\.json: No such file"):
        load(tmp_path / "absent.json")


def test_save__same_manifest__is_the_same_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(DeploymentManifest.from_json(json.loads(json.dumps(MANIFEST.to_json()))), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
