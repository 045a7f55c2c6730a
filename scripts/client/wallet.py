"""Keys from V3 keystore files, unlocked by a password file or at a prompt; no key is ever printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput
from protocol.units import Address, parse_address

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

# The default scrypt work factor takes seconds; that of throw-away development keys need not.
DEVELOPMENT_SCRYPT_ITERATIONS = 2**10


def address_of_keystore(path: Path) -> Address:
    """Whose key the file holds, without unlocking it."""
    address = _read(path).get("address")
    if not isinstance(address, str):
        raise BadInput(f"keystore {path}: expected an `address`, found none")
    from eth_utils.address import to_checksum_address

    try:
        return parse_address(str(to_checksum_address("0x" + address.removeprefix("0x"))))
    except ValueError as error:
        raise BadInput(f"keystore {path}: expected an address, got {address!r}") from error


def unlock(path: Path, password_file: Path | None, ask: Callable[[str], str]) -> "LocalAccount":
    """The account of a keystore file; the password is the first line of a file, or asked for."""
    from eth_account import Account

    document = _read(path)
    try:
        return Account.from_key(Account.decrypt(document, _password(path, password_file, ask)))
    except (ValueError, KeyError, TypeError) as error:
        # The library's own text says "MAC mismatch" for a wrong password; nothing of the key is in it.
        raise BadInput(f"keystore {path}: cannot be unlocked: {error}") from error


def write_development_keystore(path: Path, password: str) -> Address:
    """A new key, cheap to unlock, for a development network; its file is readable by its owner alone."""
    from eth_account import Account

    account = Account.create()
    document = Account.encrypt(account.key, password, kdf="scrypt", iterations=DEVELOPMENT_SCRYPT_ITERATIONS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document), encoding="utf-8")
    return parse_address(str(account.address))


def _password(path: Path, password_file: Path | None, ask: Callable[[str], str]) -> str:
    if password_file is None:
        return ask(f"Password of {path}")
    try:
        lines = password_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"password file {password_file}: cannot be read: {error}") from error
    return lines[0] if lines else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"keystore {path}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"keystore {path}: expected a V3 keystore in JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInput(f"keystore {path}: expected a V3 keystore, got {type(document).__name__}")
    return document
