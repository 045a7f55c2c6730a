"""Whose keys artifacts are sealed to: a renter's, out of its wallet; those of verifiers and arbiters, signed.

What is signed here is text of EIP-191, so that any wallet shows what it is asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.codec import exact_keys
from protocol.errors import BadInput, SignatureInvalid
from protocol.keccak import keccak256
from protocol.sealing import KEY_BYTES, check_reader, is_sealed, readers_of
from protocol.signed import SignedOrder
from protocol.structs import JobClass
from protocol.typed_data import SIGNATURE_BYTES, Domain, Signer, recover_digest
from protocol.units import Address, hex_bytes, parse_address, shorten, to_hex

_RENTER_INFO: Final = b"gpgpu renter's encryption key 1"


class ReaderRole(StrEnum):
    """Who reads beside renter and worker: verifiers watch, arbiters of the quorum decide disputes."""

    VERIFIER = "verifier"
    COMMITTEE = "committee"


@dataclass(frozen=True, slots=True)
class ReaderKey:
    """`account` says of itself that artifacts may be sealed to the X25519 `key` for it to read."""

    role: ReaderRole
    account: Address
    key: bytes
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "role": self.role.value,
            "account": self.account,
            "key": to_hex(self.key),
            "signature": to_hex(self.signature),
        }

    @classmethod
    def from_json(cls, data: object) -> "ReaderKey":
        """BadInput where it is malformed; the signature is not checked."""
        found = exact_keys(data, ("role", "account", "key", "signature"), "ReaderKey")
        if found["role"] not in tuple(ReaderRole):
            raise BadInput(f"ReaderKey.role: expected verifier or committee, got {shorten(found['role'])}")
        return cls(
            ReaderRole(found["role"]),
            parse_address(found["account"], "ReaderKey.account"),
            hex_bytes(found["key"], KEY_BYTES, "ReaderKey.key"),
            hex_bytes(found["signature"], SIGNATURE_BYTES, "ReaderKey.signature"),
        )


def sign_reader_key(domain: Domain, role: ReaderRole, key: bytes, account: Signer) -> ReaderKey:
    check_reader(key)
    address = parse_address(account.address)
    signature = _sign_text(_statement(domain, role, address, key), account)
    return ReaderKey(role, address, key, signature)


def check_reader_key(domain: Domain, reader: ReaderKey) -> None:
    """Returns where the account itself has published the key. SignatureInvalid, BadInput."""
    check_reader(reader.key)
    text = _statement(domain, reader.role, reader.account, reader.key)
    actual = recover_digest(_text_digest(text), reader.signature)
    if actual != reader.account:
        raise SignatureInvalid(f"reader key: expected a signature by {reader.account}, got {actual}")


def renter_key(domain: Domain, account: Signer) -> X25519PrivateKey:
    """The same for the same wallet and market, wherever it is asked: a lost machine loses no result.

    The wallet must sign deterministically (RFC 6979), as those of V3 keystores do.
    """
    text = (
        "GPGPU: my encryption key\n\n"
        "Whoever has this signature can read every artifact of my jobs on this market. "
        "Sign it in a client that you trust, and nowhere else.\n\n"
        f"Chain: {domain.chain_id}\nMarket: {domain.market}\nAccount: {account.address}"
    )
    signature = _sign_text(text, account)
    derived = HKDF(SHA256(), KEY_BYTES, None, _RENTER_INFO).derive(signature)
    return X25519PrivateKey.from_private_bytes(derived)


def checked_as(signed: SignedOrder, checkers: Iterable[bytes]) -> JobClass:
    """The class by which a job can be checked: OPAQUE where it is sealed and no checker is a reader."""
    bundle = signed.order.bundle
    if not is_sealed(bundle) or set(readers_of(bundle)) & set(checkers):
        return signed.spec.job_class
    return JobClass.OPAQUE


def _statement(domain: Domain, role: ReaderRole, account: Address, key: bytes) -> str:
    return (
        f"GPGPU: artifacts may be sealed to this key for me to read as {role.value}\n\n"
        f"Chain: {domain.chain_id}\nMarket: {domain.market}\nAccount: {account}\nKey: {to_hex(key)}"
    )


def _sign_text(text: str, account: Signer) -> bytes:
    return bytes(account.unsafe_sign_hash(_text_digest(text)).signature)


def _text_digest(text: str) -> bytes:
    data = text.encode()
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)
