"""keccak-256 by the extension module that is fast on small inputs."""

from collections.abc import Callable
from typing import Protocol, cast

import sha3  # pyright: ignore[reportMissingTypeStubs]


class _Hash(Protocol):
    def digest(self) -> bytes: ...


_keccak_256 = cast(Callable[[bytes | bytearray | memoryview], _Hash], sha3.keccak_256)  # pyright: ignore[reportUnknownMemberType]


def keccak256(data: bytes | bytearray | memoryview) -> bytes:
    """The 32 bytes that the EVM's KECCAK256 gives."""
    return _keccak_256(data).digest()
