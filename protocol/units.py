"""Names for the plain values that must not be confused, and the text form of names in 32 bytes."""

import functools
import re
from typing import Final, NewType

from protocol.errors import BadInput
from protocol.keccak import keccak256

Digest = NewType("Digest", bytes)  # 32 bytes
LeaseId = NewType("LeaseId", bytes)  # EIP-712 digest of Terms
JobId = NewType("JobId", bytes)  # EIP-712 digest of a JobOrder
UnitId = NewType("UnitId", bytes)  # keccak-256 of provider, node and GPU ids
OfferHash = NewType("OfferHash", bytes)  # hashStruct of an Offer
ProofHash = NewType("ProofHash", bytes)  # hashStruct of a CompletionProof
Address = NewType("Address", str)  # with the checksum of EIP-55
Units = NewType("Units", int)  # base units of a token
Seconds = NewType("Seconds", int)
UnixTime = NewType("UnixTime", int)  # seconds since 1970
BlockNumber = NewType("BlockNumber", int)

ZERO_BYTES32: Final = bytes(32)
ZERO_DIGEST: Final = Digest(ZERO_BYTES32)
ZERO_ADDRESS: Final = Address("0x" + "0" * 40)

_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_HEX_ANY_CASE: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


def to_hex(value: bytes) -> str:
    """0x and lower case digits."""
    return "0x" + value.hex()


def hex_bytes(text: object, size_bytes: int | None = None, subject: str = "value") -> bytes:
    """Strict inverse of `to_hex`; BadInput for other text or another number of bytes."""
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise BadInput(f"{subject}: expected 0x and pairs of lower case hex digits, got {shorten(text)}")
    value = bytes.fromhex(text[2:])
    if size_bytes is not None and len(value) != size_bytes:
        raise BadInput(f"{subject}: expected {size_bytes} bytes, got {len(value)}")
    return value


@functools.lru_cache(maxsize=8192)
def address_of(raw: bytes) -> Address:
    """The checksummed form of 20 bytes."""
    if len(raw) != 20:
        raise BadInput(f"address: expected 20 bytes, got {len(raw)}")
    digits = raw.hex()
    nibbles = keccak256(digits.encode()).hex()
    return Address(
        "0x" + "".join(d.upper() if n > "7" else d for d, n in zip(digits, nibbles[:40], strict=True))
    )


def parse_address(text: object, subject: str = "address") -> Address:
    """An address as written by people and files: its checksum must be right. BadInput otherwise."""
    if not isinstance(text, str) or not _HEX_ANY_CASE.fullmatch(text):
        raise BadInput(f"{subject}: expected 0x and 40 hex digits, got {shorten(text)}")
    expected = address_of(bytes.fromhex(text[2:]))
    if text != expected:
        raise BadInput(f"{subject}: expected the checksummed {expected}, got {text}")
    return expected


@functools.lru_cache(maxsize=8192)
def address_bytes(address: str) -> bytes:
    """The 20 bytes of an address."""
    if not _HEX_ANY_CASE.fullmatch(address):
        raise BadInput(f"address: expected 0x and 40 hex digits, got {shorten(address)}")
    return bytes.fromhex(address[2:])


def pack_name(name: str) -> bytes:
    """Printable ASCII of at most 32 characters, right-padded with zeros (gpuClass, nodeId)."""
    if not name or len(name) > 32 or not name.isascii() or not name.isprintable():
        raise BadInput(f"name: expected 1 to 32 printable ASCII characters, got {shorten(name)}")
    return name.encode().ljust(32, b"\0")


def unpack_name(packed: bytes) -> str:
    """Inverse of `pack_name` for display; what is not such a name is shown as hex."""
    name = packed.rstrip(b"\0")
    if name and name.isascii() and name.decode().isprintable():
        return name.decode()
    return to_hex(packed)


def shorten(value: object, limit: int = 80) -> str:
    """`repr` for messages, short whatever a hostile sender put there."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if not isinstance(value, str | bytes | int | float | None):
        return f"a {type(value).__name__}"
    text = repr(value[: limit * 2]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
