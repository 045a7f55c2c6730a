// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { CourtBook } from "./CourtBook.sol";
import { CourtProceedings } from "./CourtProceedings.sol";
import {
    CourtParameters,
    DisputeKey,
    DisputeKind,
    Outcome,
    Phase,
    ProvenLeaf,
    ProvenReceipt
} from "./interfaces/ICourtBook.sol";
import { IComputeCourt } from "./interfaces/IComputeCourt.sol";
import { ILeaseMarket } from "./interfaces/ILeaseMarket.sol";
import { IOracleQuorum } from "./interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import { MerkleTree } from "./libraries/MerkleTree.sol";
import { TraceTree } from "./libraries/TraceTree.sol";
import { CompletionProof, JobReceipt, RelayedCall, Terms, TraceLeaf } from "./libraries/Types.sol";

/// @title Disputes over pending proofs
/// @dev What it does not answer, CourtProceedings' code does on its storage. Both are fixed at deployment.
contract ComputeCourt is IComputeCourt, CourtBook {
    using ExactTransfer for IERC20;
    using SafeCast for uint256;

    address internal constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    address public immutable override PROCEEDINGS;

    constructor(
        ILeaseMarket market,
        IProviderRegistry registry,
        IOracleQuorum quorum,
        CourtParameters memory parameters
    ) CourtBook(market, registry, quorum, parameters) {
        _requireContracts(market, registry, quorum);
        _requireParameters(parameters);
        uint32 exitSeconds = quorum.EXIT_SECONDS();
        uint256 disputeMax = _disputeMax(parameters);
        if (exitSeconds < disputeMax) revert ExitTooShort(disputeMax, exitSeconds);
        PROCEEDINGS = address(new CourtProceedings(market, registry, quorum, parameters));
    }

    fallback(bytes calldata data) external returns (bytes memory) {
        return Address.functionDelegateCall(PROCEEDINGS, data);
    }

    /// @inheritdoc IComputeCourt
    function deposit(uint96 amount) external override nonReentrant {
        if (amount == 0) revert ZeroAmount();
        address account = _msgSender();
        balanceOf[account] += amount;
        emit Deposited(account, amount);
        IERC20(STAKE_TOKEN).pull(account, amount);
    }

    /// @inheritdoc IComputeCourt
    function relay(RelayedCall calldata call, bytes calldata signature)
        external
        override
        returns (bytes memory result)
    {
        return _relay(call, signature);
    }

    /// @inheritdoc IComputeCourt
    function withdraw(address to, uint96 amount) external override nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        _takeFromBalance(amount);
        emit Withdrawn(_msgSender(), to, amount);
        _fetchCompensation();
        IERC20(STAKE_TOKEN).push(to, amount);
    }

    /// @inheritdoc IComputeCourt
    function sweepBurned() external override nonReentrant returns (uint256 amount) {
        amount = burned;
        if (amount == 0) revert NothingBurned();
        burned = 0;
        emit BurnedSwept(amount);
        _fetchCompensation();
        IERC20(STAKE_TOKEN).push(NOBODY, amount);
    }

    /// @inheritdoc IComputeCourt
    function disputeOf(bytes32 disputeId) external view override returns (Dispute memory) {
        return _disputes[disputeId];
    }

    /// @inheritdoc IComputeCourt
    function committeeOf(bytes32 disputeId) external view override returns (Committee memory) {
        return _committees[disputeId];
    }

    /// @inheritdoc IComputeCourt
    function ballotOf(bytes32 disputeId, uint32 drawBlock, uint8 member)
        external
        view
        override
        returns (Ballot memory)
    {
        return _ballots[disputeId][drawBlock][member];
    }

    /// @inheritdoc IComputeCourt
    function bisectionOf(bytes32 disputeId) external view override returns (Bisection memory) {
        return _bisections[disputeId];
    }

    /// @inheritdoc IComputeCourt
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IComputeCourt
    function disputeIdOf(DisputeKey calldata key) external pure override returns (bytes32) {
        return _idOf(key);
    }

    /// @inheritdoc IComputeCourt
    function challengeSegment(
        Terms calldata terms,
        CompletionProof calldata proof,
        ProvenReceipt calldata proven,
        uint32 segment,
        TraceLeaf calldata before,
        ProvenLeaf calldata claimed
    ) external override returns (bytes32 disputeId) {
        DisputeKey memory key = _keyOf(proof, proven, DisputeKind.SEGMENT);
        key.segment = segment;
        JobReceipt calldata receipt = proven.receipt;
        if (receipt.leafCount == 0 || segment > receipt.leafCount) {
            revert SegmentOutOfRange(receipt.leafCount, segment);
        }
        bool ofOutput = segment == receipt.leafCount;
        uint32 index = ofOutput ? segment - 1 : segment;
        _requireInTrace(receipt, index, claimed);
        if (!_isBound(claimed.leaf, receipt, index)) revert LeafInvalid(index);
        if (!ofOutput && index != 0) _requireBefore(receipt, index, before, claimed.leaf);
        disputeId = _challenge(key, terms, Phase.FIRST_DRAW);
        if (ofOutput) emit JobDisputed(disputeId, receipt);
    }

    /// @inheritdoc IComputeCourt
    function challengeJob(Terms calldata terms, CompletionProof calldata proof, ProvenReceipt calldata proven)
        external
        override
        returns (bytes32 disputeId)
    {
        DisputeKey memory key = _keyOf(proof, proven, DisputeKind.JOB);
        disputeId = _challenge(key, terms, Phase.FIRST_DRAW);
        emit JobDisputed(disputeId, proven.receipt);
    }

    /// @inheritdoc IComputeCourt
    function challengeAvailability(Terms calldata terms, CompletionProof calldata proof)
        external
        override
        returns (bytes32 disputeId)
    {
        DisputeKey memory key = DisputeKey({
            leaseId: proof.leaseId,
            proofHash: Hashing.hash(proof),
            kind: DisputeKind.AVAILABILITY,
            receiptDigest: 0,
            segment: 0,
            challenger: address(0)
        });
        return _challenge(key, terms, Phase.FIRST_DRAW);
    }

    /// @inheritdoc IComputeCourt
    function startBisection(
        Terms calldata terms,
        CompletionProof calldata proof,
        ProvenReceipt calldata proven
    ) external override returns (bytes32 disputeId) {
        DisputeKey memory key = _keyOf(proof, proven, DisputeKind.BISECTION);
        key.challenger = _msgSender();
        uint32 count = proven.receipt.leafCount;
        if (count == 0) revert NotATrace(key.receiptDigest);
        disputeId = _challenge(key, terms, Phase.BISECTION);
        _bisections[disputeId] = Bisection({
            node: proven.receipt.traceRoot,
            first: 0,
            count: count,
            turnSince: block.timestamp.toUint40(),
            providerSeconds: CLOCK_SECONDS,
            challengerSeconds: CLOCK_SECONDS,
            challengersTurn: false
        });
        emit JobDisputed(disputeId, proven.receipt);
    }

    /// @inheritdoc IComputeCourt
    function refuteTrace(
        Terms calldata terms,
        CompletionProof calldata proof,
        ProvenReceipt calldata proven,
        uint32 index,
        ProvenLeaf calldata leaf,
        ProvenLeaf calldata previous
    ) external override nonReentrant returns (bytes32 disputeId) {
        DisputeKey memory key = _keyOf(proof, proven, DisputeKind.TRACE);
        key.segment = index;
        JobReceipt calldata receipt = proven.receipt;
        _requireInTrace(receipt, index, leaf);
        if (_isBound(leaf.leaf, receipt, index)) {
            if (index == 0) revert TraceConsistent(index);
            _requireInTrace(receipt, index - 1, previous);
            bool follows = TraceTree.leafHash(previous.leaf) == leaf.leaf.previous;
            if (follows && previous.leaf.step < leaf.leaf.step) revert TraceConsistent(index);
        }
        disputeId = _idOf(key);
        emit TraceRefuted(disputeId, key.leaseId, _msgSender(), key.proofHash, key.receiptDigest, index);
        _openDispute(key, terms);
        uint256 bond = terms.offer.bond;
        uint96 slashed =
            _amendments().breach(terms, key.proofHash, _restitution(bond), _reward(bond).toUint96());
        _credit(disputeId, _msgSender(), _reward(slashed));
        emit DisputeResolved(disputeId, key.leaseId, Outcome.REFUTED, slashed, 0, 0);
    }

    /// @inheritdoc IComputeCourt
    function revealChildren(DisputeKey calldata key, bytes32 left, bytes32 right) external override {
        (bytes32 disputeId, Bisection storage bisection) = _takeTurn(key, false);
        if (bisection.count == 1) revert NodeMismatch(bisection.node, MerkleTree.nodeHash(left, right));
        _requireNode(bisection.node, MerkleTree.nodeHash(left, right));
        emit ChildrenRevealed(disputeId, left, right);
    }

    /// @inheritdoc IComputeCourt
    function descend(DisputeKey calldata key, bytes32 left, bytes32 right, bool toRight) external override {
        if (_msgSender() != key.challenger) revert OnlyChallenger(key.challenger, _msgSender());
        (bytes32 disputeId, Bisection storage bisection) = _takeTurn(key, true);
        _requireNode(bisection.node, MerkleTree.nodeHash(left, right));
        uint32 count = bisection.count;
        uint32 first = bisection.first;
        uint32 leftCount = TraceTree.leftCount(count).toUint32();
        if (toRight) {
            first += leftCount;
            count -= leftCount;
        } else {
            count = leftCount;
        }
        bytes32 node = toRight ? right : left;
        bisection.node = node;
        bisection.first = first;
        bisection.count = count;
        emit Descended(disputeId, node, first, count);
    }

    /// @inheritdoc IComputeCourt
    function revealLeaves(
        DisputeKey calldata key,
        JobReceipt calldata receipt,
        TraceLeaf calldata before,
        TraceLeaf calldata claimed
    ) external override {
        _requireReceipt(key, receipt);
        (bytes32 disputeId, Bisection storage bisection) = _takeTurn(key, false);
        if (bisection.count != 1) revert NodeMismatch(bisection.node, TraceTree.leafHash(claimed));
        _requireNode(bisection.node, TraceTree.leafHash(claimed));
        uint32 index = bisection.first;
        // A leaf that fails here cannot be shown at all: its provider's clock runs out.
        if (!_isBound(claimed, receipt, index)) revert LeafInvalid(index);
        if (index != 0) {
            _requireBefore(receipt, index, before, claimed);
            if (before.step >= claimed.step) revert LeafInvalid(index);
        }
        delete _bisections[disputeId];
        Dispute storage dispute = _disputes[disputeId];
        dispute.phase = Phase.FIRST_DRAW;
        dispute.since = block.timestamp.toUint40();
        emit SegmentDisputed(disputeId, index, before, claimed);
        _armDraw(disputeId, dispute);
    }

    /// Takes the bond, writes the dispute, counts it in the market, which refuses proofs that are not pending.
    function _challenge(DisputeKey memory key, Terms calldata terms, Phase phase)
        private
        returns (bytes32 disputeId)
    {
        disputeId = _idOf(key);
        Dispute storage dispute = _disputes[disputeId];
        if (dispute.phase != Phase.NONE) revert DisputeExists(disputeId, dispute.phase);
        _takeFromBalance(CHALLENGE_BOND);
        uint32 drawBlock = _nextDrawBlock();
        _disputes[disputeId] = Dispute({
            challenger: _msgSender(), since: block.timestamp.toUint40(), drawBlock: drawBlock, phase: phase
        });
        emit Challenged(
            disputeId,
            key.leaseId,
            _msgSender(),
            key.proofHash,
            key.kind,
            key.receiptDigest,
            key.segment,
            drawBlock
        );
        _openDispute(key, terms);
    }

    function _openDispute(DisputeKey memory key, Terms calldata terms) private {
        // slither-disable-next-line unused-return (renter and claim are looked up when they are needed)
        (bytes32 leaseId,,) = MARKET.openDispute(terms, key.proofHash);
        if (leaseId != key.leaseId) revert LeaseMismatch(leaseId, key.leaseId);
    }

    /// Uses up the time since the turn began, and passes the turn on.
    function _takeTurn(DisputeKey calldata key, bool byChallenger)
        private
        returns (bytes32 disputeId, Bisection storage bisection)
    {
        disputeId = _idOf(key);
        _requirePhase(disputeId, Phase.BISECTION);
        bisection = _bisections[disputeId];
        if (bisection.challengersTurn != byChallenger) revert NotYourTurn(bisection.challengersTurn);
        uint32 secondsLeft = byChallenger ? bisection.challengerSeconds : bisection.providerSeconds;
        uint256 until = uint256(bisection.turnSince) + secondsLeft;
        if (block.timestamp >= until) revert TooLate(until, block.timestamp);
        secondsLeft = (until - block.timestamp).toUint32();
        if (byChallenger) bisection.challengerSeconds = secondsLeft;
        else bisection.providerSeconds = secondsLeft;
        bisection.turnSince = block.timestamp.toUint40();
        bisection.challengersTurn = !byChallenger;
    }

    /// The receipt is a leaf of the proof's jobs, and of this lease.
    function _keyOf(CompletionProof calldata proof, ProvenReceipt calldata proven, DisputeKind kind)
        private
        view
        returns (DisputeKey memory key)
    {
        JobReceipt calldata receipt = proven.receipt;
        if (receipt.leaseId != proof.leaseId) revert LeaseMismatch(proof.leaseId, receipt.leaseId);
        bytes32 digest = _digestOf(receipt);
        bytes32 leaf = MerkleTree.leafHash(abi.encodePacked(digest));
        if (!TraceTree.verify(proof.jobsRoot, leaf, proven.index, proof.leafCount, proven.branch)) {
            revert ReceiptNotInProof(digest, proven.index);
        }
        key.leaseId = proof.leaseId;
        key.proofHash = Hashing.hash(proof);
        key.kind = kind;
        key.receiptDigest = digest;
    }

    function _requireInTrace(JobReceipt calldata receipt, uint32 index, ProvenLeaf calldata proven)
        private
        pure
    {
        bytes32 leaf = TraceTree.leafHash(proven.leaf);
        if (!TraceTree.verify(receipt.traceRoot, leaf, index, receipt.leafCount, proven.branch)) {
            revert LeafNotInTrace(index);
        }
    }

    function _takeFromBalance(uint256 amount) internal {
        uint256 balance = balanceOf[_msgSender()];
        if (balance < amount) revert BalanceTooSmall(amount, balance);
        balanceOf[_msgSender()] = balance - amount;
    }

    /// Rewards out of slashed bonds wait for the court in the registry.
    function _fetchCompensation() private {
        if (REGISTRY.compensationOf(address(this)) != 0) {
            // slither-disable-next-line unused-return (the registry's own books say how much)
            REGISTRY.withdrawCompensation(address(this));
        }
    }

    function _requireContracts(ILeaseMarket market, IProviderRegistry registry, IOracleQuorum quorum)
        private
        view
    {
        _requireSame(address(market), registry.MARKET());
        _requireSame(address(quorum), address(registry.QUORUM()));
        _requireSame(address(this), quorum.COURT());
        _requireSame(registry.STAKE_TOKEN(), quorum.STAKE_TOKEN());
    }

    function _requireSame(address expected, address actual) private pure {
        if (actual != expected) revert ContractsMismatch(expected, actual);
    }

    function _requireParameters(CourtParameters memory parameters) private pure {
        _requireRange("challengeBond", parameters.challengeBond, 1, type(uint96).max);
        uint8 size = parameters.committeeSize;
        _requireRange("committeeSize", size, MIN_COMMITTEE, MAX_COMMITTEE);
        if (size % 2 == 0) revert ParameterInvalid("committeeSize", size);
        _requireRange("drawDelayBlocks", parameters.drawDelayBlocks, 1, MAX_DRAW_DELAY_BLOCKS);
        _requireRange("drawSeconds", parameters.drawSeconds, 1, type(uint32).max);
        _requireRange("dataSeconds", parameters.dataSeconds, 1, type(uint32).max);
        _requireRange("commitSeconds", parameters.commitSeconds, 1, type(uint32).max);
        _requireRange("revealSeconds", parameters.revealSeconds, 1, type(uint32).max);
        _requireRange("clockSeconds", parameters.clockSeconds, 1, type(uint32).max);
    }

    function _requireRange(bytes32 name, uint256 actual, uint256 least, uint256 most) private pure {
        if (actual < least || actual > most) revert ParameterInvalid(name, actual);
    }
}
