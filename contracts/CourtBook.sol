// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { RelayedContext } from "./RelayedContext.sol";
import { CourtParameters, DisputeKey, DisputeKind, ICourtBook, Phase } from "./interfaces/ICourtBook.sol";
import { ILeaseAmendments } from "./interfaces/ILeaseAmendments.sol";
import { ILeaseMarket } from "./interfaces/ILeaseMarket.sol";
import { IOracleQuorum } from "./interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { Hashing } from "./libraries/Hashing.sol";
import { TraceTree } from "./libraries/TraceTree.sol";
import { JobReceipt, TraceLeaf } from "./libraries/Types.sol";

/// @title The storage of disputes, and the rules that ComputeCourt and CourtProceedings share
/// @dev CourtProceedings runs on ComputeCourt's storage: all of it is declared here, neither adds any.
/// Tokens here plus the court's credit in the registry = balances + bonds of open disputes + burned.
abstract contract CourtBook is ICourtBook, RelayedContext, ReentrancyGuardTransient {
    using SafeCast for uint256;

    uint256 internal constant MIN_COMMITTEE = 3;
    uint256 internal constant MAX_COMMITTEE = 9;
    /// The EVM knows the hashes of 256 blocks; half of them must remain for the draw.
    uint256 internal constant MAX_DRAW_DELAY_BLOCKS = 128;

    uint256 internal constant PER_CENT = 100;
    /// Shares of a slashed bond; of a challenge bond the committee's is the same.
    uint256 internal constant FEE_PER_CENT = 10;
    uint256 internal constant RESTITUTION_PER_CENT = 30;
    uint256 internal constant REWARD_PER_CENT = 30;
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("GPGPU");
    bytes32 private constant VERSION_HASH = keccak256("1");

    ILeaseMarket public immutable override MARKET;
    IProviderRegistry public immutable override REGISTRY;
    IOracleQuorum public immutable override QUORUM;
    address public immutable override STAKE_TOKEN;
    uint96 public immutable override CHALLENGE_BOND;
    uint96 public immutable override ABSENCE_PENALTY;
    uint8 public immutable override COMMITTEE_SIZE;
    uint32 public immutable override DRAW_DELAY_BLOCKS;
    uint32 public immutable override DRAW_SECONDS;
    uint32 public immutable override DATA_SECONDS;
    uint32 public immutable override COMMIT_SECONDS;
    uint32 public immutable override REVEAL_SECONDS;
    uint32 public immutable override CLOCK_SECONDS;
    uint32 public immutable override DISPUTE_MAX_SECONDS;
    /// For so long after a draw a member's index is sure to be the same member's.
    uint32 internal immutable EXIT_SECONDS;

    mapping(address account => uint256 amount) public override balanceOf;
    uint256 public override burned;
    mapping(bytes32 disputeId => Dispute) internal _disputes;
    // slither-disable-next-line uninitialized-state (CourtProceedings writes them)
    mapping(bytes32 disputeId => Committee) internal _committees;
    mapping(bytes32 disputeId => Bisection) internal _bisections;
    // slither-disable-next-line uninitialized-state (written by a pointer to one of them)
    mapping(bytes32 disputeId => mapping(uint32 drawBlock => mapping(uint8 member => Ballot))) internal
        _ballots;

    constructor(
        ILeaseMarket market,
        IProviderRegistry registry,
        IOracleQuorum quorum,
        CourtParameters memory parameters
    ) EIP712("GPGPU", "1") {
        MARKET = market;
        REGISTRY = registry;
        QUORUM = quorum;
        STAKE_TOKEN = registry.STAKE_TOKEN();
        CHALLENGE_BOND = parameters.challengeBond;
        ABSENCE_PENALTY = parameters.absencePenalty;
        COMMITTEE_SIZE = parameters.committeeSize;
        DRAW_DELAY_BLOCKS = parameters.drawDelayBlocks;
        DRAW_SECONDS = parameters.drawSeconds;
        DATA_SECONDS = parameters.dataSeconds;
        COMMIT_SECONDS = parameters.commitSeconds;
        REVEAL_SECONDS = parameters.revealSeconds;
        CLOCK_SECONDS = parameters.clockSeconds;
        DISPUTE_MAX_SECONDS = _disputeMax(parameters).toUint32();
        EXIT_SECONDS = quorum.EXIT_SECONDS();
    }

    function _credit(bytes32 disputeId, address account, uint256 amount) internal {
        if (amount == 0) return;
        balanceOf[account] += amount;
        emit Credited(account, disputeId, amount.toUint96());
    }

    /// Arms the draw of a committee by a block whose hash nobody knows yet.
    function _armDraw(bytes32 disputeId, Dispute storage dispute) internal {
        uint32 drawBlock = _nextDrawBlock();
        dispute.drawBlock = drawBlock;
        emit DrawArmed(disputeId, drawBlock);
    }

    function _nextDrawBlock() internal view returns (uint32) {
        return (block.number + DRAW_DELAY_BLOCKS).toUint32();
    }

    /// Ends of the windows of a committee drawn at `since`.
    function _windows(DisputeKind kind, uint256 since)
        internal
        view
        returns (uint256 dataUntil, uint256 commitUntil, uint256 revealUntil)
    {
        dataUntil = kind == DisputeKind.AVAILABILITY ? since : since + DATA_SECONDS;
        commitUntil = dataUntil + COMMIT_SECONDS;
        revealUntil = commitUntil + REVEAL_SECONDS;
    }

    function _requirePhase(bytes32 disputeId, Phase expected) internal view {
        Phase actual = _disputes[disputeId].phase;
        if (actual != expected) revert PhaseMismatch(disputeId, actual);
    }

    function _inCommittee(Phase phase) internal pure returns (bool) {
        return phase == Phase.FIRST_COMMITTEE || phase == Phase.SECOND_COMMITTEE;
    }

    function _inDraw(Phase phase) internal pure returns (bool) {
        return phase == Phase.FIRST_DRAW || phase == Phase.SECOND_DRAW;
    }

    function _idOf(DisputeKey memory key) internal pure returns (bytes32) {
        return keccak256(abi.encode(key));
    }

    /// Both clocks, two rounds, and the time to bring the spec of a verdict.
    function _disputeMax(CourtParameters memory parameters) internal pure returns (uint256) {
        uint256 round = uint256(parameters.drawSeconds) + parameters.dataSeconds + parameters.commitSeconds
            + parameters.revealSeconds;
        return 2 * uint256(parameters.clockSeconds) + 2 * round + parameters.revealSeconds;
    }

    function _amendments() internal view returns (ILeaseAmendments) {
        return ILeaseAmendments(address(MARKET));
    }

    function _requireReceipt(DisputeKey calldata key, JobReceipt calldata receipt) internal view {
        bytes32 digest = _digestOf(receipt);
        if (digest != key.receiptDigest) revert ReceiptMismatch(key.receiptDigest, digest);
    }

    /// Workers sign receipts in the market's domain.
    function _digestOf(JobReceipt calldata receipt) internal view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(MARKET)));
        return MessageHashUtils.toTypedDataHash(domain, Hashing.hash(receipt));
    }

    /// `before` is what `claimed` follows, and bound as a leaf must be.
    function _requireBefore(
        JobReceipt calldata receipt,
        uint32 index,
        TraceLeaf calldata before,
        TraceLeaf calldata claimed
    ) internal pure {
        _requireNode(claimed.previous, TraceTree.leafHash(before));
        if (!_isBound(before, receipt, index - 1)) revert LeafInvalid(index - 1);
    }

    /// @return whether the leaf names the receipt's spec and its own index, and leaf 0 follows nothing
    function _isBound(TraceLeaf calldata leaf, JobReceipt calldata receipt, uint32 index)
        internal
        pure
        returns (bool)
    {
        if (leaf.jobSpecDigest != receipt.specDigest || leaf.index != index) return false;
        return index != 0 || leaf.previous == 0;
    }

    function _requireNode(bytes32 expected, bytes32 actual) internal pure {
        if (actual != expected) revert NodeMismatch(expected, actual);
    }

    function _restitution(uint256 bond) internal pure returns (uint96) {
        return (bond * RESTITUTION_PER_CENT / PER_CENT).toUint96();
    }

    function _reward(uint256 bond) internal pure returns (uint256) {
        return bond * REWARD_PER_CENT / PER_CENT;
    }
}
