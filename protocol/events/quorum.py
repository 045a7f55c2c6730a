"""Events of OracleQuorum, and of the owners of any contract."""

from dataclasses import dataclass

from protocol.events.event import Event
from protocol.structs import GpuAttestation
from protocol.units import Address, Digest, UnitId


@dataclass(frozen=True, slots=True)
class OwnershipTransferStarted(Event):
    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class OwnershipTransferred(Event):
    previous_owner: Address
    new_owner: Address


@dataclass(frozen=True, slots=True)
class MemberAdded(Event):
    member: int
    signer: Address
    operator: Address
    active_at: int


@dataclass(frozen=True, slots=True)
class MemberRemoved(Event):
    member: int
    leaves_at: int


@dataclass(frozen=True, slots=True)
class ThresholdScheduled(Event):
    threshold: int
    active_at: int


@dataclass(frozen=True, slots=True)
class BondDeposited(Event):
    member: int
    from_: Address
    amount: int


@dataclass(frozen=True, slots=True)
class BondWithdrawn(Event):
    member: int
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class MemberPenalised(Event):
    member: int
    amount: int


@dataclass(frozen=True, slots=True)
class GpusAttested(Event):
    unit_id: UnitId
    provider: Address
    attestation: GpuAttestation


@dataclass(frozen=True, slots=True)
class ProfileCalibrated(Event):
    tolerance_profile: Digest
    max_spread: int
