"""Random values of every struct and event, drawn from the ABI that describes them."""

from typing import Any

from hypothesis import strategies as st

from protocol.abi import Entry, Field, struct_fields
from protocol.codec import integer_range
from protocol.events import Event
from protocol.logs import LogPosition
from protocol.structs import ENUMS, STRUCTS
from protocol.units import address_of

TEXT = st.text(max_size=40)


def values_of(cls: type) -> st.SearchStrategy[Any]:
    """Any value of the struct that its Solidity twin could hold."""
    members = {field.name: _field(field, field.abi_type) for field in struct_fields(cls.__name__)}
    return st.builds(cls, **members)


def event_values_of(cls: type[Event], entry: Entry, position: LogPosition) -> st.SearchStrategy[Event]:
    """Any event of the class that a log could hold."""
    members = {field.name: _field(field, field.abi_type) for field in entry.fields}
    return st.builds(cls, position=st.just(position), **members)


def _field(field: Field, abi_type: str) -> st.SearchStrategy[Any]:
    if abi_type.endswith("]"):
        return st.lists(_field(field, abi_type[: abi_type.rindex("[")]), max_size=4).map(tuple)
    if abi_type == "tuple":
        assert field.struct is not None
        return values_of(STRUCTS[field.struct])
    if field.enum is not None:
        return st.sampled_from(ENUMS[field.enum])
    return _plain(abi_type)


def _plain(abi_type: str) -> st.SearchStrategy[Any]:
    if abi_type == "address":
        return st.binary(min_size=20, max_size=20).map(address_of)
    if abi_type == "bool":
        return st.booleans()
    if abi_type == "string":
        return TEXT
    if abi_type == "bytes":
        return st.binary(max_size=80)
    if abi_type.startswith("bytes"):
        size_bytes = int(abi_type.removeprefix("bytes"))
        return st.binary(min_size=size_bytes, max_size=size_bytes)
    allowed = integer_range(abi_type)
    return st.integers(allowed[0], allowed[-1])
