"""The ABI's bytes: a codec of our own, since libraries loosen the one that eth_abi shares with everybody.

Ape, for one, registers a decoder of integers that takes missing bytes for zero.
"""

from typing import Final

from eth_abi.codec import ABICodec
from eth_abi.decoding import UnsignedIntegerDecoder
from eth_abi.encoding import UnsignedIntegerEncoder
from eth_abi.registry import ABIRegistry, BaseEquals, registry

__all__ = ["abi_decode", "abi_encode"]


def _strict() -> ABIRegistry:
    own = registry.copy()
    own.unregister("uint")
    own.register(BaseEquals("uint"), UnsignedIntegerEncoder, UnsignedIntegerDecoder, label="uint")
    return own


_CODEC: Final = ABICodec(_strict())
abi_decode: Final = _CODEC.decode
"""Values of the given types; DecodingError where the bytes are too few or do not fit."""
abi_encode: Final = _CODEC.encode
"""Bytes of values of the given types; EncodingError where one does not fit."""
