"""The filter of 2048 bits in which a block's header names the emitters and topics of its logs.

What is in the block is always found in it; what is not there may seem to be.
"""

import functools
from collections.abc import Iterable
from typing import Final

from protocol.keccak import keccak256

BLOOM_BYTES: Final = 256
_BITS: Final = 8 * BLOOM_BYTES


@functools.lru_cache(maxsize=4096)
def bloom_bits(value: bytes) -> int:
    """The filter that holds this address or topic alone."""
    digest = keccak256(value)
    found = 0
    for at in (0, 2, 4):
        found |= 1 << (int.from_bytes(digest[at : at + 2]) % _BITS)
    return found


def bloom_of(values: Iterable[bytes]) -> bytes:
    """The filter of all these addresses and topics."""
    found = 0
    for value in values:
        found |= bloom_bits(value)
    return found.to_bytes(BLOOM_BYTES)


def may_hold(bloom: bytes, value: bytes) -> bool:
    bits = bloom_bits(value)
    return int.from_bytes(bloom) & bits == bits
