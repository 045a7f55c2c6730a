"""What time it is: this machine's, or the chain's where that is ahead (a devnet can be wound forward)."""

from __future__ import annotations

import time
from collections.abc import Callable

Now = Callable[[], int]
"""Unix seconds."""


def wall_now() -> int:
    return int(time.time())


def later_of(wall_seconds: int, block_timestamp: int | None) -> int:
    """A lease's times are the chain's; between blocks the machine's clock goes on."""
    return wall_seconds if block_timestamp is None else max(wall_seconds, block_timestamp)
