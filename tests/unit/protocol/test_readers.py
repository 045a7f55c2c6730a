"""Keys of readers: out of a wallet, or published under a signature."""

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from protocol.errors import BadInput, SignatureInvalid
from protocol.readers import (
    ReaderKey,
    ReaderRole,
    check_reader_key,
    checked_as,
    renter_key,
    sign_reader_key,
)
from protocol.sealing import WRAPPED_BYTES
from protocol.signed import SignedOrder
from protocol.structs import ArtifactRef, JobClass
from protocol.typed_data import Domain
from protocol.units import Digest, address_of, to_hex
from tests.unit.oracle.oracle_samples import make_order

DOMAIN = Domain(31337, address_of(b"\x09" * 20))
WALLET, OTHER = Account.from_key(b"\x01" * 32), Account.from_key(b"\x02" * 32)
KEY = bytes.fromhex("a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209")


def test_renter_key__same_wallet_and_market__same_key_for_ever() -> None:
    key = renter_key(DOMAIN, WALLET).private_bytes_raw()
    assert key == renter_key(DOMAIN, Account.from_key(b"\x01" * 32)).private_bytes_raw()
    assert key.hex() == "acb36162e14a21010831d1585ca8b2e80ecfe847b6aa24690ff17a9eedf0c433"
    others = (
        renter_key(DOMAIN, OTHER),
        renter_key(Domain(1, DOMAIN.market), WALLET),
        renter_key(Domain(31337, address_of(b"\x08" * 20)), WALLET),
    )
    assert len({key, *(item.private_bytes_raw() for item in others)}) == 4


def test_reader_key__signed__is_its_accounts_and_travels_as_json() -> None:
    reader = sign_reader_key(DOMAIN, ReaderRole.COMMITTEE, KEY, WALLET)
    check_reader_key(DOMAIN, ReaderKey.from_json(reader.to_json()))
    text = (
        "GPGPU: artifacts may be sealed to this key for me to read as committee\n\n"
        f"Chain: 31337\nMarket: {DOMAIN.market}\nAccount: {WALLET.address}\nKey: {to_hex(KEY)}"
    )
    assert WALLET.sign_message(encode_defunct(text=text)).signature == reader.signature


@pytest.mark.parametrize(
    "changes", [{"role": ReaderRole.VERIFIER}, {"account": OTHER.address}, {"key": bytes(31) + b"\x09"}]
)
def test_reader_key__anything_altered__is_refused(changes: dict[str, object]) -> None:
    reader = replace(sign_reader_key(DOMAIN, ReaderRole.COMMITTEE, KEY, WALLET), **changes)  # type: ignore[arg-type]
    with pytest.raises((SignatureInvalid, BadInput)):
        check_reader_key(DOMAIN, reader)
    with pytest.raises(SignatureInvalid):
        check_reader_key(Domain(1, DOMAIN.market), sign_reader_key(DOMAIN, ReaderRole.COMMITTEE, KEY, WALLET))


def test_reader_key__malformed__bad_input() -> None:
    good = sign_reader_key(DOMAIN, ReaderRole.VERIFIER, KEY, WALLET).to_json()
    for changes in ({"role": "auditor"}, {"key": "0x00"}, {"more": 1}, {"account": "0x1"}):
        with pytest.raises(BadInput):
            ReaderKey.from_json({**good, **changes})


def test_checked_as__sealed_without_a_checker__is_opaque() -> None:
    plain = make_order()
    spec = replace(plain.spec, job_class=JobClass.TRACED)
    checker, renter = b"c" * 32, b"r" * 32

    def order(*readers: bytes) -> SignedOrder:
        wrapped = tuple(reader + bytes(WRAPPED_BYTES - 32) for reader in readers)
        bundle = ArtifactRef(plain.order.bundle.plaintext_digest, Digest(b"z" * 32), 9, wrapped)
        return SignedOrder(replace(plain.order, bundle=bundle), None, spec)

    assert checked_as(SignedOrder(plain.order, None, spec), [checker]) is JobClass.TRACED
    assert checked_as(order(renter, checker), [checker]) is JobClass.TRACED
    assert checked_as(order(renter), [checker]) is JobClass.OPAQUE
    assert checked_as(order(renter, checker), []) is JobClass.OPAQUE
