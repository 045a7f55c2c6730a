"""Transfers that go on where they broke off, as long as they come on."""

import time
from collections.abc import Callable, Iterator

from protocol.errors import ServiceUnavailable

MAX_STALLS = 5
RETRY_SECONDS = 0.5
"""Doubled with each stall: a service that is down has nothing that could be waited for."""


def persist(begin: Callable[[], Iterator[None]]) -> None:
    """Runs it to its end, and begins it again where it broke off: MAX_STALLS times without coming on."""
    stalls = 0
    while True:
        try:
            for _ in begin():
                stalls = 0
            return
        except ServiceUnavailable:
            stalls += 1
            if stalls > MAX_STALLS:
                raise
            time.sleep(RETRY_SECONDS * 2 ** (stalls - 1))
