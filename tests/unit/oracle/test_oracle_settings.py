"""Settings: where they come from, and what is refused."""

from pathlib import Path

import pytest

from oracle.settings import load_settings
from protocol.errors import BadInput

GOOD = """
rpc_url = "http://127.0.0.1:8545"
chain_id = 31337
manifest = "manifest.json"
data_dir = "data"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "oracle.toml"
    path.write_text(text)
    return path


def test_settings__file_only__defaults_filled_in(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert (settings.chain_id, settings.confirmations, settings.worker_timeout_seconds) == (31337, 2, 60)
    assert settings.resolved_database_url == f"sqlite:///{Path('data').absolute()}/store.sqlite"


def test_settings__environment_and_file__environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPGPU_ORACLE_CONFIRMATIONS", "7")
    assert load_settings(write(tmp_path, GOOD)).confirmations == 7


def test_settings__environment_only__suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RPC_URL": "http://x", "CHAIN_ID": "1", "MANIFEST": "m", "DATA_DIR": "d"}.items():
        monkeypatch.setenv(f"GPGPU_ORACLE_{name}", value)
    assert load_settings(None).chain_id == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("colour = 'red'\n", "colour"),
        ("confirmations = -1\n", "confirmations"),
        ("keystore = 'key.json'\n", "password_file"),
        ("database_url = 'mysql://u:secret@h/d'\n", "postgresql"),
        ("quorum_keystore = 'key.json'\n", "quorum_password_file"),
        ("quorum_peers = ['http://peer']\n", "quorum_keystore"),
        ("quorum_peers = ['file:///etc/passwd']\n", "quorum_peers"),
        ("port = 70000\n", "port"),
        ("poll_seconds = [\n", "TOML"),
    ],
)
def test_settings__bad_key__error_names_it(tmp_path: Path, change: str, named: str) -> None:
    with pytest.raises(BadInput, match=named) as caught:
        load_settings(write(tmp_path, GOOD + change))
    assert "secret" not in str(caught.value)


def test_settings__missing_file__bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.toml"):
        load_settings(tmp_path / "none.toml")


def test_settings__missing_keys__each_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"rpc_url.*chain_id.*manifest.*data_dir"):
        load_settings(write(tmp_path, ""))


def test_settings__built__cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
