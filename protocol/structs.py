"""The structs of contracts/libraries/Types.sol in Python: same fields, same order, snake_case.

Types.sol says what each field means and in which unit; those of quorum, failover and court are of
the interfaces that take them. A test compares every class with the ABI.
"""

from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

from protocol.codec import Registry, read_object, write_object
from protocol.trace import TraceLeaf
from protocol.units import (
    ZERO_ADDRESS,
    ZERO_BYTES32,
    ZERO_DIGEST,
    Address,
    Digest,
    JobId,
    LeaseId,
    ProofHash,
    UnitId,
)

T = TypeVar("T")

NO_PROOF: Final = ProofHash(ZERO_BYTES32)
NO_LEASE: Final = LeaseId(ZERO_BYTES32)
NO_ORDER: Final = JobId(ZERO_BYTES32)


class OfferKind(IntEnum):
    RESERVED = 0
    IDLE = 1


class LeaseStatus(IntEnum):
    NONE = 0
    OPEN = 1
    BREACHED = 2
    CLOSED = 3


class JobClass(IntEnum):
    OPAQUE = 0
    EXACT = 1
    TRACED = 2


class JobOutcome(IntEnum):
    COMPLETED = 0
    FAILED = 1
    LIMIT_EXCEEDED = 2
    CANCELLED = 3
    REFUSED = 4


class NoticeReason(IntEnum):
    UNSPECIFIED = 0
    WORK_DONE = 1
    OWNER_RETURNS = 2
    MAINTENANCE = 3
    HARDWARE_FAULT = 4
    UNREACHABLE = 5
    GANG_FAILED = 6


class DisputeKind(IntEnum):
    SEGMENT = 0
    JOB = 1
    AVAILABILITY = 2
    BISECTION = 3
    TRACE = 4


class Phase(IntEnum):
    """Where a dispute stands."""

    NONE = 0
    BISECTION = 1
    FIRST_DRAW = 2
    FIRST_COMMITTEE = 3
    SECOND_DRAW = 4
    SECOND_COMMITTEE = 5
    FINAL = 6


class Ruling(IntEnum):
    """What an arbiter finds."""

    NONE = 0
    STANDS = 1
    REFUTED = 2
    INCONCLUSIVE = 3


class Outcome(IntEnum):
    """How a dispute ended."""

    STANDS = 0
    REFUTED = 1
    WITHHELD = 2
    OVERCLAIMED = 3
    INCONCLUSIVE = 4
    MOOT = 5


class LeaseFlag(IntFlag):
    """Bits of `LeaseState.flags`: LeaseFlags of Types.sol, which says what each means."""

    HOURS_RELEASED = 1
    AMENDED = 2
    CLOSING = 4
    PROVIDER_FAILED = 8
    BOND_SLASHED = 16
    ORDERED = 32
    FAILED_OVER = 64


@dataclass(frozen=True, slots=True)
class Unit:
    provider: Address
    worker: Address
    encryption_key: bytes
    node_id: bytes
    gpu_class: bytes
    gpu_count: int
    vram_mib: int


@dataclass(frozen=True, slots=True)
class Offer:
    provider: Address
    unit_id: UnitId
    gpu_class: bytes
    gpu_count: int
    token: Address
    price_per_hour: int
    kind: OfferKind
    weekly_hours: int
    min_seconds: int
    max_seconds: int
    notice_seconds: int
    bond: int
    valid_until: int
    salt: int


@dataclass(frozen=True, slots=True)
class Terms:
    offer: Offer
    renter: Address
    start: int
    end: int
    max_end: int
    weekly_hours: int
    fee_bps: int
    policy_hash: Digest
    first_order: Digest
    gang_id: Digest
    previous_lease_id: LeaseId
    salt: int


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    start: int
    end: int
    max_end: int
    weekly_hours: int
    fee_bps: int
    policy_hash: Digest
    first_order: Digest
    gang_id: Digest
    previous_lease_id: LeaseId
    salt: int

    @classmethod
    def of(cls, terms: Terms) -> "LeaseTerms":
        """What `terms` add to their offer and renter."""
        return cls(*_LEASE_TERMS_OF(terms))

    def under(self, offer: Offer, renter: Address) -> Terms:
        """The terms of a lease on `offer`, as `renter` signed or sent them."""
        return Terms(offer, renter, *_LEASE_TERMS_OF(self))


_LEASE_TERMS_OF: Final = attrgetter(*(field.name for field in fields(LeaseTerms)))


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    plaintext_digest: Digest
    ciphertext_digest: Digest
    size: int
    wrapped_keys: tuple[bytes, ...] = ()


NO_ARTIFACT: Final = ArtifactRef(ZERO_DIGEST, ZERO_DIGEST, 0, ())


@dataclass(frozen=True, slots=True)
class JobSpec:
    bundle_digest: Digest
    entrypoint: str
    arguments: tuple[str, ...]
    data_root: Digest
    initial_state_root: Digest
    seed: int
    steps: int
    checkpoint_every: int
    precision: str
    job_class: JobClass
    tolerance_profile: Digest
    environment_digest: Digest


@dataclass(frozen=True, slots=True)
class JobLimits:
    wall_seconds: int
    memory_bytes: int
    processes: int
    output_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class JobOrder:
    lease_id: LeaseId
    spec_digest: Digest
    bundle: ArtifactRef
    data: ArtifactRef
    limits: JobLimits
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class JobReceipt:
    lease_id: LeaseId
    order_digest: JobId
    spec_digest: Digest
    unit_id: UnitId
    attempt: int
    input_digest: Digest
    output_digest: Digest
    trace_root: Digest
    leaf_count: int
    environment_digest: Digest
    outcome: JobOutcome
    exit_code: int
    gpu_milliseconds: int
    energy_joules: int
    started_at: int
    finished_at: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    lease_id: LeaseId
    unit_id: UnitId
    block_number: int
    block_hash: bytes
    block_timestamp: int
    at_disposal: bool


@dataclass(frozen=True, slots=True)
class CompletionProof:
    lease_id: LeaseId
    previous_proof: ProofHash
    proven_seconds: int
    jobs_completed: int
    leaf_count: int
    jobs_root: Digest
    availability_root: Digest
    energy_joules: int


@dataclass(frozen=True, slots=True)
class ProofClaim:
    proven_seconds: int
    jobs_completed: int
    energy_joules: int


@dataclass(frozen=True, slots=True)
class Acceptance:
    lease_id: LeaseId
    proof_hash: ProofHash


@dataclass(frozen=True, slots=True)
class OrderAcknowledgement:
    lease_id: LeaseId
    order_digest: JobId
    accepted: bool


@dataclass(frozen=True, slots=True)
class Yield:
    lease_id: LeaseId
    since: int


@dataclass(frozen=True, slots=True)
class Outage:
    lease_id: LeaseId
    since: int


@dataclass(frozen=True, slots=True)
class QuorumSignature:
    member: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class FailureProof:
    """What shows that a provider has failed: one part is filled, or none after the provider's notice."""

    yielded: Yield
    worker_signature: bytes
    outage: Outage
    quorum_signatures: tuple[QuorumSignature, ...]


@dataclass(frozen=True, slots=True)
class LeaseTransfer:
    lease_id: LeaseId
    from_: Address
    to: Address
    price: int
    deposit: int
    end: int
    settled_seconds: int
    transfers: int
    deadline: int


@dataclass(frozen=True, slots=True)
class RelayedCall:
    account: Address
    data: bytes
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class FailoverPolicy:
    delegate: Address
    max_price_per_hour: int
    gpu_class: bytes
    min_bond: int
    allowed_providers_root: Digest
    allowed_providers_count: int
    max_hops: int
    deadline: int


@dataclass(frozen=True, slots=True)
class AllowedProvider:
    index: int
    branch: tuple[Digest, ...]


NOT_IN_TREE: Final = AllowedProvider(0, ())
"""Where a policy names no providers, nothing is to be shown."""


@dataclass(frozen=True, slots=True)
class GpuAttestation:
    unit_id: UnitId
    provider: Address
    node_id: bytes
    gpu_ids: tuple[bytes, ...]
    gpu_class: bytes
    vram_mib: int
    measured_gops: int
    seed_block: int
    seed_block_hash: bytes
    report_digest: Digest
    expires_at: int


@dataclass(frozen=True, slots=True)
class DisputeKey:
    """The hash of its ABI encoding is the dispute's id."""

    lease_id: LeaseId
    proof_hash: ProofHash
    kind: DisputeKind
    receipt_digest: Digest
    segment: int
    challenger: Address


@dataclass(frozen=True, slots=True)
class ProvenReceipt:
    receipt: JobReceipt
    index: int
    branch: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ProvenLeaf:
    leaf: TraceLeaf
    branch: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    ruling: Ruling
    state_root: Digest
    error_ppb: int
    proven_seconds: int


@dataclass(frozen=True, slots=True)
class SignedRequest:
    method: str
    target: str
    body_digest: Digest
    expires_at: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class LeaseState:
    deposit: int = 0
    end_offset: int = 0
    settled_seconds: int = 0
    pending_seconds: int = 0
    mature_offset: int = 0
    open_disputes: int = 0
    status: LeaseStatus = LeaseStatus.NONE
    flags: int = 0
    proof_hash: ProofHash = NO_PROOF
    renter_override: Address = ZERO_ADDRESS
    penalty_seconds: int = 0
    last_post_offset: int = 0
    hops: int = 0
    transfers: int = 0


@dataclass(frozen=True, slots=True)
class PostedOrder:
    """`order_digest` is zero where none waits for its answer.

    `answer_within` is of scheduled seconds since the start.
    """

    order_digest: JobId = NO_ORDER
    answer_within: int = 0
    lost_seconds: int = 0


STRUCTS: Final[dict[str, type]] = {
    cls.__name__: cls
    for cls in (
        Unit,
        Offer,
        Terms,
        LeaseTerms,
        ArtifactRef,
        JobSpec,
        JobLimits,
        JobOrder,
        JobReceipt,
        Heartbeat,
        CompletionProof,
        ProofClaim,
        Acceptance,
        OrderAcknowledgement,
        Yield,
        Outage,
        QuorumSignature,
        FailureProof,
        LeaseTransfer,
        RelayedCall,
        FailoverPolicy,
        AllowedProvider,
        GpuAttestation,
        TraceLeaf,
        DisputeKey,
        ProvenReceipt,
        ProvenLeaf,
        Verdict,
        SignedRequest,
        LeaseState,
        PostedOrder,
    )
}
ENUMS: Final[dict[str, type[IntEnum]]] = {
    cls.__name__: cls
    for cls in (
        OfferKind,
        LeaseStatus,
        JobClass,
        JobOutcome,
        NoticeReason,
        DisputeKind,
        Phase,
        Ruling,
        Outcome,
    )
}
REGISTRY: Final = Registry(STRUCTS, ENUMS)


def to_json(value: object) -> dict[str, Any]:
    """Keys in the struct's order; bytes as 0x hex, integers over 48 bits as decimal text, enums by name."""
    return write_object(REGISTRY.fields_of(type(value).__name__), value)


def from_json(cls: type[T], data: object) -> T:
    """Strict inverse of `to_json`. BadInput for unknown or missing keys, other types, values out of range."""
    return cls(**read_object(REGISTRY.fields_of(cls.__name__), data, cls.__name__))


def abi_tuple(value: object) -> tuple[Any, ...]:
    """As web3 takes a struct: a tuple in the struct's order, enums as numbers."""
    return tuple(
        codec.to_abi(getattr(value, name)) for name, codec in REGISTRY.fields_of(type(value).__name__)
    )


def from_abi(cls: type[T], data: object) -> T:
    """A struct as web3 or eth_abi returns it: a tuple in the struct's order."""
    members = cast(tuple[Any, ...], data)
    codecs = REGISTRY.fields_of(cls.__name__)
    return cls(*(codec.from_abi(item) for (_, codec), item in zip(codecs, members, strict=True)))


def field_names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))
