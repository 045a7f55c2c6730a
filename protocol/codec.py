"""Strict conversion of ABI values between Python, JSON and web3; what is out of a type's range is refused."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, cast

from protocol.abi import Field, struct_fields
from protocol.errors import BadInput
from protocol.units import address_of, hex_bytes, parse_address, shorten, to_hex

MAX_JSON_INTEGER_BITS: Final = 48
MAX_LIST_ITEMS: Final = 1 << 16
_DECIMAL: Final = re.compile(r"0|-?[1-9][0-9]{0,77}", re.ASCII)
_INTEGER: Final = re.compile(r"(u?)int(\d+)")
_FIXED_BYTES: Final = re.compile(r"bytes(\d+)")


@dataclass(frozen=True, slots=True)
class Codec:
    """`read_json` and `check` raise BadInput, naming the subject, what was expected and what came."""

    write_json: Callable[[Any], Any]
    read_json: Callable[[Any, str], Any]
    to_abi: Callable[[Any], Any]
    from_abi: Callable[[Any], Any]


class Registry:
    """The Python classes of the ABI's structs and enums, by their names in Solidity."""

    def __init__(self, structs: Mapping[str, type], enums: Mapping[str, type[IntEnum]]) -> None:
        self.structs = structs
        self.enums = enums
        self._fields: dict[str, tuple[tuple[str, Codec], ...]] = {}

    def fields_of(self, struct: str) -> tuple[tuple[str, Codec], ...]:
        """Name and codec of each member, in the struct's order."""
        known = self._fields.get(struct)
        if known is None:
            known = tuple((field.name, self.codec_of(field)) for field in struct_fields(struct))
            self._fields[struct] = known
        return known

    def codec_of(self, field: Field) -> Codec:
        return self._codec(field, field.abi_type)

    def _codec(self, field: Field, abi_type: str) -> Codec:
        if abi_type.endswith("]"):
            return _list_codec(self._codec(field, abi_type[: abi_type.rindex("[")]))
        if abi_type == "tuple":
            return self._struct_codec(cast(str, field.struct))
        if field.enum is not None:
            return _enum_codec(self.enums[field.enum])
        return _plain_codec(abi_type)

    def _struct_codec(self, struct: str) -> Codec:
        cls = self.structs[struct]
        return Codec(
            write_json=lambda value: write_object(self.fields_of(struct), value),
            read_json=lambda data, subject: cls(**read_object(self.fields_of(struct), data, subject)),
            to_abi=lambda value: tuple(c.to_abi(getattr(value, name)) for name, c in self.fields_of(struct)),
            from_abi=lambda data: cls(*_members_from_abi(self.fields_of(struct), data)),
        )


def write_object(fields: Sequence[tuple[str, Codec]], value: object) -> dict[str, Any]:
    return {name: codec.write_json(getattr(value, name)) for name, codec in fields}


def read_object(fields: Sequence[tuple[str, Codec]], data: object, subject: str) -> dict[str, Any]:
    """Arguments for a constructor out of a JSON object with exactly these keys."""
    checked = exact_keys(data, [name for name, _ in fields], subject)
    return {name: codec.read_json(checked[name], f"{subject}.{name}") for name, codec in fields}


def exact_keys(data: object, names: Sequence[str], subject: str) -> dict[str, Any]:
    """`data` as an object that has these keys and no others; BadInput otherwise."""
    if not isinstance(data, dict):
        raise BadInput(f"{subject}: expected an object, got {shorten(data)}")
    found = cast(dict[str, Any], data)
    if found.keys() != set(names):
        missing = sorted(set(names) - found.keys())
        unknown = [shorten(key, 40) for key in found.keys() - set(names)]
        raise BadInput(f"{subject}: missing keys {missing}, unknown keys {sorted(unknown)[:8]}")
    return found


def _members_from_abi(fields: Sequence[tuple[str, Codec]], data: Sequence[Any]) -> list[Any]:
    return [codec.from_abi(item) for (_, codec), item in zip(fields, data, strict=True)]


def integer_range(abi_type: str) -> range:
    """Every value that an integer type of the ABI holds."""
    match = _INTEGER.fullmatch(abi_type)
    if match is None:
        raise TypeError(f"not an integer type: {abi_type}")
    bits = int(match.group(2))
    return range(1 << bits) if match.group(1) else range(-(1 << (bits - 1)), 1 << (bits - 1))


@functools.cache
def _plain_codec(abi_type: str) -> Codec:
    if _INTEGER.fullmatch(abi_type):
        return _integer_codec(abi_type)
    if abi_type == "address":
        return Codec(_same, parse_address, _same, _address_from_abi)
    if abi_type == "bool":
        return Codec(_same, _read_bool, _same, _same)
    if abi_type == "string":
        return Codec(_same, _read_string, _same, _same)
    fixed = _FIXED_BYTES.fullmatch(abi_type)
    size_bytes = int(fixed.group(1)) if fixed else None
    if size_bytes is None and abi_type != "bytes":
        raise TypeError(f"no codec for {abi_type}")
    return Codec(to_hex, lambda data, subject: hex_bytes(data, size_bytes, subject), _same, bytes)


def _integer_codec(abi_type: str) -> Codec:
    allowed = integer_range(abi_type)
    wide = len(f"{allowed[-1]:b}") + (allowed[0] < 0) > MAX_JSON_INTEGER_BITS

    def read(data: object, subject: str) -> int:
        if wide:
            if not isinstance(data, str) or not _DECIMAL.fullmatch(data):
                raise BadInput(f"{subject}: expected {abi_type} as a decimal string, got {shorten(data)}")
            value = int(data)
        elif type(data) is int:
            value = data
        else:
            raise BadInput(f"{subject}: expected {abi_type} as an integer, got {shorten(data)}")
        if value not in allowed:
            raise BadInput(
                f"{subject}: expected {allowed[0]} to {allowed[-1]} ({abi_type}), got {shorten(value)}"
            )
        return value

    return Codec(str if wide else int, read, int, int)


def _enum_codec(enum: type[IntEnum]) -> Codec:
    by_name = {member.name.lower(): member for member in enum}

    def read(data: object, subject: str) -> IntEnum:
        member = by_name.get(data) if isinstance(data, str) else None
        if member is None:
            raise BadInput(f"{subject}: expected one of {', '.join(by_name)}, got {shorten(data)}")
        return member

    def from_abi(data: int) -> IntEnum:
        if not 0 <= data < len(by_name):
            raise BadInput(f"{enum.__name__}: expected 0 to {len(by_name) - 1}, got {data}")
        return enum(data)

    return Codec(lambda value: enum(value).name.lower(), read, int, from_abi)


def _list_codec(item: Codec) -> Codec:
    def read(data: object, subject: str) -> tuple[Any, ...]:
        if not isinstance(data, list):
            raise BadInput(f"{subject}: expected a list, got {shorten(data)}")
        items = cast(list[Any], data)
        if len(items) > MAX_LIST_ITEMS:
            raise BadInput(f"{subject}: expected at most {MAX_LIST_ITEMS} items, got {len(items)}")
        return tuple(item.read_json(part, f"{subject}[{index}]") for index, part in enumerate(items))

    return Codec(
        write_json=lambda value: [item.write_json(part) for part in value],
        read_json=read,
        to_abi=lambda value: [item.to_abi(part) for part in value],
        from_abi=lambda data: tuple(item.from_abi(part) for part in data),
    )


def _same(value: Any) -> Any:
    return value


def _read_bool(data: object, subject: str) -> bool:
    if not isinstance(data, bool):
        raise BadInput(f"{subject}: expected true or false, got {shorten(data)}")
    return data


def _read_string(data: object, subject: str) -> str:
    if not isinstance(data, str):
        raise BadInput(f"{subject}: expected a string, got {shorten(data)}")
    try:
        data.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{subject}: expected text that UTF-8 can carry, got a lone surrogate") from error
    return data


def _address_from_abi(data: str | bytes) -> str:
    return address_of(bytes.fromhex(data[2:]) if isinstance(data, str) else data)
