"""A reader's X25519 key in a file: 64 hex digits, readable by its owner alone."""

import os
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.errors import BadInput


def read_reader_key(path: Path) -> X25519PrivateKey:
    """BadInput where the file is none, or others may read it."""
    try:
        text, mode = path.read_text(encoding="ascii").strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"reader key {path}: cannot be read: {type(error).__name__}") from error
    if mode & 0o077:
        raise BadInput(f"reader key {path}: expected mode 0600, got {mode & 0o777:04o}")
    if not re.fullmatch(r"[0-9a-f]{64}", text, re.ASCII):
        raise BadInput(f"reader key {path}: expected 64 hex digits")
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def open_reader_key(path: Path) -> X25519PrivateKey:
    """The key in the file; a new one where there is no file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_reader_key(path)
    except OSError as error:
        raise BadInput(f"reader key {path}: cannot be written: {error.strerror}") from error
    key = X25519PrivateKey.generate()
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(key.private_bytes_raw().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key
