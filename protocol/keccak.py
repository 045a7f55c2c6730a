"""keccak-256 by the extension module that is fast on small inputs."""

from collections.abc import Callable
from typing import Any, cast

import sha3  # pyright: ignore[reportMissingTypeStubs]

_keccak_256 = cast(Callable[[bytes | bytearray | memoryview], Any], sha3.keccak_256)  # pyright: ignore[reportUnknownMemberType]


def keccak256(data: bytes | bytearray | memoryview) -> bytes:
    """The 32 bytes that the EVM's KECCAK256 gives."""
    return cast(bytes, _keccak_256(data).digest())
