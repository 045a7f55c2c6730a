"""JSON text in and out: hostile text ends in BadInput, the same value always gives the same bytes."""

import json
from typing import Any

import msgspec

from protocol.errors import BadInput


def parse_json(text: bytes | str, subject: str = "JSON") -> object:
    """The value of one JSON text. BadInput where it is none, is nested too deeply or is not UTF-8."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"{subject}: expected JSON, got {error}") from error


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, ASCII, one newline at the end."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"
