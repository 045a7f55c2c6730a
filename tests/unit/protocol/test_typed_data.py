"""EIP-712 as eth_account computes it, and signatures that exist in one form only."""

from contextlib import suppress
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from protocol.abi import struct_fields
from protocol.errors import BadInput, SignatureInvalid
from protocol.keccak import keccak256
from protocol.structs import STRUCTS, Heartbeat, Offer, Terms, abi_tuple
from protocol.typed_data import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    Domain,
    check_signature,
    digest,
    hash_struct,
    recover,
    sign,
    type_hash,
    type_string,
)
from protocol.units import LeaseId, UnitId, address_of
from tests.unit.protocol.values import values_of

DOMAIN = Domain(31_337, address_of(b"\x11" * 20))
ACCOUNT = Account.from_key(b"\x07" * 32)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BEAT = Heartbeat(LeaseId(b"\1" * 32), UnitId(b"\2" * 32), 5, b"\3" * 32, 6, True)
SIGNATURE = sign(DOMAIN, BEAT, ACCOUNT)


def eth_account_types(name: str, found: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, str]]]:
    """The struct's types as eth_account takes them, written down independently of `type_string`."""
    found[name] = []
    for field in struct_fields(name):
        kind = field.abi_type if field.struct is None else field.abi_type.replace("tuple", field.struct)
        found[name].append({"name": field.abi_name, "type": kind})
        if field.struct is not None and field.struct not in found:
            eth_account_types(field.struct, found)
    return found


def message_of(name: str, members: tuple[Any, ...]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for field, member in zip(struct_fields(name), members, strict=True):
        if field.struct and isinstance(member, list):
            named[field.abi_name] = [message_of(field.struct, item) for item in member]
        else:
            named[field.abi_name] = message_of(field.struct, member) if field.struct else member
    return named


def eth_account_digest(value: Any) -> bytes:
    name = type(value).__name__
    domain = {
        "name": DOMAIN_NAME,
        "version": DOMAIN_VERSION,
        "chainId": DOMAIN.chain_id,
        "verifyingContract": DOMAIN.market,
    }
    signable = encode_typed_data(
        domain_data=domain,
        message_types=eth_account_types(name, {}),
        message_data=message_of(name, abi_tuple(value)),
    )
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


@given(st.sampled_from(sorted(STRUCTS)).flatmap(lambda name: values_of(STRUCTS[name])))
def test_digest__any_struct__is_as_eth_account_computes_it(value: Any) -> None:
    assert digest(DOMAIN, value) == eth_account_digest(value)


def test_type_string__nested_struct__is_appended() -> None:
    text = type_string(Terms)
    assert text.startswith("Terms(Offer offer,address renter,uint40 start,")
    assert text.endswith(type_string(Offer))
    assert type_hash(Terms) == keccak256(text.encode())


@given(st.binary(min_size=32, max_size=32))
def test_recover__what_sign_gave__is_the_signer(lease_id: bytes) -> None:
    beat = Heartbeat(LeaseId(lease_id), UnitId(b"\2" * 32), 5, b"\3" * 32, 6, False)
    signature = sign(DOMAIN, beat, ACCOUNT)
    assert recover(DOMAIN, beat, signature) == ACCOUNT.address
    assert signature[64] in (27, 28)


def test_recover__other_message_chain_or_market__is_somebody_else() -> None:
    other = Heartbeat(BEAT.lease_id, BEAT.unit_id, 5, BEAT.block_hash, 6, False)
    assert recover(DOMAIN, other, SIGNATURE) != ACCOUNT.address
    for domain in (Domain(1, DOMAIN.market), Domain(DOMAIN.chain_id, address_of(b"\x12" * 20))):
        assert recover(domain, BEAT, SIGNATURE) != ACCOUNT.address
        with pytest.raises(SignatureInvalid, match="expected a signature by"):
            check_signature(domain, BEAT, SIGNATURE, ACCOUNT.address)
    check_signature(DOMAIN, BEAT, SIGNATURE, ACCOUNT.address)


def malleated(signature: bytes) -> bytes:
    """The twin of a signature with the high s: the same signer for a careless verifier."""
    s = ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([55 - signature[64]])


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (malleated(SIGNATURE), "low s"),
        (SIGNATURE[:64] + bytes([SIGNATURE[64] - 27]), "v of 27 or 28"),
        (SIGNATURE[:64] + b"\x1d", "v of 27 or 28"),
        (SIGNATURE[:64], "expected 65 bytes, got 64"),
        (SIGNATURE + b"\0", "expected 65 bytes, got 66"),
        (b"", "expected 65 bytes, got 0"),
        (bytes(64) + b"\x1b", "r within"),
        (SIGNATURE[:32] + bytes(32) + b"\x1b", "low s"),
        (ORDER.to_bytes(32) + SIGNATURE[32:], "r within"),
        (b"\xff" * 32 + SIGNATURE[32:], "r within"),
        ((5).to_bytes(32) + SIGNATURE[32:], "no public key"),
    ],
)
def test_recover__malleable_or_malformed__is_refused(signature: bytes, message: str) -> None:
    with pytest.raises(SignatureInvalid, match=message):
        recover(DOMAIN, BEAT, signature)


@given(st.binary(min_size=65, max_size=65))
def test_recover__random_bytes__never_fail_otherwise(signature: bytes) -> None:
    with suppress(SignatureInvalid):
        assert recover(DOMAIN, BEAT, signature) != ACCOUNT.address


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_number": 2**64}, r"Heartbeat\.block_number: expected uint64"),
        ({"block_number": -1}, r"Heartbeat\.block_number: expected uint64"),
        ({"lease_id": b"\1"}, r"Heartbeat\.lease_id: expected 32 bytes, got 1"),
    ],
)
def test_hash_struct__value_out_of_its_type__is_refused(change: dict[str, Any], message: str) -> None:
    members = {name: getattr(BEAT, name) for name in Heartbeat.__slots__}
    with pytest.raises(BadInput, match=message):
        hash_struct(Heartbeat(**{**members, **change}))
