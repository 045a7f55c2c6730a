"""Reads a stream of server-sent events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """`id` is what a later request resumes after."""

    name: str
    id: str
    data: str


def read_events(lines: Iterable[str]) -> Iterator[StreamEvent]:
    """Each event that has come whole; comments, which keep the connection alive, are passed over."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield StreamEvent(fields.get("event", "message"), fields.get("id", ""), fields["data"])
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
