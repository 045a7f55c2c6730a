// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Test } from "forge-std/Test.sol";

import { ComputeCourt } from "../../../contracts/ComputeCourt.sol";
import { Digests } from "../../../contracts/Digests.sol";
import { LeaseMarket } from "../../../contracts/LeaseMarket.sol";
import { OracleQuorum } from "../../../contracts/OracleQuorum.sol";
import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { DisputeKey } from "../../../contracts/interfaces/ICourtBook.sol";
import { CompletionProof, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { WeeklyHours } from "../../../contracts/libraries/WeeklyHours.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { DevWrappedNative } from "../../../contracts/test/DevWrappedNative.sol";

/// What a lease should have come to, kept apart from the contracts and fed by their events alone.
struct Shadow {
    Terms terms;
    bytes32 leaseId;
    /// Of today.
    address renter;
    uint8 transfers;
    uint8 hops;
    LeaseStatus status;
    bool hoursHeld;
    bool closing;
    bool failed;
    bool failedOver;
    bool bondSlashed;
    /// The last proof's only job is the receipt that `_receiptOf` makes.
    bool receipted;
    uint16 disputes;
    uint40 end;
    /// Where a dispute moved it, else zero.
    uint40 movedLastPost;
    /// Zero: no proof pending.
    uint40 maturesAt;
    uint32 answerWithin;
    uint32 settledSeconds;
    uint32 pendingSeconds;
    uint32 penaltySeconds;
    uint32 lostSeconds;
    uint256 deposit;
    uint256 paid;
    uint256 fees;
    uint256 refunded;
    uint256 compensated;
    uint256 slashed;
    bytes32 proofHash;
    bytes32 order;
    CompletionProof lastProof;
}

/// A dispute as its challenger knows it.
struct Case {
    DisputeKey key;
    bytes32 id;
    uint256 lease;
    bool open;
}

struct Protocol {
    LeaseMarket market;
    ProviderRegistry registry;
    OracleQuorum quorum;
    ComputeCourt court;
    DevToken stakeToken;
    DevWrappedNative wrapped;
    Digests digests;
    address owner;
}

/// @title What the campaign knows: who there is, and the shadows of leases, disputes and money
abstract contract Shadows is Test {
    uint256 public constant ACTORS = 3;
    /// Of each provider.
    uint256 public constant UNITS = 4;
    uint256 public constant ARBITERS = 4;
    uint8 internal constant THRESHOLD = 3;
    uint256 internal constant MAX_LEASES = 250;
    bytes32 internal constant GPU_CLASS = "RTX 4090";

    LeaseMarket public immutable MARKET;
    ProviderRegistry public immutable REGISTRY;
    OracleQuorum public immutable QUORUM;
    ComputeCourt public immutable COURT;
    DevToken public immutable STAKE_TOKEN;
    DevWrappedNative public immutable WRAPPED;
    Digests internal immutable DIGESTS;
    address internal immutable OWNER;
    address public immutable ATTACKER = makeAddr("attacker");
    /// Whoever carries others' calls and signatures.
    address internal immutable KEEPER = makeAddr("keeper");
    uint32 internal immutable CHALLENGE_SECONDS;
    uint32 internal immutable PROOF_GRACE_SECONDS;
    uint96 public immutable CHALLENGE_BOND;

    /// What is paid in; the native coin's wrapper comes last.
    IERC20[] public tokens;
    address[] public providers;
    address[] public renters;
    address[] public workers;
    address[] public treasuries;
    address[] public arbiters;
    address[] public operators;
    bytes32[] public units;
    /// Challenges for nobody's sake but the reward's.
    address public verifier;
    /// Carries out failover policies.
    address internal delegate;
    /// Pays for others' leases, by permit alone.
    address internal sponsor;
    mapping(address account => uint256) internal _keyOf;

    Shadow[] internal _shadows;
    mapping(bytes32 leaseId => uint256 indexPlusOne) internal _indexOf;
    mapping(bytes32 leaseId => Terms) internal _proposed;
    mapping(bytes32 proofHash => bool) internal _proofSeen;
    Case[] internal _cases;
    mapping(bytes32 disputeId => uint256 indexPlusOne) internal _openCase;
    /// Leases that the last call touched.
    uint256[] internal _touched;

    // Payment tokens: by account, and added up as they change
    mapping(address token => mapping(address account => uint256)) public credited;
    mapping(address token => mapping(address account => uint256)) public withdrawn;
    mapping(address token => uint256) public deposits;
    mapping(address token => uint256) public credits;
    mapping(address token => uint256) public fees;
    mapping(address holder => mapping(address token => uint256)) public donated;

    // The stake token
    mapping(address provider => uint256) public staked;
    mapping(address provider => uint256) public lockedOf;
    mapping(address provider => uint256) public unbonding;
    mapping(address provider => uint256) public unbondAt;
    mapping(address provider => uint24) public epochOf;
    mapping(address account => uint256) public compensated;
    mapping(address account => uint256) public compensationWithdrawn;
    uint256 public stakes;
    uint256 public compensations;
    uint256 public burned;
    mapping(address account => uint256) public courtBalanceOf;
    uint256 public courtBalances;
    uint256 public openBonds;
    uint256 public arbitersBonds;

    mapping(bytes32 unitId => uint168) public bookedHoursOf;
    mapping(address target => mapping(address account => uint256)) public nonceOf;
    mapping(string action => uint256) public calls;

    constructor(Protocol memory protocol, IERC20[] memory tokens_) {
        MARKET = protocol.market;
        REGISTRY = protocol.registry;
        QUORUM = protocol.quorum;
        COURT = protocol.court;
        STAKE_TOKEN = protocol.stakeToken;
        WRAPPED = protocol.wrapped;
        DIGESTS = protocol.digests;
        OWNER = protocol.owner;
        CHALLENGE_SECONDS = protocol.market.CHALLENGE_SECONDS();
        PROOF_GRACE_SECONDS = protocol.market.PROOF_GRACE_SECONDS();
        CHALLENGE_BOND = protocol.court.CHALLENGE_BOND();
        tokens = tokens_;
    }

    function shadowCount() external view returns (uint256) {
        return _shadows.length;
    }

    function shadowAt(uint256 index) external view returns (Shadow memory) {
        return _shadows[index];
    }

    function caseCount() external view returns (uint256) {
        return _cases.length;
    }

    function caseAt(uint256 index) external view returns (Case memory) {
        return _cases[index];
    }

    function touched() external view returns (uint256[] memory) {
        return _touched;
    }

    function freeStakeOf(address provider) public view returns (uint256) {
        return staked[provider] - lockedOf[provider] - unbonding[provider];
    }

    /// The last second at which a proof of this lease can be posted.
    function lastPostOf(uint256 index) external view returns (uint256) {
        return _lastPost(_shadows[index]);
    }

    function _lastPost(Shadow storage shadow) internal view returns (uint256) {
        uint256 regular = uint256(shadow.end) + PROOF_GRACE_SECONDS;
        return regular > shadow.movedLastPost ? regular : shadow.movedLastPost;
    }

    function _now() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function _skipTo(uint256 instant) internal {
        if (instant > _now()) skip(instant - _now());
    }

    function _scheduled(Terms memory terms, uint256 from, uint256 to) internal pure returns (uint256) {
        return WeeklyHours.scheduled(terms.weeklyHours, from, to);
    }

    function _depositFor(Terms memory terms, uint256 end) internal pure returns (uint256) {
        return (uint256(terms.offer.pricePerHour) * _scheduled(terms, terms.start, end) + 3599) / 3600;
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a : b;
    }
}
