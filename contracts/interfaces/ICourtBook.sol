// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { JobReceipt, TraceLeaf } from "../libraries/Types.sol";
import { ILeaseMarket } from "./ILeaseMarket.sol";
import { IOracleQuorum } from "./IOracleQuorum.sol";
import { IProviderRegistry } from "./IProviderRegistry.sol";
import { IRelayedContext } from "./IRelayedContext.sol";

/// What a dispute is about.
/// SEGMENT: of a TRACED job, the steps between leaf `segment - 1` (of leaf 0: the spec's initial state) and leaf
/// `segment`; segment = leafCount is the output, against the last leaf.
/// JOB: all of a job. AVAILABILITY: the seconds that a proof claims, no job. BISECTION: the trace of a job whose leaves
/// were withheld; once the leaf is found it is judged as that segment. TRACE: a trace that contradicts itself at leaf
/// `segment`, which the EVM decides at once.
enum DisputeKind {
    SEGMENT,
    JOB,
    AVAILABILITY,
    BISECTION,
    TRACE
}

/// Where a dispute stands. NONE: it was never opened, or may be opened once more, or its lease is over.
enum Phase {
    NONE,
    BISECTION,
    FIRST_DRAW,
    FIRST_COMMITTEE,
    SECOND_DRAW,
    SECOND_COMMITTEE,
    FINAL
}

enum Ruling {
    NONE,
    STANDS,
    REFUTED,
    INCONCLUSIVE
}

/// How a dispute ended. OVERCLAIMED: the claim was cut.
enum Outcome {
    STANDS,
    REFUTED,
    WITHHELD,
    OVERCLAIMED,
    INCONCLUSIVE,
    MOOT
}

/// The hash of its ABI encoding is the dispute's id: one dispute a key.
struct DisputeKey {
    bytes32 leaseId;
    bytes32 proofHash;
    DisputeKind kind;
    /// EIP-712 digest of the job's receipt; zero for AVAILABILITY.
    bytes32 receiptDigest;
    /// Of SEGMENT and TRACE, else zero.
    uint32 segment;
    /// Of BISECTION, else zero: who loses a bisection by silence shields no trace from the next challenger.
    address challenger;
}

/// A job's receipt and where it stands in a proof's `jobsRoot`.
struct ProvenReceipt {
    JobReceipt receipt;
    uint32 index;
    bytes32[] branch;
}

/// A leaf and its siblings in a receipt's `traceRoot`.
struct ProvenLeaf {
    TraceLeaf leaf;
    bytes32[] branch;
}

/// What an arbiter commits to, then reveals.
struct Verdict {
    Ruling ruling;
    /// Its own root after the segment.
    bytes32 stateRoot;
    /// How far the claimed state is from its own, in 10^-9.
    uint64 errorPpb;
    /// AVAILABILITY: seconds since the start of the lease that its log shows.
    uint32 provenSeconds;
}

struct CourtParameters {
    /// Base units of the stake token.
    uint96 challengeBond;
    /// What a drawn arbiter without a verdict loses.
    uint96 absencePenalty;
    /// Odd, 3 to 9.
    uint8 committeeSize;
    /// The committee is drawn by the hash of the block so many after the opening.
    uint32 drawDelayBlocks;
    uint32 drawSeconds;
    uint32 dataSeconds;
    uint32 commitSeconds;
    uint32 revealSeconds;
    /// Each side of a bisection has so many seconds in all.
    uint32 clockSeconds;
}

/// @title What ComputeCourt and CourtProceedings share: events, errors, and what both store
/// @notice All money is base units of the stake token. Every phase has an end after which anybody moves the dispute on;
/// no dispute lasts longer than `DISPUTE_MAX_SECONDS`. Windows are half open: [from, until).
interface ICourtBook is IRelayedContext {
    struct Dispute {
        // slot 0
        address challenger;
        uint40 since; // of the phase
        uint32 drawBlock; // its hash draws the committee; tells rounds apart
        Phase phase;
    }

    /// @notice Bit i stands for member i of the quorum.
    struct Committee {
        // slot 0
        uint64 members;
        uint64 voted;
        uint64 withheld; // voted that data is missing
        uint64 revealed;
    }

    struct Ballot {
        // slot 0
        bytes32 commitment;
        // slot 1, once revealed
        Ruling ruling;
        uint64 errorPpb;
        uint32 provenSeconds;
        bytes19 stateTag; // first bytes of the state root
    }

    struct Bisection {
        // slot 0
        bytes32 node;
        // slot 1
        uint32 first; // leaf under the node
        uint32 count; // of leaves under it
        uint40 turnSince;
        uint32 providerSeconds; // left on its clock
        uint32 challengerSeconds;
        bool challengersTurn;
    }

    event Deposited(address indexed account, uint96 amount);
    event Withdrawn(address indexed account, address indexed to, uint96 amount);
    /// @notice What a dispute pays into an account's balance: bond, reward, fee.
    event Credited(address indexed account, bytes32 indexed disputeId, uint96 amount);
    event BurnedSwept(uint256 amount);
    /// @notice `CHALLENGE_BOND` left the challenger's balance.
    event Challenged(
        bytes32 indexed disputeId,
        bytes32 indexed leaseId,
        address indexed challenger,
        bytes32 proofHash,
        DisputeKind kind,
        bytes32 receiptDigest,
        uint32 segment,
        uint32 drawBlock
    );
    /// @notice A bisection arrived at this segment.
    /// @param before all zero where there is none
    event SegmentDisputed(bytes32 indexed disputeId, uint32 segment, TraceLeaf before, TraceLeaf claimed);
    event JobDisputed(bytes32 indexed disputeId, JobReceipt receipt);
    event ChildrenRevealed(bytes32 indexed disputeId, bytes32 left, bytes32 right);
    event Descended(bytes32 indexed disputeId, bytes32 node, uint32 first, uint32 count);
    event DrawArmed(bytes32 indexed disputeId, uint32 drawBlock);
    event CommitteeDrawn(bytes32 indexed disputeId, uint32 indexed drawBlock, uint64 members);
    /// @param missingDigest zero: all is available
    event DataVoted(bytes32 indexed disputeId, uint32 indexed drawBlock, uint8 member, bytes32 missingDigest);
    event VerdictCommitted(
        bytes32 indexed disputeId, uint32 indexed drawBlock, uint8 member, bytes32 commitment
    );
    event VerdictRevealed(bytes32 indexed disputeId, uint32 indexed drawBlock, uint8 member, Verdict verdict);
    /// @notice A trace contradicts itself: its lease is breached without a committee.
    event TraceRefuted(
        bytes32 indexed disputeId,
        bytes32 indexed leaseId,
        address indexed challenger,
        bytes32 proofHash,
        bytes32 receiptDigest,
        uint32 index
    );
    /// @param slashed of the lease's bond
    /// @param burned of the challenge bond
    /// @param secondsLeft of the claim, where it goes on
    event DisputeResolved(
        bytes32 indexed disputeId,
        bytes32 indexed leaseId,
        Outcome outcome,
        uint96 slashed,
        uint96 burned,
        uint32 secondsLeft
    );

    error ZeroAddress();
    error ZeroAmount();
    error ContractsMismatch(address expected, address actual);
    error ParameterInvalid(bytes32 name, uint256 actual);
    /// @notice Members of the quorum must stay bonded for as long as a dispute lasts.
    error ExitTooShort(uint256 disputeMaxSeconds, uint256 exitSeconds);
    error BalanceTooSmall(uint256 needed, uint256 available);
    error NothingBurned();
    error DisputeExists(bytes32 disputeId, Phase phase);
    error PhaseMismatch(bytes32 disputeId, Phase actual);
    error LeaseMismatch(bytes32 expected, bytes32 actual);
    error ReceiptMismatch(bytes32 expected, bytes32 actual);
    error SpecMismatch(bytes32 expected, bytes32 actual);
    error ReceiptNotInProof(bytes32 receiptDigest, uint32 index);
    error SegmentOutOfRange(uint32 leafCount, uint32 actual);
    error LeafNotInTrace(uint32 index);
    /// @notice The leaf contradicts the one before, the spec or its position; where it is in the tree: `refuteTrace`.
    error LeafInvalid(uint32 index);
    error TraceConsistent(uint32 index);
    error NotATrace(bytes32 receiptDigest);
    error NodeMismatch(bytes32 expected, bytes32 actual);
    error NotYourTurn(bool challengersTurn);
    error OnlyChallenger(address expected, address actual);
    error OnlyArbiter(address expected, address actual);
    error NotDrawn(uint8 member);
    error VotedAlready(uint8 member);
    error CommittedAlready(uint8 member);
    error RevealedAlready(uint8 member);
    error CommitmentMismatch(bytes32 expected, bytes32 actual);
    error RulingInvalid();
    error NoDataVote(DisputeKind kind);
    error DataWithheld(bytes32 disputeId);
    error TooEarly(uint256 from, uint256 nowSeconds);
    error TooLate(uint256 until, uint256 nowSeconds);
    error DrawBlockNotMined(uint256 drawBlock, uint256 blockNumber);
    /// @notice `resolveRefuted` with the job's spec, until then.
    error SpecNeeded(uint256 until, uint256 nowSeconds);
    error LeaseStillOpen(bytes32 leaseId);

    function MARKET() external view returns (ILeaseMarket);
    function REGISTRY() external view returns (IProviderRegistry);
    function QUORUM() external view returns (IOracleQuorum);
    function STAKE_TOKEN() external view returns (address);
    function CHALLENGE_BOND() external view returns (uint96);
    function ABSENCE_PENALTY() external view returns (uint96);
    function COMMITTEE_SIZE() external view returns (uint8);
    function DRAW_DELAY_BLOCKS() external view returns (uint32);
    function DRAW_SECONDS() external view returns (uint32);
    function DATA_SECONDS() external view returns (uint32);
    function COMMIT_SECONDS() external view returns (uint32);
    function REVEAL_SECONDS() external view returns (uint32);
    function CLOCK_SECONDS() external view returns (uint32);
    /// @return from a challenge to the last instant at which anybody can end the dispute
    function DISPUTE_MAX_SECONDS() external view returns (uint32);
    function balanceOf(address account) external view returns (uint256);
    /// @return base units burned in the books and not swept
    function burned() external view returns (uint256);
}
