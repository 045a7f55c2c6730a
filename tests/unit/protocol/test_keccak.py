"""keccak-256 is the EVM's, not NIST's SHA3-256."""

from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from protocol.keccak import keccak256


def test_keccak256__empty__is_the_known_value() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(st.binary(max_size=500))
def test_keccak256__any_bytes__is_as_another_implementation_says(data: bytes) -> None:
    assert keccak256(data) == keccak256(memoryview(data)) == keccak256(bytearray(data)) == keccak(data)
