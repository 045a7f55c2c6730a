"""Who may sign for the quorum now, as this oracle's own node says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from protocol.contracts import Quorum
from protocol.errors import ChainUnavailable, ProtocolError, RpcError, SignatureInvalid
from protocol.findings import Finding
from protocol.structs import QuorumSignature
from protocol.typed_data import Domain, recover
from protocol.units import Address

KEPT_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Council:
    """`members`: index of each active signer. `threshold`: signatures that decide."""

    threshold: int
    members: Mapping[Address, int]


def read_council(quorum: Quorum) -> Council:
    """ChainUnavailable, RpcError."""
    active = quorum.active_members()
    indices = [index for index in range(active.bit_length()) if active >> index & 1]
    return Council(quorum.threshold(), {quorum.member_at(index).signer: index for index in indices})


class CouncilView:
    """The council as it was a moment ago: strangers may ask more often than a node likes to answer."""

    def __init__(self, quorum: Quorum, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._quorum = quorum
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read: tuple[float, Council | ProtocolError] | None = None

    def council(self) -> Council:
        """At most `KEPT_SECONDS` old, as is a failure. ChainUnavailable, RpcError."""
        with self._lock:
            if self._read is None or self._monotonic() - self._read[0] >= KEPT_SECONDS:
                found = self._ask()
                self._read = (self._monotonic(), found)
            found = self._read[1]
        if isinstance(found, ProtocolError):
            raise found
        return found

    def _ask(self) -> Council | ProtocolError:
        try:
            return read_council(self._quorum)
        except (ChainUnavailable, RpcError) as error:
            return error


def check_member(
    council: Council, domain: Domain, finding: Finding, signature: bytes
) -> tuple[Address, QuorumSignature]:
    """Who signed, as the contract takes it. SignatureInvalid where it is no active member."""
    signer = recover(domain, finding, signature)
    index = council.members.get(signer)
    if index is None:
        raise SignatureInvalid(f"finding: expected a signature by an active member, got one by {signer}")
    return signer, QuorumSignature(index, signature)
