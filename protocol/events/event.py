"""What all events have."""

from dataclasses import dataclass

from protocol.logs import LogPosition


@dataclass(frozen=True, slots=True)
class Event:
    """`position` says where the chain holds it."""

    position: LogPosition
