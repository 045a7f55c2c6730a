"""Answers that are made once for many: kept for a short while, and only as long as what they say holds."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """One value, made anew at most every `seconds`, by one thread while the others wait. For any thread."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._made: tuple[float, T] | None = None

    def get(self, make: Callable[[], T]) -> T:
        """What `make` returned now or lately; an exception of it is not kept."""
        with self._lock:
            now = self._monotonic()
            if self._made is None or now - self._made[0] >= self._seconds:
                self._made = None
                self._made = (now, make())
            return self._made[1]


@dataclass(frozen=True, slots=True)
class Answer:
    """`version`: of what it was made from. `made_at`: monotonic seconds."""

    content: bytes
    version: Hashable
    made_at: float


class Answers:
    """Answers by request, each good while the version stays and at most `seconds`. Of many, the newest stay.

    For the event loop alone.
    """

    def __init__(self, seconds: float, max_answers: int, max_bytes: int) -> None:
        self._seconds = seconds
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()

    def get(self, key: Hashable, version: Hashable, now: float) -> bytes | None:
        found = self._answers.get(key)
        if found is None or found.version != version or now - found.made_at >= self._seconds:
            return None
        return found.content

    def put(self, key: Hashable, version: Hashable, now: float, content: bytes) -> None:
        if len(content) > self._max_bytes:
            return
        self._answers.pop(key, None)
        self._answers[key] = Answer(content, version, now)
        if len(self._answers) > self._max_answers:
            self._answers.popitem(last=False)
