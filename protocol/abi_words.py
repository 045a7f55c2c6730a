"""Readers of the ABI's bytes, made once per type: they take the one canonical encoding and refuse all others.

Where eth_abi reads whatever its offsets lead to, these demand that every tail follows the one before it, that
all padding is zero and that nothing is left over: what Solidity writes, and nothing else.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, cast

from protocol.abi import Field, struct_fields
from protocol.codec import Registry, integer_range
from protocol.errors import BadInput
from protocol.units import address_of

WORD: Final = 32

ReadWords = Callable[[bytes, int], Any]
"""The value whose words begin at an offset; the caller has made sure that they are there."""
ReadTail = Callable[[bytes, int], tuple[Any, int]]
"""The value whose tail begins at an offset, and where the tail ends."""

_FIXED_BYTES: Final = re.compile(r"bytes(\d+)")
_ADDRESS_PADDING: Final = bytes(12)
_from_bytes = int.from_bytes


@dataclass(frozen=True, slots=True)
class Reader:
    """One of `words` and `tail` is there: a value stands in its place, or its place says where it stands."""

    size_bytes: int
    """Of the value's place among its siblings."""
    words: ReadWords | None
    tail: ReadTail | None


def tuple_reader(readers: Sequence[Reader], build: Callable[..., Any]) -> Reader:
    """`build` takes the members in their order. Of a tuple with a tail, offsets count from its own start."""
    plan: list[tuple[Reader, int]] = []
    size_bytes = 0
    for reader in readers:
        plan.append((reader, size_bytes))
        size_bytes += reader.size_bytes
    static = [(reader.words, place) for reader, place in plan if reader.words is not None]
    if len(static) == len(plan):
        return Reader(
            size_bytes, lambda data, at: build(*[read(data, at + place) for read, place in static]), None
        )

    def read_tail(data: bytes, at: int) -> tuple[Any, int]:
        _check_room(data, at + size_bytes)
        values: list[Any] = []
        end = at + size_bytes
        for reader, place in plan:
            if reader.words is not None:
                values.append(reader.words(data, at + place))
            elif reader.tail is not None:
                _check_offset(data, at + place, end - at)
                value, end = reader.tail(data, end)
                values.append(value)
        return build(*values), end

    return Reader(WORD, None, read_tail)


def reader_of(field: Field, registry: Registry) -> Reader:
    """Values as `registry`'s codecs give them."""
    return _reader(field, field.abi_type, registry)


def _reader(field: Field, abi_type: str, registry: Registry) -> Reader:
    if abi_type.endswith("]"):
        item, _, count = abi_type.removesuffix("]").rpartition("[")
        if count:
            raise TypeError(f"no reader for {abi_type}: none of our events has an array of fixed length")
        return Reader(WORD, None, _list_tail(_reader(field, item, registry)))
    if abi_type == "tuple":
        struct = cast(str, field.struct)
        members = [reader_of(member, registry) for member in struct_fields(struct)]
        return tuple_reader(members, registry.structs[struct])
    if field.enum is not None:
        return Reader(WORD, _enum_words(registry.enums[field.enum]), None)
    if abi_type in ("bytes", "string"):
        return Reader(WORD, None, _read_bytes if abi_type == "bytes" else _read_string)
    return Reader(WORD, _plain_words(abi_type), None)


@functools.cache
def _plain_words(abi_type: str) -> ReadWords:
    if abi_type == "address":
        return _read_address
    if abi_type == "bool":
        return _read_bool
    if abi_type == "bytes32":
        return lambda data, at: data[at : at + WORD]
    fixed = _FIXED_BYTES.fullmatch(abi_type)
    return _fixed_bytes_words(int(fixed.group(1))) if fixed else _integer_words(abi_type)


def _integer_words(abi_type: str) -> ReadWords:
    allowed = integer_range(abi_type)
    low, high, signed = allowed[0], allowed[-1], allowed[0] < 0

    def read(data: bytes, at: int) -> int:
        value = _from_bytes(data[at : at + WORD], signed=signed)
        if not low <= value <= high:
            raise BadInput(f"expected {abi_type}, got {value:#x}")
        return value

    return read


def _fixed_bytes_words(size_bytes: int) -> ReadWords:
    padding = bytes(WORD - size_bytes)

    def read(data: bytes, at: int) -> bytes:
        if data[at + size_bytes : at + WORD] != padding:
            raise BadInput(f"expected bytes{size_bytes}, got other bytes than zero behind it")
        return data[at : at + size_bytes]

    return read


def _enum_words(enum: type[IntEnum]) -> ReadWords:
    members = tuple(enum)

    def read(data: bytes, at: int) -> IntEnum:
        value = _from_bytes(data[at : at + WORD])
        if value >= len(members):
            raise BadInput(f"{enum.__name__}: expected 0 to {len(members) - 1}, got {value}")
        return members[value]

    return read


def _read_address(data: bytes, at: int) -> str:
    if data[at : at + 12] != _ADDRESS_PADDING:
        raise BadInput("expected an address, got other bytes than zero before it")
    return address_of(data[at + 12 : at + WORD])


def _read_bool(data: bytes, at: int) -> bool:
    value = _from_bytes(data[at : at + WORD])
    if value > 1:
        raise BadInput(f"expected a bool, got {value:#x}")
    return value == 1


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size_bytes = _read_length(data, at)
    begin, finish = at + WORD, at + WORD + size_bytes
    end = finish + -size_bytes % WORD
    _check_room(data, end)
    if any(data[finish:end]):
        raise BadInput("expected zeros behind the bytes, got others")
    return data[begin:finish], end


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    raw, end = _read_bytes(data, at)
    try:
        return raw.decode(), end
    except UnicodeDecodeError as error:
        raise BadInput(f"expected text in UTF-8: {error}") from error


def _list_tail(item: Reader) -> ReadTail:
    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count = _read_length(data, at)
        begin = at + WORD
        end = begin + count * item.size_bytes
        _check_room(data, end)
        places = range(begin, end, item.size_bytes)
        if item.words is not None:
            words = item.words
            return tuple([words(data, place) for place in places]), end
        tail = cast(ReadTail, item.tail)
        values: list[Any] = []
        for place in places:
            _check_offset(data, place, end - begin)
            value, end = tail(data, end)
            values.append(value)
        return tuple(values), end

    return read


def _read_length(data: bytes, at: int) -> int:
    _check_room(data, at + WORD)
    return _from_bytes(data[at : at + WORD])


def _check_room(data: bytes, end: int) -> None:
    if len(data) < end:
        raise BadInput(f"expected at least {_shown_size(end)} bytes, got {len(data)}")


def _check_offset(data: bytes, at: int, expected: int) -> None:
    actual = _from_bytes(data[at : at + WORD])
    if actual != expected:
        raise BadInput(f"expected the tail at {expected}, got {actual:#x}")


def _shown_size(size_bytes: int) -> str:
    """Short, whatever a hostile length made of it."""
    return str(size_bytes) if size_bytes < 1 << 63 else "2**63"
