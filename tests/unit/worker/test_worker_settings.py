"""Settings: the file, the environment above it, and words for each mistake that never show a value."""

import json
from pathlib import Path

import pytest
from eth_account import Account

from protocol.errors import BadInput
from protocol.keccak import keccak256
from worker.daemon import load_account
from worker.inventory import CpuInventory, InventoryError, read_machine_id
from worker.link import link_url
from worker.settings import load_settings

VALUES = {
    "rpc_url": "http://127.0.0.1:8545",
    "chain_id": 31337,
    "manifest": "manifest.json",
    "oracle_url": "http://127.0.0.1:8000",
    "unit_id": "0x" + "ab" * 32,
    "keystore": "key.json",
    "password_file": "password",
    "data_dir": "data",
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "worker.toml"
    values = {**VALUES, **changes}
    path.write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value is not None)
    )
    return path


def test_load__whole_file__has_defaults_for_the_rest(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path))
    assert (settings.heartbeat_seconds, settings.proof_interval_seconds, settings.device) == (
        10,
        3600,
        "auto",
    )
    assert settings.unit == b"\xab" * 32
    assert settings.sealed_paths == (Path("data"), Path("data/keys"), Path("key.json"), Path("password"))


def test_load__variable_of_the_environment__goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPGPU_WORKER_PROOF_INTERVAL_SECONDS", "7")
    assert load_settings(write(tmp_path, proof_interval_seconds=60)).proof_interval_seconds == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chain_id": None}, "chain_id"),
        ({"chain_id": 0}, "chain_id"),
        ({"unknown": 1}, "unknown"),
        ({"unit_id": "0x12"}, "expected 32 bytes, got 1"),
        ({"heartbeat_seconds": 31}, "heartbeat_seconds"),
        ({"rpc_url": "nowhere"}, "rpc_url"),
        ({"sandbox_uid": 0}, "sandbox_uid"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_load__wrong_value__names_the_key(tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_settings(write(tmp_path, **change))


@pytest.mark.parametrize("text", [b"no toml", b"\xff"])
def test_load__no_toml__is_bad_input(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "worker.toml"
    path.write_bytes(text)
    with pytest.raises(BadInput, match="settings"):
        load_settings(path)


def test_load__no_file__is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="absent"):
        load_settings(tmp_path / "absent.toml")


def test_keystore__right_and_wrong_password__opens_and_says_nothing_of_it(tmp_path: Path) -> None:
    account = Account.from_key(keccak256(b"key"))
    keystore, password = tmp_path / "key.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(account.key, "right", kdf="scrypt", iterations=2)))
    password.write_text("right\n")
    assert load_account(keystore, password).address == account.address
    password.write_text("mistaken-secret")
    with pytest.raises(BadInput) as caught:
        load_account(keystore, password)
    assert "mistaken-secret" not in caught.value.message
    keystore.write_text("{}")
    with pytest.raises(BadInput, match="V3 keystore"):
        load_account(keystore, password)


def test_machine_id__absent__is_an_error_and_not_a_guess(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "id").write_text("abc\n")
    assert read_machine_id([tmp_path / "none", tmp_path / "empty", tmp_path / "id"]) == "abc"
    with pytest.raises(InventoryError, match="machine id"):
        read_machine_id([tmp_path / "none"])


def test_cpu__device__is_plainly_called_so() -> None:
    found = CpuInventory("1", "machine").read()
    assert (found.device, found.gpus[0].name, len(found.gpus)) == ("cpu", "CPU", 1)
    assert found.gpus[0].gpu_id == keccak256(b"cpu:machine:1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8000", "ws://host:8000/v1/worker/link"),
        ("https://host/base/", "wss://host/base/v1/worker/link"),
    ],
)
def test_link_url__of_the_oracle__is_its_websocket(url: str, expected: str) -> None:
    assert link_url(url) == expected


def test_link_url__of_another_scheme__is_bad_input() -> None:
    with pytest.raises(BadInput, match="ftp"):
        link_url("ftp://host")
