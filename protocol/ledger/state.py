"""Entries of the ledger, the state that holds them, and the changes that one event makes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from protocol.accrual import scheduled_seconds
from protocol.errors import InvariantBroken
from protocol.events import Event, LogPosition
from protocol.manifest import DeploymentManifest
from protocol.structs import CompletionProof, LeaseStatus, Offer, Terms, Unit
from protocol.typed_data import Domain
from protocol.units import ZERO_ADDRESS, Address, LeaseId, OfferHash, ProofHash, Seconds, UnitId

E = TypeVar("E")

Handler = Callable[["LedgerState", Any, int], "Changes"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Immutables of the deployment, and what its owner has set so far."""

    domain: Domain
    challenge_seconds: int
    proof_grace_seconds: int
    unbonding_seconds: int
    fee_bps: int = 0
    treasury: Address = ZERO_ADDRESS
    allowed_tokens: frozenset[Address] = frozenset()

    @classmethod
    def of(cls, manifest: DeploymentManifest) -> "Parameters":
        """As they stand before the first event."""
        fixed = manifest.parameters
        return cls(
            domain=Domain(manifest.chain_id, manifest.market),
            challenge_seconds=fixed.challenge_seconds,
            proof_grace_seconds=fixed.proof_grace_seconds,
            unbonding_seconds=fixed.unbonding_seconds,
        )


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """Money in base units of the stake token: locked + unbonding <= stake."""

    provider: Address
    stake_units: int = 0
    locked_units: int = 0
    unbonding_units: int = 0
    unbond_at: int = 0

    @property
    def free_units(self) -> int:
        return self.stake_units - self.locked_units - self.unbonding_units


@dataclass(frozen=True, slots=True)
class UnitEntry:
    unit_id: UnitId
    unit: Unit
    gpu_ids: tuple[bytes, ...]
    booked_hours: int
    retired: bool
    registered_at: LogPosition


@dataclass(frozen=True, slots=True)
class GpuEntry:
    """`unit_id` is None where the GPU is in no unit any more."""

    gpu_id: bytes
    unit_id: UnitId | None


@dataclass(frozen=True, slots=True)
class OfferEntry:
    offer_hash: OfferHash
    offer: Offer
    listed: bool
    listed_at: LogPosition


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """Money in base units of the lease's token, `compensation_units` in those of the stake token.

    `pending_seconds` and `matures_at` are zero where no proof is pending; `proof_hash` is of the last proof.
    """

    lease_id: LeaseId
    terms: Terms
    opened_at: LogPosition
    deposit_units: int
    end: int
    settled_seconds: int
    pending_seconds: int
    matures_at: int
    proof_hash: ProofHash
    status: LeaseStatus
    penalty_seconds: int
    paid_units: int
    fee_units: int
    refund_units: int
    compensation_units: int
    hours_released: bool

    @property
    def scheduled_seconds(self) -> Seconds:
        """Of the whole lease, as its end stands."""
        return scheduled_seconds(self.terms.weekly_hours, self.terms.start, self.end)

    @property
    def pending(self) -> bool:
        return self.matures_at != 0


@dataclass(frozen=True, slots=True)
class ProofEntry:
    proof_hash: ProofHash
    lease_id: LeaseId
    proof: CompletionProof
    posted_at: LogPosition
    matures_at: int
    settled: bool


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """What an account may withdraw, in base units of `token`."""

    token: Address
    account: Address
    amount_units: int


@dataclass(frozen=True, slots=True)
class CompensationEntry:
    """What an account may withdraw from the registry, in base units of the stake token."""

    account: Address
    amount_units: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Entries as they stand after an event."""

    providers: tuple[ProviderEntry, ...] = ()
    units: tuple[UnitEntry, ...] = ()
    gpus: tuple[GpuEntry, ...] = ()
    offers: tuple[OfferEntry, ...] = ()
    leases: tuple[LeaseEntry, ...] = ()
    proofs: tuple[ProofEntry, ...] = ()
    credits: tuple[CreditEntry, ...] = ()
    compensations: tuple[CompensationEntry, ...] = ()
    parameters: Parameters | None = None


@dataclass(slots=True)
class LedgerState:
    """Everything that the contracts hold, rebuilt from their events."""

    parameters: Parameters
    providers: dict[Address, ProviderEntry] = field(default_factory=dict[Address, ProviderEntry])
    units: dict[UnitId, UnitEntry] = field(default_factory=dict[UnitId, UnitEntry])
    gpus: dict[bytes, UnitId] = field(default_factory=dict[bytes, UnitId])
    offers: dict[OfferHash, OfferEntry] = field(default_factory=dict[OfferHash, OfferEntry])
    leases: dict[LeaseId, LeaseEntry] = field(default_factory=dict[LeaseId, LeaseEntry])
    proofs: dict[ProofHash, ProofEntry] = field(default_factory=dict[ProofHash, ProofEntry])
    credits: dict[tuple[Address, Address], int] = field(default_factory=dict[tuple[Address, Address], int])
    compensations: dict[Address, int] = field(default_factory=dict[Address, int])

    @classmethod
    def empty(cls, parameters: Parameters) -> "LedgerState":
        """As before the first event; `parameters` as `Parameters.of` gives them."""
        return cls(parameters)

    def merge(self, changes: Changes) -> None:
        """Afterwards this state holds the changed entries."""
        self.providers.update((entry.provider, entry) for entry in changes.providers)
        self.units.update((entry.unit_id, entry) for entry in changes.units)
        self.offers.update((entry.offer_hash, entry) for entry in changes.offers)
        self.leases.update((entry.lease_id, entry) for entry in changes.leases)
        self.proofs.update((entry.proof_hash, entry) for entry in changes.proofs)
        self.credits.update(((entry.token, entry.account), entry.amount_units) for entry in changes.credits)
        self.compensations.update((entry.account, entry.amount_units) for entry in changes.compensations)
        for gpu in changes.gpus:
            if gpu.unit_id is None:
                self.gpus.pop(gpu.gpu_id, None)
            else:
                self.gpus[gpu.gpu_id] = gpu.unit_id
        if changes.parameters is not None:
            self.parameters = changes.parameters


def expect(event: Event, what: str, expected: object, actual: object) -> None:
    """InvariantBroken where the two differ."""
    if expected != actual:
        raise broken(event, what, expected, actual)


def broken(event: Event, what: str, expected: object, actual: object) -> InvariantBroken:
    position = event.position
    subject = f"{type(event).__name__} at block {position.block_number}, log {position.log_index}: {what}"
    return InvariantBroken(_text(expected), _text(actual), subject=subject)


def known(event: Event, what: str, entry: E | None) -> E:
    """`entry`, which an earlier event must have made. InvariantBroken where it is None."""
    if entry is None:
        raise broken(event, what, "known from an earlier event", "unknown")
    return entry


def _text(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value
