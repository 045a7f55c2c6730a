"""Events of ProviderRegistry."""

from dataclasses import dataclass

from protocol.events.event import Event
from protocol.structs import Unit
from protocol.units import Address, UnitId


@dataclass(frozen=True, slots=True)
class Staked(Event):
    provider: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UnbondingStarted(Event):
    """`unbonding` is all that is unbonding now."""

    provider: Address
    unbonding: int
    unbond_at: int


@dataclass(frozen=True, slots=True)
class UnbondingCancelled(Event):
    provider: Address
    amount: int


@dataclass(frozen=True, slots=True)
class StakeWithdrawn(Event):
    provider: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UnitRegistered(Event):
    unit_id: UnitId
    provider: Address
    unit: Unit
    gpu_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class UnitRetired(Event):
    unit_id: UnitId
    provider: Address


@dataclass(frozen=True, slots=True)
class WorkerRotated(Event):
    unit_id: UnitId
    worker: Address
    encryption_key: bytes


@dataclass(frozen=True, slots=True)
class UnitEvicted(Event):
    """Another unit was attested to hold GPUs of this one, which can be leased no more."""

    unit_id: UnitId
    by_unit_id: UnitId


@dataclass(frozen=True, slots=True)
class EpochRaised(Event):
    """Offers of the provider's earlier epochs are void."""

    provider: Address
    epoch: int


@dataclass(frozen=True, slots=True)
class Slashed(Event):
    """The whole bond of one lease: its parts add up to it."""

    provider: Address
    renter: Address
    restitution: int
    reward: int
    burned: int


@dataclass(frozen=True, slots=True)
class BurnedSwept(Event):
    amount: int


@dataclass(frozen=True, slots=True)
class CompensationWithdrawn(Event):
    account: Address
    to: Address
    amount: int
