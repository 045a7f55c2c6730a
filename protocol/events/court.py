"""Events of ComputeCourt."""

from dataclasses import dataclass

from protocol.events.event import Event
from protocol.structs import DisputeKey, DisputeKind, JobReceipt, Outcome, Verdict
from protocol.trace import TraceLeaf
from protocol.units import ZERO_ADDRESS, Address, Digest, LeaseId, ProofHash


@dataclass(frozen=True, slots=True)
class Deposited(Event):
    account: Address
    amount: int


@dataclass(frozen=True, slots=True)
class CourtWithdrawn(Event):
    """`Withdrawn` of the court: out of the account's balance."""

    account: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Credited(Event):
    """What a dispute paid into the account's balance."""

    account: Address
    dispute_id: Digest
    amount: int


@dataclass(frozen=True, slots=True)
class CourtBurnedSwept(Event):
    """`BurnedSwept` of the court: of lost challenge bonds."""

    amount: int


@dataclass(frozen=True, slots=True)
class CourtRelayed(Event):
    """`Relayed` of the court."""

    account: Address
    nonce: int
    relayer: Address


@dataclass(frozen=True, slots=True)
class Challenged(Event):
    """The challenge bond left the challenger's balance."""

    dispute_id: Digest
    lease_id: LeaseId
    challenger: Address
    proof_hash: ProofHash
    kind: DisputeKind
    receipt_digest: Digest
    segment: int
    draw_block: int

    @property
    def key(self) -> DisputeKey:
        """The challenger is part of it in a bisection alone."""
        challenger = self.challenger if self.kind is DisputeKind.BISECTION else ZERO_ADDRESS
        return DisputeKey(
            self.lease_id, self.proof_hash, self.kind, self.receipt_digest, self.segment, challenger
        )


@dataclass(frozen=True, slots=True)
class SegmentDisputed(Event):
    """`before` is all zero where there is none."""

    dispute_id: Digest
    segment: int
    before: TraceLeaf
    claimed: TraceLeaf


@dataclass(frozen=True, slots=True)
class JobDisputed(Event):
    dispute_id: Digest
    receipt: JobReceipt


@dataclass(frozen=True, slots=True)
class ChildrenRevealed(Event):
    dispute_id: Digest
    left: Digest
    right: Digest


@dataclass(frozen=True, slots=True)
class Descended(Event):
    dispute_id: Digest
    node: Digest
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class DrawArmed(Event):
    dispute_id: Digest
    draw_block: int


@dataclass(frozen=True, slots=True)
class CommitteeDrawn(Event):
    """Bit i of `members` stands for member i of the quorum; `draw_block` tells rounds apart."""

    dispute_id: Digest
    draw_block: int
    members: int


@dataclass(frozen=True, slots=True)
class DataVoted(Event):
    """`missing_digest` is zero where all is available."""

    dispute_id: Digest
    draw_block: int
    member: int
    missing_digest: Digest


@dataclass(frozen=True, slots=True)
class VerdictCommitted(Event):
    dispute_id: Digest
    draw_block: int
    member: int
    commitment: Digest


@dataclass(frozen=True, slots=True)
class VerdictRevealed(Event):
    dispute_id: Digest
    draw_block: int
    member: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class TraceRefuted(Event):
    """A trace contradicts itself: its lease is breached without a committee, and without a bond."""

    dispute_id: Digest
    lease_id: LeaseId
    challenger: Address
    proof_hash: ProofHash
    receipt_digest: Digest
    index: int

    @property
    def key(self) -> DisputeKey:
        kind = DisputeKind.TRACE
        return DisputeKey(self.lease_id, self.proof_hash, kind, self.receipt_digest, self.index, ZERO_ADDRESS)


@dataclass(frozen=True, slots=True)
class DisputeResolved(Event):
    """`slashed`: of the lease's bond. `burned`: of the challenge bond. `seconds_left`: of what goes on."""

    dispute_id: Digest
    lease_id: LeaseId
    outcome: Outcome
    slashed: int
    burned: int
    seconds_left: int
