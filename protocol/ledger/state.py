"""Entries of the ledger, the state that holds them, and the changes that one event makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from protocol.abi_bytes import abi_encode
from protocol.accrual import scheduled_seconds
from protocol.errors import InvariantBroken
from protocol.keccak import keccak256
from protocol.logs import LogPosition
from protocol.manifest import DeploymentManifest
from protocol.reputation import Custom
from protocol.structs import (
    NO_ORDER,
    NO_PROOF,
    CompletionProof,
    GpuAttestation,
    LeaseStatus,
    Offer,
    Terms,
    Unit,
)
from protocol.typed_data import Domain
from protocol.units import ZERO_ADDRESS, Address, JobId, LeaseId, OfferHash, ProofHash, Seconds, UnitId

E = TypeVar("E")

Handler = Callable[["LedgerState", Any, int], "Changes"]


class Located(Protocol):
    """Any event: all that a complaint about it needs."""

    @property
    def position(self) -> LogPosition: ...


class LeaseEvent(Located, Protocol):
    """Any event that names a lease."""

    @property
    def lease_id(self) -> LeaseId: ...


@dataclass(frozen=True, slots=True)
class Parameters:
    """Immutables of the deployment, and what its owner has set so far."""

    domain: Domain
    court: Address
    challenge_seconds: int
    proof_grace_seconds: int
    answer_seconds: int
    unbonding_seconds: int
    treasury: Address = ZERO_ADDRESS
    token_fees: Mapping[Address, int] = field(default_factory=dict[Address, int])
    """Fee of new leases, in 1/10,000, for each token that is allowed."""

    @classmethod
    def of(cls, manifest: DeploymentManifest) -> "Parameters":
        """As they stand before the first event."""
        fixed = manifest.parameters
        return cls(
            domain=Domain(manifest.chain_id, manifest.market),
            court=manifest.court,
            challenge_seconds=fixed.challenge_seconds,
            proof_grace_seconds=fixed.proof_grace_seconds,
            answer_seconds=fixed.answer_seconds,
            unbonding_seconds=fixed.unbonding_seconds,
        )

    @property
    def allowed_tokens(self) -> frozenset[Address]:
        return frozenset(self.token_fees)


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """Money in base units of the stake token: locked + unbonding <= stake.

    Offers hold in the provider's `epoch` alone.
    """

    provider: Address
    stake_units: int = 0
    locked_units: int = 0
    unbonding_units: int = 0
    unbond_at: int = 0
    epoch: int = 0

    @property
    def free_units(self) -> int:
        return self.stake_units - self.locked_units - self.unbonding_units


@dataclass(frozen=True, slots=True)
class UnitEntry:
    """`evicted`: another unit holds GPUs of it, and it is leased no more."""

    unit_id: UnitId
    unit: Unit
    gpu_ids: tuple[bytes, ...]
    booked_hours: int
    retired: bool
    evicted: bool
    registered_at: LogPosition


@dataclass(frozen=True, slots=True)
class GpuEntry:
    """`unit_id` is None where the GPU is in no unit any more."""

    gpu_id: bytes
    unit_id: UnitId | None


@dataclass(frozen=True, slots=True)
class OfferEntry:
    """An offer that was listed, or taken as its provider signed it.

    `known_at`: when it was listed last or, never listed, first taken. `taken_at`: when it was last taken.
    """

    offer_hash: OfferHash
    offer: Offer
    listed: bool
    known_at: LogPosition
    taken_at: LogPosition | None = None
    known_since: int = 0
    """The time of that block."""


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """Money in base units of the lease's token, `compensation_units` in those of the stake token.

    `pending_seconds` and `matures_at` are zero where no proof is pending; `proof_hash` is of the last proof.
    """

    lease_id: LeaseId
    terms: Terms
    opened_at: LogPosition
    renters: tuple[Address, ...]
    """All so far, today's last: `terms.renter` alone until the lease is transferred."""
    deposit_units: int
    end: int
    settled_seconds: int = 0
    pending_seconds: int = 0
    matures_at: int = 0
    proof_hash: ProofHash = NO_PROOF
    status: LeaseStatus = LeaseStatus.OPEN
    open_disputes: int = 0
    accepted: bool = False
    """The renter has ended the pending proof's window."""
    closing: bool = False
    """The end moves away no more."""
    provider_failed: bool = False
    """By its notice, an outage or a breach. Where an IDLE lease failed over, a yield looks like an outage."""
    failed_over: bool = False
    """Its money has moved on into the next lease."""
    bond_slashed: bool = False
    hours_released: bool = False
    penalty_seconds: int = 0
    moved_last_post: int = 0
    """Where a dispute moved the last time to post; else zero."""
    posted_order: JobId = NO_ORDER
    """The one that waits for its answer."""
    answer_within: int = 0
    """Of scheduled seconds since the start."""
    lost_seconds: int = 0
    hops: int = 0
    paid_units: int = 0
    fee_units: int = 0
    moved_units: int = 0
    """Out of the deposit, into the lease that follows on this one."""
    refund_units: int = 0
    compensation_units: int = 0

    @property
    def renter(self) -> Address:
        """Of today."""
        return self.renters[-1]

    @property
    def scheduled_seconds(self) -> Seconds:
        """Of the whole lease, as its end stands."""
        return scheduled_seconds(self.terms.weekly_hours, self.terms.start, self.end)

    @property
    def funded_units(self) -> int:
        """All that was paid into the deposit."""
        return self.deposit_units + self.moved_units

    @property
    def pending(self) -> bool:
        return self.matures_at != 0

    @property
    def transfers(self) -> int:
        return len(self.renters) - 1

    @property
    def locked_bond(self) -> int:
        """Base units of the stake token that the lease still keeps locked."""
        return 0 if self.bond_slashed or self.status is LeaseStatus.CLOSED else self.terms.offer.bond

    def last_post(self, proof_grace_seconds: int) -> int:
        """The last second at which a proof may be posted."""
        return max(self.end + proof_grace_seconds, self.moved_last_post)

    def claimable_seconds(self, now: int) -> int:
        """The most that a proof posted now may claim."""
        scheduled = self.scheduled_until(now)
        if self.posted_order != NO_ORDER:
            scheduled = min(scheduled, self.answer_within)
        return scheduled - self.lost_seconds

    def scheduled_until(self, now: int) -> Seconds:
        """Scheduled seconds so far."""
        return scheduled_seconds(self.terms.weekly_hours, self.terms.start, min(now, self.end))


@dataclass(frozen=True, slots=True)
class ProofEntry:
    proof_hash: ProofHash
    lease_id: LeaseId
    proof: CompletionProof
    posted_at: LogPosition
    matures_at: int
    settled: bool
    void: bool = False
    """Its lease was breached."""


@dataclass(frozen=True, slots=True)
class FindingEntry:
    """The last attestation of a unit. It holds until `expires_at`, or until a card was found elsewhere."""

    attestation: GpuAttestation
    expires_at: int
    attested_at: int


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
class FeeEntry:
    """What the treasury may take, in base units of `token`."""

    token: Address
    amount_units: int


@dataclass(frozen=True, slots=True)
class RelayEntry:
    """`nonce` is that of the account's next relayed call."""

    account: Address
    nonce: int


@dataclass(frozen=True, slots=True)
class Bond:
    """A whole bond that the market has declared slashed."""

    provider: Address
    renter: Address
    units: int


NO_BOND: Final = Bond(ZERO_ADDRESS, ZERO_ADDRESS, 0)


@dataclass(frozen=True, slots=True)
class Changes:
    """Entries as they stand after an event; None where a value stays."""

    providers: tuple[ProviderEntry, ...] = ()
    units: tuple[UnitEntry, ...] = ()
    gpus: tuple[GpuEntry, ...] = ()
    offers: tuple[OfferEntry, ...] = ()
    leases: tuple[LeaseEntry, ...] = ()
    proofs: tuple[ProofEntry, ...] = ()
    credits: tuple[CreditEntry, ...] = ()
    compensations: tuple[CompensationEntry, ...] = ()
    fees: tuple[FeeEntry, ...] = ()
    relays: tuple[RelayEntry, ...] = ()
    findings: tuple[FindingEntry, ...] = ()
    customs: tuple[Custom, ...] = ()
    cancelled_salts: tuple[tuple[Address, int], ...] = ()
    burned_units: int | None = None
    slashing: Bond | None = None
    parameters: Parameters | None = None

    def with_customs(self, customs: tuple[Custom, ...]) -> "Changes":
        return replace(self, customs=customs)


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
    fees: dict[Address, int] = field(default_factory=dict[Address, int])
    relay_nonces: dict[Address, int] = field(default_factory=dict[Address, int])
    findings: dict[UnitId, FindingEntry] = field(default_factory=dict[UnitId, FindingEntry])
    attested: dict[bytes, UnitId] = field(default_factory=dict[bytes, UnitId])
    """In which unit each GPU was found last."""
    customs: dict[tuple[Address, Address, Address], Custom] = field(
        default_factory=dict[tuple[Address, Address, Address], Custom]
    )
    """By provider, token and renter: what reputations are made of."""
    cancelled_salts: set[tuple[Address, int]] = field(default_factory=set[tuple[Address, int]])
    burned_units: int = 0
    """Slashed, and not swept."""
    slashing: Bond = NO_BOND
    """Declared by the market; the registry's word on where it goes comes next."""

    @classmethod
    def empty(cls, parameters: Parameters) -> "LedgerState":
        """As before the first event; `parameters` as `Parameters.of` gives them."""
        return cls(parameters)

    def merge(self, changes: Changes) -> None:
        """Afterwards this state holds the changed entries."""
        for provider in changes.providers:
            self.providers[provider.provider] = provider
        for unit in changes.units:
            self.units[unit.unit_id] = unit
        for offer in changes.offers:
            self.offers[offer.offer_hash] = offer
        for lease in changes.leases:
            self.leases[lease.lease_id] = lease
        for proof in changes.proofs:
            self.proofs[proof.proof_hash] = proof
        self._merge_repute(changes)
        self._merge_money(changes)
        for gpu in changes.gpus:
            if gpu.unit_id is None:
                self.gpus.pop(gpu.gpu_id, None)
            else:
                self.gpus[gpu.gpu_id] = gpu.unit_id
        if changes.slashing is not None:
            self.slashing = changes.slashing
        if changes.parameters is not None:
            self.parameters = changes.parameters

    def _merge_repute(self, changes: Changes) -> None:
        for custom in changes.customs:
            self.customs[custom.provider, custom.token, custom.renter] = custom
        for finding in changes.findings:
            self.findings[finding.attestation.unit_id] = finding
            # One that ends before its time has lost a GPU to another.
            if finding.expires_at == finding.attestation.expires_at:
                gpu_ids = finding.attestation.gpu_ids
                self.attested.update(dict.fromkeys(gpu_ids, finding.attestation.unit_id))

    def _merge_money(self, changes: Changes) -> None:
        for credit in changes.credits:
            self.credits[credit.token, credit.account] = credit.amount_units
        for compensation in changes.compensations:
            self.compensations[compensation.account] = compensation.amount_units
        for fee in changes.fees:
            self.fees[fee.token] = fee.amount_units
        for relay in changes.relays:
            self.relay_nonces[relay.account] = relay.nonce
        if changes.cancelled_salts:
            self.cancelled_salts.update(changes.cancelled_salts)
        if changes.burned_units is not None:
            self.burned_units = changes.burned_units


def expect(event: Located, what: str, expected: object, actual: object) -> None:
    """InvariantBroken where the two differ."""
    if expected != actual:
        raise broken(event, what, expected, actual)


def broken(event: Located, what: str, expected: object, actual: object) -> InvariantBroken:
    position = event.position
    subject = f"{type(event).__name__} at block {position.block_number}, log {position.log_index}: {what}"
    return InvariantBroken(_text(expected), _text(actual), subject=subject)


def known(event: Located, what: str, entry: E | None) -> E:
    """`entry`, which an earlier event must have made. InvariantBroken where it is None."""
    if entry is None:
        raise broken(event, what, "known from an earlier event", "unknown")
    return entry


def open_lease(state: LedgerState, event: LeaseEvent) -> "LeaseEntry":
    """The event's lease, which must be open."""
    lease = known(event, "lease", state.leases.get(event.lease_id))
    expect(event, "status", LeaseStatus.OPEN, lease.status)
    return lease


def unit_id_of(provider: Address, node_id: bytes, gpu_ids: Sequence[bytes]) -> UnitId:
    """The id of the unit of these GPUs on that node of the provider."""
    members = (provider, node_id, list(gpu_ids))
    return UnitId(keccak256(abi_encode(("address", "bytes32", "bytes32[]"), members)))


def credited(state: LedgerState, token: Address, account: Address, amount_units: int) -> CreditEntry:
    """The account's credit, so much more than before."""
    return CreditEntry(token, account, state.credits.get((token, account), 0) + amount_units)


def _text(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value
