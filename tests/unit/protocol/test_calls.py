"""Calls and reverts: encoded as the ABI says, reasons by name."""

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from protocol.abi import CONTRACTS, entries
from protocol.calls import Call, call_object, decode_outputs, decode_revert, encode_call, revert_of
from protocol.errors import BadInput, RpcError, TransactionReverted
from protocol.keccak import keccak256
from protocol.units import address_of

TOKEN, ACCOUNT = address_of(b"\x0a" * 20), address_of(b"\x0b" * 20)
FUNCTIONS = entries("LeaseMarket", "function")
NOTHING = keccak256(b"NothingToWithdraw(address,address)")[:4] + abi_encode(["address"] * 2, [TOKEN, ACCOUNT])


def test_encode_call__withdraw__is_selector_and_words() -> None:
    data = encode_call(FUNCTIONS["withdraw"], (TOKEN, ACCOUNT))
    assert data == keccak256(b"withdraw(address,address)")[:4] + abi_encode(["address"] * 2, [TOKEN, ACCOUNT])
    assert call_object(Call(TOKEN, b"\1", 255), ACCOUNT) == {
        "to": TOKEN,
        "data": "0x01",
        "value": "0xff",
        "from": ACCOUNT,
    }


def test_encode_call__value_out_of_its_type__is_refused() -> None:
    with pytest.raises(BadInput, match="setToken"):
        encode_call(FUNCTIONS["setToken"], (TOKEN, True, 2**16))


def test_decode_outputs__of_another_contract__are_refused() -> None:
    with pytest.raises(BadInput, match="feesOf: expected its outputs, got 0 bytes"):
        decode_outputs(FUNCTIONS["feesOf"], b"")


def test_decode_revert__custom_error__has_name_and_arguments() -> None:
    error = decode_revert(NOTHING)
    assert (error.name, error.arguments) == ("NothingToWithdraw", {"token": TOKEN, "account": ACCOUNT})
    assert str(error) == f"NothingToWithdraw(token={TOKEN}, account={ACCOUNT})"


def test_decode_revert__solidity_own__is_named() -> None:
    reason = keccak256(b"Error(string)")[:4] + abi_encode(["string"], ["too late"])
    assert (decode_revert(reason).name, str(decode_revert(reason))) == ("Error", "too late")
    panic = keccak256(b"Panic(uint256)")[:4] + abi_encode(["uint256"], [0x11])
    assert (decode_revert(panic).name, str(decode_revert(panic))) == ("Panic", "panic 0x11")


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\2\3\4" + bytes(64), NOTHING[:40]])
def test_decode_revert__unknown_data__keeps_the_nodes_message(data: bytes) -> None:
    error = decode_revert(data, "execution reverted")
    assert (error.name, error.arguments) == ("", {})
    assert "execution reverted" in str(error)


@given(st.binary(max_size=200), st.sampled_from([NOTHING[:4], b"\x08\xc3\x79\xa0", b"\x4e\x48\x7b\x71", b""]))
def test_decode_revert__random_data__never_fails(data: bytes, selector: bytes) -> None:
    assert isinstance(decode_revert(selector + data), TransactionReverted)


@pytest.mark.parametrize(
    "data", ["0x" + NOTHING.hex(), {"data": "0x" + NOTHING.hex()}, {"data": {"data": "0x" + NOTHING.hex()}}]
)
def test_revert_of__data_wherever_nodes_put_it__is_decoded(data: object) -> None:
    error = revert_of(RpcError("eth_call", 3, "execution reverted", data))
    assert isinstance(error, TransactionReverted) and error.name == "NothingToWithdraw"


@pytest.mark.parametrize("data", [None, "0xzz", 5, [], {"data": None}])
def test_revert_of__another_error__stays_what_it_is(data: object) -> None:
    error = RpcError("eth_call", -32_000, "header not found", data)
    assert revert_of(error) is error
    assert isinstance(revert_of(RpcError("eth_call", 3, "execution reverted", data)), TransactionReverted)


def test_errors__of_all_contracts__share_no_selector_with_other_arguments() -> None:
    found: dict[bytes, str] = {}
    for contract in CONTRACTS:
        for entry in entries(contract, "error").values():
            assert found.setdefault(entry.topic[:4], entry.signature) == entry.signature
