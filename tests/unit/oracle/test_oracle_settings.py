"""Settings: where they come from, and what is refused."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account

from oracle.readers import load_readers
from oracle.settings import load_settings
from protocol.errors import BadInput, LimitExceeded, SignatureInvalid
from protocol.json_text import canonical_json
from protocol.readers import ReaderRole, sign_reader_key
from protocol.typed_data import Domain
from protocol.units import address_of

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


def test_settings__artifacts__in_the_data_folder_or_a_bucket(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, GOOD)).artifact_url == ""
    keys = 'artifact_url = "s3://bucket/x"\nartifact_key = "id"\nartifact_secret = "hidden"\n'
    settings = load_settings(write(tmp_path, GOOD + keys))
    assert settings.artifact_secret is not None and settings.artifact_secret.get_secret_value() == "hidden"
    assert "hidden" not in repr(settings)
    with pytest.raises(BadInput, match="artifact_secret are given together"):
        load_settings(write(tmp_path, GOOD + 'artifact_key = "id"\n'))


def test_readers__file__is_checked_at_the_start(tmp_path: Path) -> None:
    domain = Domain(31337, address_of(b"\x09" * 20))
    account, key = Account.from_key(b"\x01" * 32), X25519PrivateKey.generate().public_key().public_bytes_raw()
    reader = sign_reader_key(domain, ReaderRole.VERIFIER, key, account)
    path = tmp_path / "readers.json"
    assert load_readers(None, domain) == ()
    path.write_bytes(canonical_json([reader.to_json()]))
    assert load_readers(path, domain) == (reader,)
    with pytest.raises(SignatureInvalid):
        load_readers(path, Domain(1, domain.market))
    for text in (b"{}", b"[1]", b"no JSON", canonical_json([reader.to_json()] * 63)):
        path.write_bytes(text)
        with pytest.raises((BadInput, LimitExceeded)):
            load_readers(path, domain)
    with pytest.raises(BadInput, match="cannot read"):
        load_readers(tmp_path / "absent", domain)
