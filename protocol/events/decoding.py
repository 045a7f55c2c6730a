"""Logs and JSON as events: strict, since what is not understood must not be passed over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from protocol.abi import Entry, entries
from protocol.abi_words import WORD, Reader, reader_of, tuple_reader
from protocol.codec import Codec, read_object, write_object
from protocol.errors import BadInput, UnknownEvent
from protocol.events import court, market, quorum, registry
from protocol.events.event import Event
from protocol.logs import LogEntry, LogPosition
from protocol.manifest import DeploymentManifest
from protocol.structs import REGISTRY
from protocol.units import Address, shorten, to_hex

EVENTS: Final[Mapping[str, type[Event]]] = {
    cls.__name__: cls
    for cls in Event.__subclasses__()
    if cls.__module__ in {module.__name__ for module in (court, market, quorum, registry)}
}

Emitters = Mapping[Address, str]
"""Which of our contracts lives where."""

_CONTRACTS: Final = ("ProviderRegistry", "LeaseMarket", "OracleQuorum", "ComputeCourt")
# EIP712DomainChanged is in the ABI because a library declares it; our contracts never emit it.
_NEVER_EMITTED: Final = frozenset({"EIP712DomainChanged"})
_OWN_NAMES: Final = {
    ("ComputeCourt", "Withdrawn"): "CourtWithdrawn",
    ("ComputeCourt", "BurnedSwept"): "CourtBurnedSwept",
    ("ComputeCourt", "Relayed"): "CourtRelayed",
}
"""Of events that another contract has under the same name."""


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Made once per event: which topics and which data make which fields."""

    cls: type[Event]
    codecs: tuple[tuple[str, Codec], ...]
    topic_count: int
    topics: tuple[tuple[int, Reader], ...]
    """Each indexed field's place among the fields."""
    places: tuple[int, ...]
    """Of the fields in the data."""
    data: Reader

    @classmethod
    def of(cls, contract: str, entry: Entry) -> "_Decoder":
        readers = [reader_of(field, REGISTRY) for field in entry.fields]
        indexed = [place for place, field in enumerate(entry.fields) if field.indexed]
        places = [place for place, field in enumerate(entry.fields) if not field.indexed]
        return cls(
            cls=EVENTS[class_name(contract, entry)],
            codecs=tuple((field.name, REGISTRY.codec_of(field)) for field in entry.fields),
            topic_count=1 + len(indexed),
            topics=tuple((place, readers[place]) for place in indexed),
            places=tuple(places),
            data=tuple_reader([readers[place] for place in places], lambda *values: values),
        )

    def decode(self, log: LogEntry) -> Event:
        """BadInput where the log is not exactly what the contract writes."""
        topics, data = log.topics, log.data
        if len(topics) != self.topic_count:
            raise BadInput(f"expected {self.topic_count - 1} indexed fields, got {len(topics) - 1}")
        values: list[Any] = [None] * len(self.codecs)
        for (place, reader), topic in zip(self.topics, topics[1:], strict=True):
            if len(topic) != WORD or reader.words is None:
                raise BadInput(f"topic: expected {WORD} bytes, got {len(topic)}")
            values[place] = reader.words(topic, 0)
        for place, value in zip(self.places, self._read_data(data), strict=True):
            values[place] = value
        return self.cls(log.position, *values)

    def _read_data(self, data: bytes) -> tuple[Any, ...]:
        if self.data.tail is not None:
            values, end = self.data.tail(data, 0)
            if end != len(data):
                raise BadInput(f"data: expected {end} bytes, got {len(data)}")
            return values
        if len(data) != self.data.size_bytes or self.data.words is None:
            raise BadInput(f"data: expected {self.data.size_bytes} bytes, got {len(data)}")
        return self.data.words(data, 0)


def class_name(contract: str, entry: Entry) -> str:
    """Of the class that stands for an event of this contract."""
    return _OWN_NAMES.get((contract, entry.name), entry.name)


def emitters(manifest: DeploymentManifest) -> Emitters:
    return {
        manifest.registry: "ProviderRegistry",
        manifest.market: "LeaseMarket",
        manifest.quorum: "OracleQuorum",
        manifest.court: "ComputeCourt",
    }


def decode(log: LogEntry, emitters: Emitters) -> Event:
    """The event that a log of one of our contracts holds. UnknownEvent where it holds none."""
    contract = emitters.get(log.address)
    if contract is None:
        raise UnknownEvent(f"log {log.position.log_index}: expected one of our contracts, got {log.address}")
    decoder = _BY_TOPIC[contract].get(log.topics[0]) if log.topics else None
    if decoder is None:
        topic = to_hex(log.topics[0]) if log.topics else "none"
        raise UnknownEvent(f"log {log.position.log_index} of {contract} {log.address}: unknown topic {topic}")
    try:
        return decoder.decode(log)
    except BadInput as error:
        raise UnknownEvent(f"{decoder.cls.__name__}: malformed log: {error}") from error


def to_json(event: Event) -> dict[str, Any]:
    """As `structs.to_json`, with "event" and "position" before the fields."""
    name = type(event).__name__
    fields = write_object(_BY_NAME[name].codecs, event)
    return {"event": name, "position": event.position.to_json(), **fields}


def from_json(data: object) -> Event:
    """Strict inverse of `to_json`; BadInput otherwise."""
    if not isinstance(data, dict):
        raise BadInput(f"event: expected an object, got {shorten(data)}")
    found = dict(cast(dict[str, Any], data))
    position = found.pop("position", None)
    return from_fields(found, LogPosition.from_json(position))


def from_fields(data: Mapping[str, Any], position: LogPosition) -> Event:
    """What `from_json` reads, its position known already and not among the data; BadInput otherwise."""
    found = dict(data)
    name = found.pop("event", None)
    decoder = _BY_NAME.get(name) if isinstance(name, str) else None
    if decoder is None:
        raise BadInput(f"event: expected the name of an event, got {shorten(name)}")
    return decoder.cls(position, **read_object(decoder.codecs, found, decoder.cls.__name__))


_BY_TOPIC: Final[Mapping[str, Mapping[bytes, _Decoder]]] = {
    contract: {
        entry.topic: _Decoder.of(contract, entry)
        for entry in entries(contract, "event").values()
        if entry.name not in _NEVER_EMITTED
    }
    for contract in _CONTRACTS
}
_BY_NAME: Final[Mapping[str, _Decoder]] = {
    decoder.cls.__name__: decoder for found in _BY_TOPIC.values() for decoder in found.values()
}
