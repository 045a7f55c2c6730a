"""What one party signed, beside the signature that carries it through queues, the wire and evidence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, cast

from protocol.codec import exact_keys
from protocol.errors import BadInput
from protocol.structs import Heartbeat, JobOrder, JobReceipt, JobSpec, Offer, from_json, to_json
from protocol.typed_data import hash_struct
from protocol.units import Digest, OfferHash, hex_bytes, shorten, to_hex

MAX_ARTIFACTS: Final = 8192
_ARTIFACT_NAME: Final = re.compile(r"output|trace|log|checkpoint/(?:0|[1-9][0-9]{0,17})", re.ASCII)
_SIGNATURE_BYTES: Final = 65
MAX_OFFER_SIGNATURE_BYTES: Final = 4096  # of a contract's EIP-1271 signature
_OFFER_SIGNATURE: Final = re.compile(rf"0x(?:[0-9a-f]{{2}}){{1,{MAX_OFFER_SIGNATURE_BYTES}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A worker's receipt and the SHA-256 of what it names: "output", "trace", "log", "checkpoint/<index>".

    `artifacts` are of plaintexts; `sealed` are of the ciphertexts that the oracle has, of all or of none.
    """

    receipt: JobReceipt
    signature: bytes
    artifacts: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))
    sealed: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def stored(self) -> Mapping[str, Digest]:
        """What lies in the store, by its name."""
        return self.sealed or self.artifacts

    def to_json(self) -> dict[str, Any]:
        document = {
            "receipt": to_json(self.receipt),
            "signature": to_hex(self.signature),
            "artifacts": _hex_of(self.artifacts),
        }
        return document | ({"sealed": _hex_of(self.sealed)} if self.sealed else {})

    @classmethod
    def from_json(cls, data: object) -> "SignedReceipt":
        keys = ("receipt", "signature", "artifacts")
        is_sealed = isinstance(data, dict) and "sealed" in cast(dict[str, object], data)
        found = exact_keys(cast(object, data), (*keys, "sealed") if is_sealed else keys, "SignedReceipt")
        artifacts = _artifacts(found["artifacts"])
        sealed = _artifacts(found["sealed"]) if is_sealed else {}
        if is_sealed and (not sealed or sealed.keys() != artifacts.keys()):
            raise BadInput("SignedReceipt.sealed: expected a ciphertext of each artifact, or no such key")
        return cls(
            from_json(JobReceipt, found["receipt"]),
            _signature(found["signature"], "SignedReceipt.signature"),
            MappingProxyType(artifacts),
            MappingProxyType(sealed),
        )


@dataclass(frozen=True, slots=True)
class SignedHeartbeat:
    heartbeat: Heartbeat
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        return {"heartbeat": to_json(self.heartbeat), "signature": to_hex(self.signature)}

    @classmethod
    def from_json(cls, data: object) -> "SignedHeartbeat":
        found = exact_keys(data, ("heartbeat", "signature"), "SignedHeartbeat")
        signature = _signature(found["signature"], "SignedHeartbeat.signature")
        return cls(from_json(Heartbeat, found["heartbeat"]), signature)


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """A renter's order; its signature is None where the lease's own terms carry the order's hash."""

    order: JobOrder
    signature: bytes | None
    spec: JobSpec

    def to_json(self) -> dict[str, Any]:
        return {
            "order": to_json(self.order),
            "signature": None if self.signature is None else to_hex(self.signature),
            "spec": to_json(self.spec),
        }

    @classmethod
    def from_json(cls, data: object) -> "SignedOrder":
        found = exact_keys(data, ("order", "signature", "spec"), "SignedOrder")
        signature = found["signature"]
        return cls(
            from_json(JobOrder, found["order"]),
            None if signature is None else _signature(signature, "SignedOrder.signature"),
            from_json(JobSpec, found["spec"]),
        )


@dataclass(frozen=True, slots=True)
class SignedOffer:
    """An offer that costs its provider nothing: whoever has it may open a lease on it."""

    offer: Offer
    signature: bytes

    @property
    def offer_hash(self) -> OfferHash:
        return OfferHash(hash_struct(self.offer))

    def to_json(self) -> dict[str, Any]:
        return {"offer": to_json(self.offer), "signature": to_hex(self.signature)}

    @classmethod
    def from_json(cls, data: object) -> "SignedOffer":
        found = exact_keys(data, ("offer", "signature"), "SignedOffer")
        signature = found["signature"]
        if not isinstance(signature, str) or not _OFFER_SIGNATURE.fullmatch(signature):
            raise BadInput(f"SignedOffer: expected a signature in 0x hex, got {shorten(signature)}")
        return cls(from_json(Offer, found["offer"]), bytes.fromhex(signature[2:]))


def _hex_of(digests: Mapping[str, Digest]) -> dict[str, str]:
    return {name: digest.hex() for name, digest in sorted(digests.items())}


def _signature(data: object, subject: str) -> bytes:
    return hex_bytes(data, _SIGNATURE_BYTES, subject)


def _artifacts(data: object) -> dict[str, Digest]:
    if not isinstance(data, dict):
        raise BadInput(f"SignedReceipt.artifacts: expected an object, got {shorten(data)}")
    found = cast(dict[str, Any], data)
    if len(found) > MAX_ARTIFACTS:
        raise BadInput(f"SignedReceipt.artifacts: expected at most {MAX_ARTIFACTS}, got {len(found)}")
    return {_artifact_name(name): _sha256(digest, name) for name, digest in found.items()}


def _artifact_name(name: str) -> str:
    if not _ARTIFACT_NAME.fullmatch(name):
        raise BadInput(
            f"SignedReceipt.artifacts: expected output, trace, log or checkpoint/<i>, got {shorten(name)}"
        )
    return name


def _sha256(digest: object, name: str) -> Digest:
    if not isinstance(digest, str):
        raise BadInput(f"SignedReceipt.artifacts[{name}]: expected 64 hex digits, got {shorten(digest)}")
    return Digest(hex_bytes(f"0x{digest}", 32, f"SignedReceipt.artifacts[{name}]"))
