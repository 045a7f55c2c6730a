"""Hex, addresses and names: one text for each value, everything else refused."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from protocol.units import (
    address_bytes,
    address_of,
    hex_bytes,
    pack_name,
    parse_address,
    shorten,
    to_hex,
    unpack_name,
)

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@given(st.binary(min_size=20, max_size=20))
def test_address_of__any_bytes__is_as_eth_utils_writes_it(raw: bytes) -> None:
    assert address_of(raw) == to_checksum_address(raw)
    assert address_bytes(address_of(raw)) == raw
    assert parse_address(address_of(raw)) == address_of(raw)


@pytest.mark.parametrize(
    "text",
    [
        ADDRESS.lower(),
        ADDRESS.upper(),
        ADDRESS[2:],
        ADDRESS + "\n",
        ADDRESS[:-1],
        "",
        None,
        5,
        "0x" + "٣" * 40,
    ],
)
def test_parse_address__anything_but_the_checksummed_text__is_refused(text: object) -> None:
    with pytest.raises(BadInput, match="address"):
        parse_address(text)


@given(st.binary(max_size=64))
def test_hex_bytes__what_to_hex_wrote__comes_back(data: bytes) -> None:
    assert hex_bytes(to_hex(data), len(data)) == data


@pytest.mark.parametrize(
    "text", ["", "0", "0X00", "0x0", "0xAB", "0x00\n", " 0x00", "0xzz", b"0x00", 0, None]
)
def test_hex_bytes__another_text__is_refused(text: object) -> None:
    with pytest.raises(BadInput, match="expected 0x"):
        hex_bytes(text)


def test_hex_bytes__wrong_size__says_expected_and_actual() -> None:
    with pytest.raises(BadInput, match="nonce: expected 32 bytes, got 1"):
        hex_bytes("0x00", 32, "nonce")


def test_pack_name__gpu_class__is_padded_and_comes_back() -> None:
    assert pack_name("RTX 4090") == b"RTX 4090" + bytes(24)
    assert unpack_name(pack_name("RTX 4090")) == "RTX 4090"


@pytest.mark.parametrize("name", ["", "x" * 33, "naïve", "a\nb", "a\0"])
def test_pack_name__not_printable_ascii__is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        pack_name(name)


@pytest.mark.parametrize(
    "packed", [bytes(32), b"\xff" * 32, b"a\0b".ljust(32, b"\0"), b"a\nb".ljust(32, b"\0")]
)
def test_unpack_name__not_a_name__is_shown_as_hex(packed: bytes) -> None:
    assert unpack_name(packed) == to_hex(packed)


def test_shorten__hostile_value__stays_short() -> None:
    for value in ("x" * 10_000, b"x" * 10_000, 10**5000, {"a": "x" * 10_000}, [1] * 9999):
        assert len(shorten(value)) <= 80
