"""EIP-712: type strings derived from the ABI, hashes, signatures.

hashStruct(s) = keccak(typeHash ‖ encodeData(s)); digest = keccak(0x1901 ‖ domainSeparator ‖ hashStruct).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Protocol, cast

from coincurve import PublicKey

from protocol.abi import Field, struct_fields
from protocol.codec import integer_range
from protocol.errors import BadInput, SignatureInvalid
from protocol.keccak import keccak256
from protocol.structs import STRUCTS
from protocol.units import Address, Digest, address_bytes, address_of, shorten

DOMAIN_NAME: Final = "GPGPU"
DOMAIN_VERSION: Final = "1"
SIGNATURE_BYTES: Final = 65

_DOMAIN_TYPE: Final = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER: Final = _ORDER // 2

_Word = Callable[[Any], bytes]


class SignedHash(Protocol):
    """What a key gives for a digest: eth_account's SignedMessage is one."""

    @property
    def signature(self) -> bytes: ...


class Signer(Protocol):
    """Holds a key; eth_account's LocalAccount is one."""

    @property
    def address(self) -> str: ...

    def unsafe_sign_hash(self, message_hash: Any) -> SignedHash: ...


@dataclass(frozen=True, slots=True)
class Domain:
    """Chain and LeaseMarket that a signature is for."""

    chain_id: int
    market: Address
    separator: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = (
            keccak256(_DOMAIN_TYPE),
            keccak256(DOMAIN_NAME.encode()),
            keccak256(DOMAIN_VERSION.encode()),
            self.chain_id.to_bytes(32),
            address_bytes(self.market).rjust(32, b"\0"),
        )
        object.__setattr__(self, "separator", keccak256(b"".join(words)))


@functools.cache
def type_string(cls: type) -> str:
    """As EIP-712 writes it: the struct's own type, then those it refers to, by name."""
    name = cls.__name__
    others = sorted(_referenced(name) - {name})
    return "".join(_own_type(struct) for struct in (name, *others))


@functools.cache
def type_hash(cls: type) -> Digest:
    return Digest(keccak256(type_string(cls).encode()))


def hash_struct(value: object) -> Digest:
    """BadInput where a field does not fit its type."""
    return Digest(_struct_encoder(type(value))(value))


def digest(domain: Domain, value: object) -> Digest:
    """What is signed, and what ids of leases and jobs are."""
    return digest_of(domain, hash_struct(value))


def digest_of(domain: Domain, struct_hash: bytes) -> Digest:
    """As `digest`, for a hashStruct at hand."""
    return Digest(keccak256(b"\x19\x01" + domain.separator + struct_hash))


def sign(domain: Domain, value: object, account: Signer) -> bytes:
    """The 65 bytes r ‖ s ‖ v (v of 27 or 28, low s) of the account's signature over the value's digest."""
    return bytes(account.unsafe_sign_hash(digest(domain, value)).signature)


def recover(domain: Domain, value: object, signature: bytes) -> Address:
    """Who signed. SignatureInvalid for other sizes, high s, other v, and points that are not on the curve."""
    return recover_digest(digest(domain, value), signature)


def recover_digest(signed_digest: bytes, signature: bytes) -> Address:
    """As `recover`, for a digest at hand."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid(f"signature: expected {SIGNATURE_BYTES} bytes, got {len(signature)}")
    r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    if v not in (27, 28):
        raise SignatureInvalid(f"signature: expected v of 27 or 28, got {v}")
    if not 0 < r < _ORDER:
        raise SignatureInvalid("signature: expected r within the curve's order")
    if not 0 < s <= _HALF_ORDER:
        raise SignatureInvalid("signature: expected the low s, got zero or the high one")
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes((v - 27,)), signed_digest, hasher=None
        )
    except Exception as error:  # coincurve raises bare Exception where no point has this r
        raise SignatureInvalid("signature: recovers no public key") from error
    return address_of(keccak256(key.format(compressed=False)[1:])[12:])


def check_signature(domain: Domain, value: object, signature: bytes, expected: str) -> None:
    """Returns where `expected` signed. SignatureInvalid otherwise."""
    actual = recover(domain, value, signature)
    if actual != expected:
        raise SignatureInvalid(f"{type(value).__name__}: expected a signature by {expected}, got {actual}")


def _own_type(struct: str) -> str:
    members = ",".join(f"{_type_name(member)} {member.abi_name}" for member in struct_fields(struct))
    return f"{struct}({members})"


def _type_name(member: Field) -> str:
    if member.struct is None:
        return member.abi_type
    return member.struct + member.abi_type.removeprefix("tuple")


def _referenced(struct: str) -> set[str]:
    found = {struct}
    for member in struct_fields(struct):
        if member.struct is not None:
            found |= _referenced(member.struct)
    return found


@functools.cache
def _struct_encoder(cls: type) -> _Word:
    prefix = type_hash(cls)
    words = [(member.name, _encoder(member, member.abi_type)) for member in struct_fields(cls.__name__)]
    encoders = tuple(word for _, word in words)
    values_of = attrgetter(*(name for name, _ in words), "__class__")

    def encode(value: Any) -> bytes:
        if type(value) is not cls:
            raise BadInput(f"expected a {cls.__name__}, got {shorten(value)}")
        try:
            found = values_of(value)  # and the class, so that there are two or more
            return keccak256(
                prefix + b"".join([word(each) for word, each in zip(encoders, found, strict=False)])
            )
        except _Misfit as error:
            misfits = (name for name, word in words if _fails(word, getattr(value, name)))
            raise BadInput(f"{cls.__name__}.{next(misfits, '')}: {error}") from error

    return encode


class _Misfit(Exception):
    pass


def _fails(word: _Word, value: object) -> bool:
    try:
        word(value)
    except (_Misfit, BadInput):
        return True
    return False


def _encoder(member: Field, abi_type: str) -> _Word:
    if abi_type.endswith("]"):
        item = _encoder(member, abi_type[: abi_type.rindex("[")])
        return lambda value: keccak256(b"".join([item(part) for part in value]))
    if abi_type == "tuple":
        encode = _struct_encoder(STRUCTS[cast(str, member.struct)])
        # The same offer is in the terms of many leases.
        return functools.lru_cache(maxsize=1024)(encode) if member.struct == "Offer" else encode
    return _plain_encoder(abi_type)


@functools.cache
def _plain_encoder(abi_type: str) -> _Word:
    if abi_type == "string":
        return lambda value: keccak256(value.encode())
    if abi_type == "bytes":
        return keccak256
    if abi_type == "bool":
        return lambda value: bytes(31) + (b"\1" if value else b"\0")
    if abi_type == "address":
        return lambda value: bytes(12) + address_bytes(value)
    if abi_type.startswith("bytes"):
        return _fixed_bytes_encoder(int(abi_type.removeprefix("bytes")))
    return _integer_encoder(abi_type)


def _fixed_bytes_encoder(size_bytes: int) -> _Word:
    padding = bytes(32 - size_bytes)

    def encode(value: bytes) -> bytes:
        if len(value) != size_bytes:
            raise _Misfit(f"expected {size_bytes} bytes, got {len(value)}")
        return value + padding

    return encode


def _integer_encoder(abi_type: str) -> _Word:
    allowed = integer_range(abi_type)
    low, high, signed = allowed[0], allowed[-1], allowed[0] < 0

    def encode(value: int) -> bytes:
        if not low <= value <= high:
            raise _Misfit(f"expected {abi_type}, got {shorten(int(value))}")
        return value.to_bytes(32, signed=signed)

    return encode
