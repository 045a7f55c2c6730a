"""The events of our contracts, each a class with the fields of the ABI; decoding, and JSON for storage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from eth_abi.exceptions import DecodingError

from protocol.abi import Entry, entries
from protocol.abi_bytes import abi_decode
from protocol.codec import Codec, read_object, write_object
from protocol.errors import BadInput, UnknownEvent
from protocol.logs import LogEntry, LogPosition, fetch_logs
from protocol.structs import REGISTRY, CompletionProof, NoticeReason, Offer, Terms, Unit
from protocol.units import Address, Digest, LeaseId, OfferHash, ProofHash, UnitId, shorten, to_hex

__all__ = ["EVENTS", "Event", "LogEntry", "LogPosition", "decode", "fetch_logs", "from_json", "to_json"]


@dataclass(frozen=True, slots=True)
class Event:
    """`position` says where the chain holds it."""

    position: LogPosition


@dataclass(frozen=True, slots=True)
class Staked(Event):
    provider: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UnbondingStarted(Event):
    """`unbonding` is all that is unbonding now."""

    provider: Address
    unbonding: int
    unbond_at: int


@dataclass(frozen=True, slots=True)
class UnbondingCancelled(Event):
    provider: Address
    amount: int


@dataclass(frozen=True, slots=True)
class StakeWithdrawn(Event):
    provider: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UnitRegistered(Event):
    unit_id: UnitId
    provider: Address
    unit: Unit
    gpu_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class UnitRetired(Event):
    unit_id: UnitId
    provider: Address


@dataclass(frozen=True, slots=True)
class WorkerRotated(Event):
    unit_id: UnitId
    worker: Address
    encryption_key: bytes


@dataclass(frozen=True, slots=True)
class CompensationWithdrawn(Event):
    account: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class OfferListed(Event):
    offer_hash: OfferHash
    provider: Address
    unit_id: UnitId
    offer: Offer


@dataclass(frozen=True, slots=True)
class OfferUnlisted(Event):
    offer_hash: OfferHash
    provider: Address


@dataclass(frozen=True, slots=True)
class LeaseOpened(Event):
    lease_id: LeaseId
    renter: Address
    provider: Address
    terms: Terms
    deposit: int


@dataclass(frozen=True, slots=True)
class ProofPosted(Event):
    lease_id: LeaseId
    proof_hash: ProofHash
    proof: CompletionProof
    matures_at: int


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """`settled_seconds` is cumulative; `pay` has the fee taken off."""

    lease_id: LeaseId
    proof_hash: ProofHash
    settled_seconds: int
    pay: int
    fee: int


@dataclass(frozen=True, slots=True)
class NoticeGiven(Event):
    """`penalty_seconds` is cumulative."""

    lease_id: LeaseId
    by: Address
    end: int
    penalty_seconds: int
    reason: NoticeReason
    evidence: Digest


@dataclass(frozen=True, slots=True)
class HoursReleased(Event):
    lease_id: LeaseId
    unit_id: UnitId


@dataclass(frozen=True, slots=True)
class LeaseClosed(Event):
    lease_id: LeaseId
    settled_seconds: int
    refund: int
    compensation: int


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    token: Address
    account: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class TokenAllowed(Event):
    token: Address
    allowed: bool


@dataclass(frozen=True, slots=True)
class FeeChanged(Event):
    fee_bps: int


@dataclass(frozen=True, slots=True)
class TreasuryChanged(Event):
    treasury: Address


@dataclass(frozen=True, slots=True)
class OwnershipTransferStarted(Event):
    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class OwnershipTransferred(Event):
    previous_owner: Address
    new_owner: Address


EVENTS: Final[Mapping[str, type[Event]]] = {cls.__name__: cls for cls in Event.__subclasses__()}


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Made once per event: which topics and which data make which fields."""

    cls: type[Event]
    codecs: tuple[tuple[str, Codec], ...]
    indexed: tuple[tuple[str, str], ...]  # name, ABI type
    data_names: tuple[str, ...]
    data_types: tuple[str, ...]

    @classmethod
    def of(cls, entry: Entry) -> "_Decoder":
        data = [field for field in entry.fields if not field.indexed]
        return cls(
            cls=EVENTS[entry.name],
            codecs=tuple((field.name, REGISTRY.codec_of(field)) for field in entry.fields),
            indexed=tuple((field.name, field.abi_type) for field in entry.fields if field.indexed),
            data_names=tuple(field.name for field in data),
            data_types=tuple(field.canonical_type for field in data),
        )

    def decode(self, log: LogEntry) -> Event:
        topics = log.topics[1:]
        if len(topics) != len(self.indexed):
            raise UnknownEvent(
                f"{self.cls.__name__}: expected {len(self.indexed)} indexed fields, got {len(topics)}"
            )
        raw: dict[str, Any] = dict(zip(self.data_names, abi_decode(self.data_types, log.data), strict=True))
        for (name, abi_type), topic in zip(self.indexed, topics, strict=True):
            raw[name] = abi_decode((abi_type,), topic)[0]
        return self.cls(log.position, **{name: codec.from_abi(raw[name]) for name, codec in self.codecs})


def decode(log: LogEntry) -> Event:
    """The event that a log of one of our contracts holds. UnknownEvent where it holds none.

    Says nothing of who emitted it: fetch logs of the deployment's own addresses only.
    """
    decoder = _BY_TOPIC.get(log.topics[0]) if log.topics else None
    if decoder is None:
        topic = to_hex(log.topics[0]) if log.topics else "none"
        raise UnknownEvent(f"log {log.position.log_index} of {log.address}: unknown topic {topic}")
    try:
        return decoder.decode(log)
    except (DecodingError, BadInput, UnicodeDecodeError) as error:
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
    name, position = found.pop("event", None), found.pop("position", None)
    decoder = _BY_NAME.get(name) if isinstance(name, str) else None
    if decoder is None:
        raise BadInput(f"event: expected the name of an event, got {shorten(name)}")
    return decoder.cls(
        LogPosition.from_json(position), **read_object(decoder.codecs, found, decoder.cls.__name__)
    )


# EIP712DomainChanged is in the ABI because a library declares it; our contracts never emit it.
_ENTRIES: Final = [
    entry
    for contract in ("ProviderRegistry", "LeaseMarket")
    for entry in entries(contract, "event").values()
    if entry.name != "EIP712DomainChanged"
]
_BY_NAME: Final[Mapping[str, _Decoder]] = {entry.name: _Decoder.of(entry) for entry in _ENTRIES}
_BY_TOPIC: Final[Mapping[bytes, _Decoder]] = {entry.topic: _BY_NAME[entry.name] for entry in _ENTRIES}
