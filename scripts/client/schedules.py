"""When a lease is wanted: instants and hours as people write them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from protocol.errors import BadInput
from protocol.matching import Schedule
from protocol.weekly_hours import parse_hours


def schedule_of(
    seconds: int,
    max_seconds: int | None,
    hours: Sequence[str],
    start: str | None = None,
    end: str | None = None,
) -> Schedule:
    """Out of what a task and the command line say. BadInput where it makes no sense."""
    first = None if start is None else parse_instant(start)
    last = None if end is None else parse_instant(end)
    if first is not None and last is not None and last <= first:
        raise BadInput(f"end: expected an instant after {start}, got {end}")
    if max_seconds is not None and max_seconds < seconds:
        raise BadInput(f"max_lease_seconds: expected at least {seconds}, got {max_seconds}")
    return Schedule(
        seconds=seconds,
        max_seconds=max_seconds or (0 if last is not None else seconds),
        start=first,
        end=last,
        weekly_hours=parse_hours(hours) if hours else None,
    )


def parse_instant(text: str) -> int:
    """Unix seconds, given as such or in ISO 8601, such as 2026-01-05T18:00Z; UTC without an offset."""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"instant: expected such as 2026-01-05T18:00Z, got {text!r}") from error
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


def format_instant(seconds: int) -> str:
    """Such as 2026-01-05 18:00:00 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
