"""Token amounts between the decimals that people write and the base units that everything computes in."""

import re

from protocol.errors import BadInput

_DECIMAL = re.compile(r"(\d{1,60})(?:\.(\d{1,36}))?", re.ASCII)


def parse_amount(text: str, decimals: int) -> int:
    """Base units of a decimal amount; BadInput where it is none or finer than the token."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise BadInput(f"amount: expected a decimal such as 1.25, got {text!r}")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise BadInput(f"amount: expected at most {decimals} decimals, got {text}")
    return int(match[1]) * 10**decimals + int(fraction.ljust(decimals, "0") or "0")


def format_amount(units: int, decimals: int) -> str:
    """The exact decimal amount, without trailing zeros."""
    sign, digits = ("-", str(-units)) if units < 0 else ("", str(units))
    digits = digits.rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def format_duration(seconds: int) -> str:
    """Such as "2 h 05 min" or "40 s"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
