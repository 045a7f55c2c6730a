"""Waiting for a condition with a deadline, never for a guessed time."""

import time
from collections.abc import Callable
from typing import TypeVar

from protocol.errors import RetryableError

Value = TypeVar("Value")


class DeadlineExceeded(RetryableError):
    """What was waited for did not come in time."""

    default_code = "deadline_exceeded"


def await_value(
    what: str, look: Callable[[], Value | None], *, timeout_seconds: float, poll_seconds: float = 0.2
) -> Value:
    """The first value of `look` that is neither None nor False; DeadlineExceeded says what was waited for."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = look()
        if value is not None and value is not False:
            return value
        if time.monotonic() >= deadline:
            raise DeadlineExceeded(f"{what}: expected within {timeout_seconds:g} s, did not happen")
        time.sleep(poll_seconds)


def watch(check: Callable[[], None], *, poll_seconds: float = 0.5) -> None:
    """Check again and again, until the check raises."""
    while True:
        check()
        time.sleep(poll_seconds)
