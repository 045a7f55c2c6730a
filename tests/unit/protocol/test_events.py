"""Events: decoded from logs, kept as JSON, anything else refused."""

import dataclasses
import json
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as ev
from protocol.abi import entries
from protocol.errors import BadInput, UnknownEvent
from protocol.events import decoding
from protocol.logs import LogEntry, LogPosition
from protocol.structs import REGISTRY
from protocol.units import BlockNumber, address_of
from tests.unit.protocol.history import history
from tests.unit.protocol.later_history import later_history
from tests.unit.protocol.test_manifest import MANIFEST
from tests.unit.protocol.values import event_values_of

HISTORY = [event for event, _ in (*history(), *later_history())]
POSITION = LogPosition(BlockNumber(7), 3, b"\1" * 32, b"\2" * 32)
EMITTERS = ev.emitters(MANIFEST)
ENTRIES = {
    decoding.class_name(contract, entry): (contract, entry)
    for contract in EMITTERS.values()
    for entry in entries(contract, "event").values()
}
ADDRESS_OF = {contract: address for address, contract in EMITTERS.items()}
ANY_EVENT = st.sampled_from(sorted(ev.EVENTS)).flatmap(
    lambda name: event_values_of(ev.EVENTS[name], ENTRIES[name][1], POSITION)
)
MARKET = MANIFEST.market


def log_of(event: ev.Event) -> LogEntry:
    """As a node would give the event."""
    contract, entry = ENTRIES[type(event).__name__]
    values = {
        field.name: REGISTRY.codec_of(field).to_abi(getattr(event, field.name)) for field in entry.fields
    }
    indexed = [field for field in entry.fields if field.indexed]
    data = [field for field in entry.fields if not field.indexed]
    topics = [abi_encode([field.abi_type], [values[field.name]]) for field in indexed]
    body = abi_encode([field.canonical_type for field in data], [values[field.name] for field in data])
    return LogEntry(ADDRESS_OF[contract], (entry.topic, *topics), body, event.position)


def test_events__classes__are_those_of_the_abi_field_by_field() -> None:
    assert set(ev.EVENTS) == ENTRIES.keys() - {"EIP712DomainChanged"}
    for name, cls in ev.EVENTS.items():
        fields = [field.name for field in dataclasses.fields(cls)]
        assert fields == ["position", *(field.name for field in ENTRIES[name][1].fields)]


@given(st.one_of(ANY_EVENT, st.sampled_from(HISTORY)))
def test_event__through_log_and_json__comes_back(event: ev.Event) -> None:
    assert ev.decode(log_of(event), EMITTERS) == event
    assert ev.from_json(json.loads(json.dumps(ev.to_json(event)))) == event


@pytest.mark.parametrize("event", HISTORY, ids=lambda event: type(event).__name__)
def test_decode__topics_or_data_missing__is_refused(event: ev.Event) -> None:
    log = log_of(event)
    with pytest.raises(UnknownEvent):
        ev.decode(dataclasses.replace(log, topics=log.topics[:-1]), EMITTERS)
    with pytest.raises(UnknownEvent):
        ev.decode(dataclasses.replace(log, topics=(*log.topics, bytes(32))), EMITTERS)
    if log.data:
        with pytest.raises(UnknownEvent):
            ev.decode(dataclasses.replace(log, data=log.data[:-1]), EMITTERS)


def test_decode__unknown_topic__is_refused() -> None:
    for topics in ((), (bytes(32),)):
        with pytest.raises(UnknownEvent, match="unknown topic"):
            ev.decode(LogEntry(MARKET, topics, b"", POSITION), EMITTERS)


def test_decode__event_of_another_contract_or_of_a_strangers__is_refused() -> None:
    staked = next(event for event in HISTORY if isinstance(event, ev.Staked))
    with pytest.raises(UnknownEvent, match="unknown topic"):
        ev.decode(dataclasses.replace(log_of(staked), address=MARKET), EMITTERS)
    with pytest.raises(UnknownEvent, match="expected one of our contracts"):
        ev.decode(dataclasses.replace(log_of(staked), address=address_of(b"\x99" * 20)), EMITTERS)


def test_decode__same_event_of_two_contracts__is_told_apart() -> None:
    swept = next(event for event in HISTORY if isinstance(event, ev.BurnedSwept))
    log = dataclasses.replace(log_of(swept), address=MANIFEST.court)
    assert ev.decode(log, EMITTERS) == ev.CourtBurnedSwept(swept.position, swept.amount)


def test_decode__enum_out_of_range__is_refused() -> None:
    notice = next(event for event in HISTORY if isinstance(event, ev.NoticeGiven))
    log = log_of(notice)
    data = log.data[:64] + (250).to_bytes(32) + log.data[96:]
    with pytest.raises(UnknownEvent, match="NoticeReason"):
        ev.decode(dataclasses.replace(log, data=data), EMITTERS)


@given(st.sampled_from(HISTORY), st.binary(max_size=400), st.integers(0, 400))
def test_decode__data_overwritten__is_refused_or_another_event(
    event: ev.Event, noise: bytes, offset: int
) -> None:
    log = log_of(event)
    data = (log.data[:offset] + noise + log.data[offset + len(noise) :])[: len(log.data)]
    try:
        assert isinstance(ev.decode(dataclasses.replace(log, data=data), EMITTERS), type(event))
    except UnknownEvent:
        return


def test_position__order__is_that_of_the_chain() -> None:
    later = dataclasses.replace(POSITION, block_number=BlockNumber(8), log_index=0)
    assert sorted([later, POSITION, dataclasses.replace(POSITION, log_index=2)])[-1] == later
    assert LogPosition.from_json(POSITION.to_json()) == POSITION


@pytest.mark.parametrize(
    "changes",
    [
        {"event": "Nonsense"},
        {"event": None},
        {"event": ["Staked"]},
        {"position": None},
        {"position": {**POSITION.to_json(), "log_index": -1}},
        {"position": {**POSITION.to_json(), "block_hash": "0x00"}},
        {"amount": 5},
        {"surplus": 5},
    ],
)
def test_from_json__malformed__is_refused(changes: dict[str, Any]) -> None:
    staked = next(event for event in HISTORY if isinstance(event, ev.Staked))
    with pytest.raises(BadInput):
        ev.from_json({**ev.to_json(staked), **changes})
    with pytest.raises(BadInput):
        ev.from_json(list(changes))
