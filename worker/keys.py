"""The worker's encryption keys: one file each, readable by the worker alone, the newest last.

None is ever removed: orders that were sealed to an older key are still to be read.
"""

import os
import re
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.errors import BadInput, RejectedError
from protocol.sealing import public_bytes
from protocol.units import to_hex

_NAME: Final = re.compile(r"encryption-([0-9]{4})\.key", re.ASCII)
_HEX_DIGITS: Final = 64
FOLDER_NAME: Final = "keys"


def read_keys(folder: Path) -> tuple[X25519PrivateKey, ...]:
    """Oldest first; none where there is no folder. BadInput for a file that is not a key."""
    if not folder.is_dir():
        return ()
    return tuple(_read(path) for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name))


def add_key(folder: Path) -> X25519PrivateKey:
    """A new key; afterwards it is on the disk, whole, beside those before."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = len(read_keys(folder)) + 1
    key = X25519PrivateKey.generate()
    path = folder / f"encryption-{number:04}.key"
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(key.private_bytes_raw().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.link(temporary, path)  # FileExistsError where another made one at the same time
    temporary.unlink()
    _sync(folder)
    return key


def newest_key(folder: Path, *, rotate: bool = False) -> X25519PrivateKey:
    """The one to register: made where there is none, and where `rotate` asks for another."""
    keys = read_keys(folder)
    return add_key(folder) if rotate or not keys else keys[-1]


def check_registered(keys: tuple[X25519PrivateKey, ...], registered: bytes) -> None:
    """RejectedError where orders would be sealed to a key that is not here. Zero: none is registered."""
    if any(registered) and registered not in [public_bytes(key) for key in keys]:
        raise RejectedError(
            f"encryption key: expected {to_hex(registered)}, which the unit has, among the {len(keys)} here",
            code="encryption_key_missing",
        )


def _read(path: Path) -> X25519PrivateKey:
    try:
        text = path.read_text(encoding="ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"encryption key {path}: {type(error).__name__}") from error
    if mode & 0o077:
        raise BadInput(f"encryption key {path}: expected mode 0600, got {mode & 0o777:04o}")
    if not re.fullmatch(f"[0-9a-f]{{{_HEX_DIGITS}}}", text):
        raise BadInput(f"encryption key {path}: expected {_HEX_DIGITS} hex digits")
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
