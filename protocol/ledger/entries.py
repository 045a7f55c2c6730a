"""Entries of the ledger: what the contracts hold of each provider, unit, offer, lease, proof and account."""

from dataclasses import dataclass
from typing import Final

from protocol.accrual import scheduled_seconds
from protocol.logs import LogPosition
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
from protocol.units import ZERO_ADDRESS, Address, JobId, LeaseId, OfferHash, ProofHash, Seconds, UnitId


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
