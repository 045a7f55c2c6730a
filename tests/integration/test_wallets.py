"""Signatures of keys and of contracts, asked of a real chain."""

import pytest

from protocol.errors import SignatureInvalid
from protocol.typed_data import sign
from protocol.units import address_of
from protocol.wallets import check_account_signature
from tests.anvil import Anvil
from tests.unit.protocol.parties import DOMAIN, OFFER, PROVIDER, STRANGER

WALLET = address_of(b"\x5a" * 20)
RETURN_WORD = "60e01b60005260206000f3"
YES, OTHER = f"0x631626ba7e{RETURN_WORD}", f"0x63ffffffff{RETURN_WORD}"
REVERTS, SHORT, FAILS = "0x60006000fd", "0x60006000f3", "0xfe"


def check(anvil: Anvil, signature: bytes, account: str = WALLET) -> None:
    check_account_signature(anvil.web3, DOMAIN, OFFER, signature, account)  # type: ignore[arg-type]


def test_check__contract_that_says_yes__is_a_signature(still_anvil: Anvil) -> None:
    still_anvil.call("anvil_setCode", WALLET, YES)
    check(still_anvil, b"whatever its owners agreed on")


@pytest.mark.parametrize("code", [OTHER, REVERTS, SHORT, FAILS, "0x"])
def test_check__contract_that_does_not_say_yes__is_none(still_anvil: Anvil, code: str) -> None:
    still_anvil.call("anvil_setCode", WALLET, code)
    with pytest.raises(SignatureInvalid):
        check(still_anvil, bytes(65))


def test_check__key__as_the_contracts_do(still_anvil: Anvil) -> None:
    check(still_anvil, sign(DOMAIN, OFFER, PROVIDER), PROVIDER.address)
    with pytest.raises(SignatureInvalid):
        check(still_anvil, sign(DOMAIN, OFFER, STRANGER), PROVIDER.address)
