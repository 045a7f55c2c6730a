"""How much is tried: a handful of cases in CI, all of them at night."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")


def is_night() -> bool:
    """Whether `--hypothesis-profile=nightly` was given."""
    return settings.get_current_profile_name() == "nightly"


def chosen(by_day: Sequence[T], by_night: Sequence[T]) -> Sequence[T]:
    return by_night if is_night() else by_day
