"""Events of LeaseMarket."""

from dataclasses import dataclass

from protocol.events.event import Event
from protocol.structs import CompletionProof, LeaseTerms, NoticeReason, Offer
from protocol.units import Address, Digest, JobId, LeaseId, OfferHash, ProofHash, UnitId


@dataclass(frozen=True, slots=True)
class OfferListed(Event):
    offer_hash: OfferHash
    provider: Address
    offer: Offer


@dataclass(frozen=True, slots=True)
class OfferUnlisted(Event):
    offer_hash: OfferHash
    provider: Address


@dataclass(frozen=True, slots=True)
class OfferTaken(Event):
    """A signed offer that is not listed; a lease on it follows in the same transaction."""

    offer_hash: OfferHash
    provider: Address
    offer: Offer


@dataclass(frozen=True, slots=True)
class SaltCancelled(Event):
    provider: Address
    salt: int


@dataclass(frozen=True, slots=True)
class LeaseOpened(Event):
    """`terms` with the offer of that hash and the renter are the lease's Terms."""

    lease_id: LeaseId
    renter: Address
    provider: Address
    offer_hash: OfferHash
    terms: LeaseTerms
    deposit: int


@dataclass(frozen=True, slots=True)
class LeaseExtended(Event):
    """`deposit` is all that the lease has now."""

    lease_id: LeaseId
    payer: Address
    end: int
    deposit: int


@dataclass(frozen=True, slots=True)
class ProofPosted(Event):
    lease_id: LeaseId
    proof_hash: ProofHash
    proof: CompletionProof
    matures_at: int


@dataclass(frozen=True, slots=True)
class ProofAccepted(Event):
    """The renter ended the proof's window."""

    lease_id: LeaseId
    proof_hash: ProofHash


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """Of the lease's last proof. `settled_seconds` is cumulative; `pay` has the fee taken off."""

    lease_id: LeaseId
    settled_seconds: int
    pay: int
    fee: int


@dataclass(frozen=True, slots=True)
class NoticeGiven(Event):
    """`penalty_seconds` is cumulative."""

    lease_id: LeaseId
    by: Address
    end: int
    penalty_seconds: int
    reason: NoticeReason
    evidence: Digest


@dataclass(frozen=True, slots=True)
class OrderPosted(Event):
    """`answer_within` is of scheduled seconds since the start of the lease."""

    lease_id: LeaseId
    order_digest: JobId
    answer_within: int


@dataclass(frozen=True, slots=True)
class OrderAnswered(Event):
    """`lost_seconds` is cumulative."""

    lease_id: LeaseId
    order_digest: JobId
    accepted: bool
    lost_seconds: int


@dataclass(frozen=True, slots=True)
class FailedOver(Event):
    """`moved` went from the lease's deposit into the next one's; `end` is the lease's own from now on.

    `penalty_seconds` is cumulative, `hops` is the next lease's.
    """

    lease_id: LeaseId
    next_lease_id: LeaseId
    moved: int
    end: int
    penalty_seconds: int
    hops: int


@dataclass(frozen=True, slots=True)
class LeaseTransferred(Event):
    lease_id: LeaseId
    from_: Address
    to: Address
    price: int


@dataclass(frozen=True, slots=True)
class HoursReleased(Event):
    lease_id: LeaseId
    unit_id: UnitId


@dataclass(frozen=True, slots=True)
class DisputeOpened(Event):
    lease_id: LeaseId
    proof_hash: ProofHash
    open_disputes: int


@dataclass(frozen=True, slots=True)
class DisputeEnded(Event):
    """The proof stands: `pending_seconds` is what is left of its claim."""

    lease_id: LeaseId
    proof_hash: ProofHash
    open_disputes: int
    pending_seconds: int
    last_post: int


@dataclass(frozen=True, slots=True)
class LeaseBreached(Event):
    """`slashed` is in base units of the stake token; ProviderRegistry's Slashed says where it goes."""

    lease_id: LeaseId
    proof_hash: ProofHash
    end: int
    slashed: int


@dataclass(frozen=True, slots=True)
class BondSlashed(Event):
    """As in LeaseBreached, of a lease that goes on."""

    lease_id: LeaseId
    slashed: int


@dataclass(frozen=True, slots=True)
class LeaseClosed(Event):
    lease_id: LeaseId
    settled_seconds: int
    refund: int
    compensation: int


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    token: Address
    account: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class FeesWithdrawn(Event):
    token: Address
    treasury: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Relayed(Event):
    account: Address
    nonce: int
    relayer: Address


@dataclass(frozen=True, slots=True)
class TokenSet(Event):
    token: Address
    allowed: bool
    fee_bps: int


@dataclass(frozen=True, slots=True)
class TreasuryChanged(Event):
    treasury: Address
