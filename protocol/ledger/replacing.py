"""`dataclasses.replace` for frozen classes with slots, only faster: each event makes entries anew."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def replace(entry: T, **changes: Any) -> T:
    """A copy with these fields changed. TypeError where the class has no such field, as `dataclasses` says.

    For classes without `__post_init__` and without fields that their constructor leaves out.
    """
    cls = type(entry)
    values, setters, places = _members(cls)
    found = list(values(entry))
    for name, value in changes.items():
        if name not in places:
            raise TypeError(f"{cls.__name__} has no field {name}")
        found[places[name]] = value
    made = cls.__new__(cls)
    for setter, value in zip(setters, found, strict=True):
        setter(made, value)
    return made


@functools.cache
def _members(
    cls: type,
) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[Callable[[Any, Any], None], ...], Mapping[str, int]]:
    """How to read all fields, how to set each past the guard of `frozen`, and where each stands."""
    members = fields(cls)
    names = [field.name for field in members]
    if hasattr(cls, "__post_init__") or not all(field.init for field in members) or len(names) < 2:
        raise TypeError(f"{cls.__name__}: expected two fields or more, set as they are given")
    setters = tuple(getattr(cls, name).__set__ for name in names)
    return attrgetter(*names), setters, {name: place for place, name in enumerate(names)}
