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
    UNREACHABLE
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
    /// Leaves under `jobsRoot`: jobs finished since the proof before.
    uint32 jobsCompleted;
    bytes32 jobsRoot;
    /// Root over the digests of the lease's heartbeats since the proof before.
    bytes32 availabilityRoot;
    /// Since the start of the lease.
    uint64 energyJoules;
}

/// What a delegate may do for the renter when a provider fails.
struct FailoverPolicy {
    address delegate;
    uint96 maxPricePerHour;
    bytes32 gpuClass;
    uint96 minBond;
    bytes32 allowedProvidersRoot;
    uint8 maxHops;
    uint40 deadline;
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
    // slot 2
    address renterOverride;
    uint32 penaltySeconds; // cut off by the provider's own early close
    uint32 lastPostOffset; // from terms.start, where a dispute moved it
    uint8 hops;
}
