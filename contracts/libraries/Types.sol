// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// The structs that contracts, oracle, worker and auditors agree on. They are the single source: the ABI is generated
// from them, the EIP-712 types of every Python component are derived from that ABI. Money is in base units of a token,
// durations in seconds, instants in Unix seconds.

/// RESERVED: the provider owes every scheduled second. IDLE: only those in which the owner leaves the GPUs idle.
enum OfferKind {
    RESERVED,
    IDLE
}

enum LeaseStatus {
    NONE,
    OPEN,
    BREACHED,
    CLOSED
}

/// What can be proven of a job: OPAQUE who ran it and how long, EXACT also its output, TRACED every segment of it.
enum JobClass {
    OPAQUE,
    EXACT,
    TRACED
}

/// How a job ended. LIMIT_EXCEEDED: a bound of its order stopped it. REFUSED: the worker did not start it.
enum JobOutcome {
    COMPLETED,
    FAILED,
    LIMIT_EXCEEDED,
    CANCELLED,
    REFUSED
}

enum NoticeReason {
    UNSPECIFIED,
    WORK_DONE,
    OWNER_RETURNS,
    MAINTENANCE,
    HARDWARE_FAULT,
    UNREACHABLE,
    GANG_FAILED
}

/// A disjoint set of GPUs of one provider on one node: what can be rented.
struct Unit {
    address provider;
    /// Hot key of the daemon on the node: signs heartbeats, receipts and proofs, moves no money.
    address worker;
    /// X25519 public key of the worker, to which renters encrypt bundles.
    bytes32 encryptionKey;
    /// The provider's own name of the host, opaque to the protocol.
    bytes32 nodeId;
    /// ASCII, right-padded with zeros, e.g. "RTX 4090".
    bytes32 gpuClass;
    uint16 gpuCount;
    /// Memory of each GPU.
    uint32 vramMiB;
}

/// A provider's terms for one unit.
struct Offer {
    address provider;
    bytes32 unitId;
    bytes32 gpuClass;
    uint16 gpuCount;
    address token;
    /// Base units of `token` per hour, for the whole unit.
    uint96 pricePerHour;
    OfferKind kind;
    /// Bit h is hour h of the week in UTC, bit 0 is Monday 00:00.
    uint168 weeklyHours;
    /// A lease lasts at least and at most so many seconds between start and end, hours not scheduled included.
    uint32 minSeconds;
    uint32 maxSeconds;
    uint32 noticeSeconds;
    /// Base units of the stake token, locked while a lease lives.
    uint96 bond;
    uint40 validUntil;
    /// Its highest 24 bits are the epoch of the provider in which the offer holds; the others tell offers apart.
    uint256 salt;
}

/// The terms of one lease. Their EIP-712 digest is the lease's id.
struct Terms {
    Offer offer;
    address renter;
    uint40 start;
    /// First end; later changes are deltas in storage.
    uint40 end;
    /// `topUp` moves the end no further.
    uint40 maxEnd;
    /// The hours leased: a subset of the offer's.
    uint168 weeklyHours;
    /// Share of pay for the treasury, in 1/10,000, as of the opening.
    uint16 feeBps;
    /// hashStruct of a FailoverPolicy, or zero.
    bytes32 policyHash;
    /// hashStruct of a JobOrder, its leaseId taken as zero; or zero.
    bytes32 firstOrder;
    /// Of leases opened by `openGang`; or zero.
    bytes32 gangId;
    /// The lease whose money `failover` moved here; or zero.
    bytes32 previousLeaseId;
    uint256 salt;
}

/// What the terms of a lease add to its offer and parties, as events tell it.
struct LeaseTerms {
    uint40 start;
    uint40 end;
    uint40 maxEnd;
    uint168 weeklyHours;
    uint16 feeBps;
    bytes32 policyHash;
    bytes32 firstOrder;
    bytes32 gangId;
    bytes32 previousLeaseId;
    uint256 salt;
}

/// Where bytes lie and who can read them. Both digests are SHA-256; they are equal where nothing is encrypted.
struct ArtifactRef {
    bytes32 plaintextDigest;
    bytes32 ciphertextDigest;
    /// Bytes of the ciphertext.
    uint64 size;
    /// One HPKE encapsulation of the content key for each reader.
    bytes[] wrappedKeys;
}

/// Everything that determines a computation. Its hashStruct is the job spec digest of VERIFICATION.md.
struct JobSpec {
    /// SHA-256 of the plaintext bundle.
    bytes32 bundleDigest;
    /// "module:attribute" of a step interface (TRACED), else the path of a script in the bundle.
    string entrypoint;
    string[] arguments;
    /// SHA-256 of the plaintext data artifact, or zero where the bundle holds all data.
    bytes32 dataRoot;
    /// Root of the state before the first step, or zero where `init` derives it from the seed.
    bytes32 initialStateRoot;
    uint64 seed;
    uint64 steps;
    /// A leaf of the trace is made each so many steps.
    uint64 checkpointEvery;
    /// "fp32", "bf16", ...
    string precision;
    JobClass jobClass;
    /// Digest of a calibrated tolerance profile, or zero: roots must be equal.
    bytes32 toleranceProfile;
    /// Digest of the environment that the job demands, or zero: any; the receipt says which it was.
    bytes32 environmentDigest;
}

struct JobLimits {
    uint32 wallSeconds;
    uint64 memoryBytes;
    uint32 processes;
    uint64 outputBytes;
    uint64 logBytes;
}

/// The renter's signed demand to run one job under a lease.
struct JobOrder {
    /// Taken as zero in the hash that a lease's terms carry of their first order: the id depends on it.
    bytes32 leaseId;
    bytes32 specDigest;
    ArtifactRef bundle;
    /// All zero where there is none.
    ArtifactRef data;
    JobLimits limits;
    /// Tells equal jobs of one lease apart.
    uint64 nonce;
    /// The job must not start later.
    uint40 deadline;
}

/// The worker's signed statement of one finished job: leaf of a proof's `jobsRoot`.
struct JobReceipt {
    bytes32 leaseId;
    bytes32 orderDigest;
    bytes32 specDigest;
    bytes32 unitId;
    uint32 attempt;
    /// SHA-256 of the bundle that ran.
    bytes32 inputDigest;
    /// SHA-256 of the output artifact, or zero where there is none.
    bytes32 outputDigest;
    /// Last leaf chain's Merkle root, or zero for a job that is not TRACED.
    bytes32 traceRoot;
    uint32 leafCount;
    bytes32 environmentDigest;
    JobOutcome outcome;
    int32 exitCode;
    uint64 gpuMilliseconds;
    uint64 energyJoules;
    uint40 startedAt;
    uint40 finishedAt;
}

/// What a worker signs at least every 30 s while the GPUs are at the renter's disposal.
struct Heartbeat {
    bytes32 leaseId;
    bytes32 unitId;
    uint64 blockNumber;
    bytes32 blockHash;
    uint40 blockTimestamp;
    bool atDisposal;
}

/// What the worker claims on-chain for a lease.
struct CompletionProof {
    bytes32 leaseId;
    /// hashStruct of the lease's proof before this one, or zero: a chain in which nothing can be replayed.
    bytes32 previousProof;
    /// Since the start of the lease.
    uint32 provenSeconds;
    /// Jobs of this lease finished since the proof before.
    uint32 jobsCompleted;
    /// Leaves under `jobsRoot`; more than `jobsCompleted` where one root serves several leases.
    uint32 leafCount;
    bytes32 jobsRoot;
    /// Root over the digests of the lease's heartbeats since the proof before.
    bytes32 availabilityRoot;
    /// Since the start of the lease.
    uint64 energyJoules;
}

/// What a worker claims for one of several leases in one transaction, whose roots they share.
struct ProofClaim {
    uint32 provenSeconds;
    uint32 jobsCompleted;
    uint64 energyJoules;
}

/// The renter's word that a pending proof is right: its window ends.
struct Acceptance {
    bytes32 leaseId;
    bytes32 proofHash;
}

/// The worker's answer to an order that the renter posted on-chain.
struct OrderAcknowledgement {
    bytes32 leaseId;
    bytes32 orderDigest;
    /// False: refused.
    bool accepted;
}

/// The worker's word that an idle lease's GPUs are their owner's since then.
struct Yield {
    bytes32 leaseId;
    uint40 since;
}

/// The quorum's finding that a lease's worker is gone since then.
struct Outage {
    bytes32 leaseId;
    uint40 since;
}

/// A lease changes hands, in just this state, for a price in its own token.
struct LeaseTransfer {
    bytes32 leaseId;
    address from;
    address to;
    uint96 price;
    /// Expected state.
    uint96 deposit;
    uint40 end;
    uint32 settledSeconds;
    /// Transfers of this lease before.
    uint8 transfers;
    uint40 deadline;
}

/// A call that `account` signed and anybody may send.
struct RelayedCall {
    address account;
    /// Calldata, selector included.
    bytes data;
    uint256 nonce;
    uint40 deadline;
}

/// What a delegate may do for the renter when a provider fails.
struct FailoverPolicy {
    address delegate;
    uint96 maxPricePerHour;
    /// Of the next unit, attested by the quorum.
    bytes32 gpuClass;
    uint96 minBond;
    /// Of a positional tree over providers' addresses (32-byte words), or zero: any provider.
    bytes32 allowedProvidersRoot;
    uint32 allowedProvidersCount;
    uint8 maxHops;
    uint40 deadline;
}

/// Where a provider stands in the tree of a FailoverPolicy.
struct AllowedProvider {
    uint32 index;
    bytes32[] branch;
}

/// The quorum's finding that a unit's GPUs are real.
struct GpuAttestation {
    bytes32 unitId;
    address provider;
    bytes32 nodeId;
    /// keccak-256 of each GPU's UUID, strictly ascending; with provider and nodeId they are the unit's id.
    bytes32[] gpuIds;
    bytes32 gpuClass;
    /// Of each GPU.
    uint32 vramMiB;
    /// Of the whole unit, in 10^9 operations a second.
    uint64 measuredGops;
    /// The block whose hash seeded the measurement.
    uint64 seedBlock;
    bytes32 seedBlockHash;
    /// SHA-256 of the measurement's record.
    bytes32 reportDigest;
    uint40 expiresAt;
}

/// One leaf of a trace, as VERIFICATION.md lays it out.
struct TraceLeaf {
    bytes32 jobSpecDigest;
    uint64 index;
    uint64 step;
    bytes32 stateRoot;
    bytes32 batchRoot;
    bytes32 metricsDigest;
    bytes32 previous;
}

/// One HTTP request, signed by whoever makes it.
struct SignedRequest {
    string method;
    /// Path and query.
    string target;
    /// SHA-256 of the body.
    bytes32 bodyDigest;
    uint40 expiresAt;
    bytes32 nonce;
}

/// Where a lease stands: slot 0, then 1 from the first proof on, then 2 where the opening terms were changed.
struct LeaseState {
    // slot 0
    uint96 deposit;
    uint32 endOffset; // end - terms.start
    uint32 settledSeconds;
    uint32 pendingSeconds;
    uint32 matureOffset; // of the pending proof, from terms.start; zero: none pending
    uint16 openDisputes;
    LeaseStatus status;
    uint8 flags;
    // slot 1
    bytes32 proofHash; // of the last proof
    // slot 2, where the flag AMENDED is set
    address renterOverride;
    uint32 penaltySeconds; // cut off by the provider's own early close, or by an outage
    uint32 lastPostOffset; // from terms.start, where a dispute moved it
    uint8 hops;
    uint8 transfers;
}

/// Bits of `LeaseState.flags`.
library LeaseFlags {
    uint8 internal constant HOURS_RELEASED = 1;
    /// Slot 2 is in use.
    uint8 internal constant AMENDED = 2;
    /// Notice was given: the end moves away no more.
    uint8 internal constant CLOSING = 4;
    /// The provider gave notice, failed or breached. It stays in the tombstone.
    uint8 internal constant PROVIDER_FAILED = 8;
    /// The court has taken the bond.
    uint8 internal constant BOND_SLASHED = 16;
    /// An order was posted on-chain.
    uint8 internal constant ORDERED = 32;
    /// Its money has moved on into the next lease.
    uint8 internal constant FAILED_OVER = 64;
}

/// The order that a renter posted on-chain last, and what waiting for answers has cost the provider.
struct PostedOrder {
    bytes32 orderDigest; // zero: none waits for its answer
    uint32 answerWithin; // scheduled seconds since the start: the worker owes no answer outside its hours
    uint32 lostSeconds; // scheduled ones beyond an answerWithin until its late answer
}
