"""Our readers beside eth_abi: what is canonical reads alike, all else is refused."""

import dataclasses
from typing import Any

import pytest
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as ev
from protocol.abi import Field, canonical_type, struct_fields
from protocol.abi_bytes import abi_decode, abi_encode
from protocol.abi_words import reader_of, tuple_reader
from protocol.errors import BadInput, UnknownEvent
from protocol.logs import LogEntry
from protocol.structs import REGISTRY, STRUCTS
from protocol.units import address_of
from tests.unit.protocol.test_events import ANY_EVENT, EMITTERS, ENTRIES, HISTORY, log_of
from tests.unit.protocol.values import values_of

ANY_STRUCT = st.sampled_from(sorted(STRUCTS)).flatmap(lambda name: values_of(STRUCTS[name]))
HIGHEST, LOWEST = 0xFF, 0x01


def by_eth_abi(log: LogEntry) -> ev.Event:
    """As the log reads by eth_abi and the struct's codecs, provided that encoding it again gives the log."""
    contract = EMITTERS[log.address]
    name, entry = next(
        (name, entry)
        for name, (of, entry) in ENTRIES.items()
        if (of, entry.topic) == (contract, log.topics[0])
    )
    indexed = [field for field in entry.fields if field.indexed]
    data = [field for field in entry.fields if not field.indexed]
    if len(log.topics) != 1 + len(indexed):
        raise BadInput("topics")
    types = [field.canonical_type for field in data]
    raw = dict(zip((field.name for field in data), abi_decode(types, log.data), strict=True))
    if abi_encode(types, [raw[field.name] for field in data]) != log.data:
        raise BadInput("not canonical")
    for field, topic in zip(indexed, log.topics[1:], strict=True):
        raw[field.name] = abi_decode([field.abi_type], topic)[0]
        if abi_encode([field.abi_type], [raw[field.name]]) != topic:
            raise BadInput("not canonical")
    values = {field.name: REGISTRY.codec_of(field).from_abi(raw[field.name]) for field in entry.fields}
    return ev.EVENTS[name](log.position, **values)


def assert_alike(log: LogEntry) -> None:
    expected: ev.Event | None
    try:
        expected = by_eth_abi(log)
    except (DecodingError, BadInput, UnicodeDecodeError, OverflowError):
        expected = None
    if expected is None:
        with pytest.raises(UnknownEvent):
            ev.decode(log, EMITTERS)
    else:
        assert ev.decode(log, EMITTERS) == expected


@given(ANY_EVENT)
def test_decode__random_event_of_any_type__as_eth_abi_reads_it(event: ev.Event) -> None:
    assert by_eth_abi(log_of(event)) == event
    assert_alike(log_of(event))


@given(st.one_of(ANY_EVENT, st.sampled_from(HISTORY)), st.data())
def test_decode__bytes_changed__refused_where_eth_abi_refuses_or_reads_the_same(
    event: ev.Event, data: st.DataObject
) -> None:
    log = log_of(event)
    whole = bytearray(b"".join(log.topics[1:]) + log.data)
    for _ in range(data.draw(st.integers(1, 3))):
        if whole:
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at] = data.draw(st.sampled_from([0, LOWEST, 2, 0x20, 0x80, HIGHEST]))
    split = 32 * (len(log.topics) - 1)
    topics = tuple(bytes(whole[at : at + 32]) for at in range(0, split, 32))
    assert_alike(dataclasses.replace(log, topics=(log.topics[0], *topics), data=bytes(whole[split:])))


@given(st.one_of(ANY_EVENT, st.sampled_from(HISTORY)), st.integers(1, 80), st.binary(min_size=1, max_size=64))
def test_decode__bytes_missing_or_left_over__refused(event: ev.Event, cut: int, more: bytes) -> None:
    log = log_of(event)
    with pytest.raises(UnknownEvent):
        ev.decode(dataclasses.replace(log, data=log.data + more), EMITTERS)
    if log.data:
        with pytest.raises(UnknownEvent):
            ev.decode(dataclasses.replace(log, data=log.data[: max(len(log.data) - cut, 0)]), EMITTERS)
    for size_bytes in (31, 33):
        if len(log.topics) > 1:
            short = (*log.topics[:-1], log.topics[-1].ljust(33, b"\0")[:size_bytes])
            with pytest.raises(UnknownEvent):
                ev.decode(dataclasses.replace(log, topics=short), EMITTERS)


@given(ANY_STRUCT, st.data())
def test_tuple_reader__any_struct__reads_what_eth_abi_writes_and_nothing_else(
    value: Any, data: st.DataObject
) -> None:
    cls = type(value)
    fields = struct_fields(cls.__name__)
    reader = tuple_reader([reader_of(field, REGISTRY) for field in fields], cls)
    types = [field.canonical_type for field in fields]
    members = [REGISTRY.codec_of(field).to_abi(getattr(value, field.name)) for field in fields]
    encoded = abi_encode(types, members)
    assert read(reader, encoded) == value
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:at] + bytes([data.draw(st.integers(0, 255))]) + encoded[at + 1 :]
    try:
        again = read(reader, changed)
    except BadInput:
        return
    written = [REGISTRY.codec_of(field).to_abi(getattr(again, field.name)) for field in fields]
    assert abi_encode(types, written) == changed


def read(reader: Any, data: bytes) -> Any:
    if reader.tail is None:
        return reader.words(data, 0)
    value, end = reader.tail(data, 0)
    if end != len(data):
        raise BadInput("left over")
    return value


def plain(abi_type: str) -> Field:
    component = {"name": "x", "type": abi_type}
    assert canonical_type(component) == abi_type
    return Field("x", "x", abi_type, None, None, False, component)


@pytest.mark.parametrize(
    ("abi_type", "value"),
    [
        ("uint8[][]", ((1, 2), (), (255,))),
        ("string[]", ("", "of more than thirty-two bytes, that is", "ü")),
        ("bytes[]", (b"", b"\1" * 33)),
        ("int16", -2),
        ("bytes4", b"abcd"),
        ("address[]", (address_of(b"\x11" * 20),)),
    ],
)
def test_reader__types_that_no_event_has__as_eth_abi(abi_type: str, value: Any) -> None:
    reader = tuple_reader([reader_of(plain(abi_type), REGISTRY)], lambda only: only)
    encoded = abi_encode([abi_type], [value])
    assert read(reader, encoded) == value
    with pytest.raises(BadInput):
        read(reader, encoded[:-1] if reader.tail else b"\x12" * 32)


@pytest.mark.parametrize("length", [1 << 255, 1 << 64, 1 << 32, 3])
@pytest.mark.parametrize("abi_type", ["bytes", "string", "uint8[]", "bytes[]"])
def test_reader__length_beyond_the_data__refused_at_once(abi_type: str, length: int) -> None:
    reader = tuple_reader([reader_of(plain(abi_type), REGISTRY)], lambda only: only)
    with pytest.raises(BadInput):
        read(reader, (32).to_bytes(32) + length.to_bytes(32) + b"\1" * 32)


def test_reader__array_of_fixed_length__is_not_made() -> None:
    with pytest.raises(TypeError, match="fixed length"):
        reader_of(plain("uint8[3]"), REGISTRY)
