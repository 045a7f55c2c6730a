// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { Context } from "@openzeppelin/contracts/utils/Context.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { Multicall } from "@openzeppelin/contracts/utils/Multicall.sol";

import { LeaseBook, MarketParameters } from "./LeaseBook.sol";
import { ILeaseAmendments } from "./interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "./interfaces/ILeaseBook.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import {
    Acceptance,
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    NoticeReason,
    OrderAcknowledgement,
    PostedOrder,
    RelayedCall,
    Terms
} from "./libraries/Types.sol";
import { WeeklyHours } from "./libraries/WeeklyHours.sol";

/// @title What changes a lease between its opening and its closing, and the owner's few powers
/// @dev Code for LeaseMarket, which delegates to it: at its own address there is nothing to take.
contract LeaseAmendments is ILeaseAmendments, LeaseBook, Multicall {
    using ExactTransfer for IERC20;
    using SafeCast for uint256;

    /// Whose code answers what this one does not.
    address public immutable SUCCESSION;

    constructor(MarketParameters memory parameters, ILeaseBook succession) LeaseBook(parameters) {
        _requireSameParameters(succession);
        SUCCESSION = address(succession);
    }

    /// Native coin comes only with the calls that take it.
    fallback(bytes calldata data) external returns (bytes memory) {
        return Address.functionDelegateCall(SUCCESSION, data);
    }

    /// @inheritdoc ILeaseAmendments
    function cancelSalt(uint256 salt) external override {
        saltCancelled[_msgSender()][salt] = true;
        emit SaltCancelled(_msgSender(), salt);
    }

    /// @inheritdoc ILeaseAmendments
    function extend(Terms calldata terms, uint40 end) external override nonReentrant {
        (, LeaseState storage lease) = _openLease(terms);
        _requireRenter(lease, terms);
        _extend(terms, end, _latestEnd(terms));
    }

    /// @inheritdoc ILeaseAmendments
    function giveNotice(Terms calldata terms, NoticeReason reason, bytes32 evidence) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        bool byProvider = _msgSender() == terms.offer.provider;
        address renter = _renterOf(lease, terms);
        if (!byProvider && _msgSender() != renter) {
            revert OnlyParty(renter, terms.offer.provider, _msgSender());
        }
        _settleMatured(leaseId, lease, terms);
        uint256 noticed = block.timestamp + terms.offer.noticeSeconds;
        uint256 start = terms.start;
        if (byProvider) {
            noticed = Math.max(start, noticed);
        } else {
            noticed = noticed < start ? start : Math.max(start + terms.offer.minSeconds, noticed);
        }
        _bringEndForward(lease, terms, noticed, byProvider);
        emit NoticeGiven(leaseId, _msgSender(), _endOf(lease, terms), _penaltyOf(lease), reason, evidence);
    }

    /// @inheritdoc ILeaseAmendments
    function giveNoticeInGang(Terms calldata terms, Terms calldata failed, bytes32 evidence)
        external
        override
    {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _requireRenter(lease, terms);
        bytes32 failedId = _leaseId(failed, Hashing.hash(failed.offer));
        if (terms.gangId == 0 || failed.gangId != terms.gangId) {
            revert GangInvalid(terms.gangId, failed.gangId);
        }
        if (_leases[failedId].flags & LeaseFlags.PROVIDER_FAILED == 0) revert GangNotFailed(failedId);
        _settleMatured(leaseId, lease, terms);
        uint256 noticed = Math.max(terms.start, block.timestamp + terms.offer.noticeSeconds);
        _bringEndForward(lease, terms, noticed, false);
        emit NoticeGiven(
            leaseId, _msgSender(), _endOf(lease, terms), _penaltyOf(lease), NoticeReason.GANG_FAILED, evidence
        );
    }

    /// @inheritdoc ILeaseAmendments
    function accept(Terms calldata terms, bytes32 proofHash, bytes calldata renterSignature)
        external
        override
    {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        if (lease.matureOffset == 0 || lease.proofHash != proofHash) {
            revert ProofNotPending(lease.proofHash, proofHash);
        }
        if (lease.openDisputes != 0) revert DisputeOpen(lease.openDisputes);
        _requireSigned(_renterOf(lease, terms), Hashing.hash(Acceptance(leaseId, proofHash)), renterSignature);
        emit ProofAccepted(leaseId, proofHash);
        _settlePending(leaseId, lease, terms);
    }

    /// @inheritdoc ILeaseAmendments
    function postOrder(Terms calldata terms, bytes32 orderDigest) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _requireRenter(lease, terms);
        _requireRunning(lease, terms);
        PostedOrder storage order = _orders[leaseId];
        if (order.orderDigest != 0) revert OrderUnanswered(order.orderDigest);
        if (orderDigest == 0) revert OrderNotPosted(bytes32(0), orderDigest);
        uint256 scheduled = WeeklyHours.scheduled(terms.weeklyHours, terms.start, block.timestamp);
        uint32 answerWithin = (scheduled + ANSWER_SECONDS).toUint32();
        order.orderDigest = orderDigest;
        order.answerWithin = answerWithin;
        lease.flags |= LeaseFlags.ORDERED;
        emit OrderPosted(leaseId, orderDigest, answerWithin);
    }

    /// @inheritdoc ILeaseAmendments
    function answerOrder(
        Terms calldata terms,
        bytes32 orderDigest,
        bool accepted,
        bytes calldata workerSignature
    ) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        bytes32 posted = _orders[leaseId].orderDigest;
        if (posted == 0 || posted != orderDigest) revert OrderNotPosted(posted, orderDigest);
        _requireSigned(
            REGISTRY.workerOf(terms.offer.unitId),
            Hashing.hash(OrderAcknowledgement(leaseId, orderDigest, accepted)),
            workerSignature
        );
        _endOrder(leaseId, lease, terms, orderDigest, accepted);
    }

    /// @inheritdoc ILeaseAmendments
    function releaseHours(Terms calldata terms) external override {
        bytes32 leaseId = _leaseId(terms, Hashing.hash(terms.offer));
        LeaseState storage lease = _leases[leaseId];
        if (lease.status == LeaseStatus.OPEN) _settleMatured(leaseId, lease, terms);
        else if (lease.status != LeaseStatus.BREACHED) revert LeaseNotOpen(leaseId, lease.status);
        uint256 end = _endOf(lease, terms);
        if (block.timestamp < end) revert LeaseNotEnded(end, block.timestamp);
        if (lease.flags & LeaseFlags.HOURS_RELEASED != 0) revert HoursAlreadyReleased(leaseId);
        lease.flags |= LeaseFlags.HOURS_RELEASED;
        emit HoursReleased(leaseId, terms.offer.unitId);
        REGISTRY.releaseHours(terms.offer.unitId, terms.weeklyHours);
    }

    /// @inheritdoc ILeaseAmendments
    function endDispute(Terms calldata terms, bytes32 proofHash, uint32 secondsLeft)
        external
        override
        onlyCourt
    {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _requireDisputed(lease, proofHash);
        uint16 openDisputes = lease.openDisputes - 1;
        lease.openDisputes = openDisputes;
        uint32 pending = lease.pendingSeconds;
        if (secondsLeft < pending) {
            pending = Math.max(secondsLeft, lease.settledSeconds).toUint32();
            lease.pendingSeconds = pending;
        }
        uint256 lastPost = _lastPost(lease, terms);
        uint256 newLastPost = block.timestamp + PROOF_GRACE_SECONDS;
        // Nobody posts while a dispute is open, so the last one of a proof must leave time, not the first one. A proof
        // posted in the time so won gives no more: else disputes among friends would keep the lease from its end.
        uint256 lastMaturity = uint256(lease.endOffset) + PROOF_GRACE_SECONDS + CHALLENGE_SECONDS;
        if (lease.matureOffset <= lastMaturity && newLastPost > lastPost) {
            lease.flags |= LeaseFlags.AMENDED;
            lease.lastPostOffset = (newLastPost - terms.start).toUint32();
            lastPost = newLastPost;
        }
        emit DisputeEnded(leaseId, proofHash, openDisputes, pending, lastPost.toUint40());
    }

    /// @inheritdoc ILeaseAmendments
    function breach(Terms calldata terms, bytes32 proofHash, uint96 restitution, uint96 reward)
        external
        override
        onlyCourt
        returns (uint96 slashed)
    {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _requireDisputed(lease, proofHash);
        lease.pendingSeconds = 0;
        lease.matureOffset = 0;
        lease.openDisputes = 0;
        lease.status = LeaseStatus.BREACHED;
        uint256 end = Math.min(_endOf(lease, terms), Math.max(terms.start, block.timestamp));
        lease.endOffset = (end - terms.start).toUint32();
        uint8 flags = lease.flags;
        lease.flags = flags | LeaseFlags.CLOSING | LeaseFlags.PROVIDER_FAILED | LeaseFlags.BOND_SLASHED;
        if (flags & LeaseFlags.BOND_SLASHED == 0) slashed = terms.offer.bond;
        emit LeaseBreached(leaseId, proofHash, end.toUint40(), slashed);
        if (slashed != 0) _slash(lease, terms, restitution, reward);
    }

    /// @inheritdoc ILeaseAmendments
    function slashBond(Terms calldata terms, uint96 restitution, uint96 reward)
        external
        override
        onlyCourt
        returns (uint96 slashed)
    {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        if (lease.flags & LeaseFlags.BOND_SLASHED != 0) return 0;
        lease.flags |= LeaseFlags.BOND_SLASHED;
        slashed = terms.offer.bond;
        emit BondSlashed(leaseId, slashed);
        if (slashed != 0) _slash(lease, terms, restitution, reward);
    }

    /// @inheritdoc ILeaseAmendments
    function multicall(bytes[] calldata data)
        public
        override(ILeaseAmendments, Multicall)
        returns (bytes[] memory results)
    {
        return super.multicall(data);
    }

    /// @inheritdoc ILeaseAmendments
    function usePermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        override
    {
        if (!tokenTerms[token].allowed) revert TokenNotAllowed(token);
        IERC20(token).tryPermit(_msgSender(), amount, deadline, v, r, s);
    }

    /// @inheritdoc ILeaseAmendments
    function relay(RelayedCall calldata call, bytes calldata signature)
        external
        override
        returns (bytes memory result)
    {
        return _relay(call, signature);
    }

    /// @inheritdoc ILeaseAmendments
    function withdrawFees(address token) external override nonReentrant returns (uint256 amount) {
        amount = feesOf[token];
        if (amount == 0) revert NothingToWithdraw(token, treasury);
        delete feesOf[token];
        emit FeesWithdrawn(token, treasury, amount);
        IERC20(token).push(treasury, amount);
    }

    /// @inheritdoc ILeaseAmendments
    function setToken(address token, bool allowed, uint16 feeBps) external override onlyOwner {
        if (token == address(0)) revert ZeroAddress();
        if (feeBps > MAX_FEE_BPS) revert FeeAboveCap(MAX_FEE_BPS, feeBps);
        tokenTerms[token] = TokenTerms(allowed, feeBps);
        emit TokenSet(token, allowed, feeBps);
    }

    /// @inheritdoc ILeaseAmendments
    function setTreasury(address treasury_) external override onlyOwner {
        if (treasury_ == address(0)) revert ZeroAddress();
        treasury = treasury_;
        emit TreasuryChanged(treasury_);
    }

    function _slash(LeaseState storage lease, Terms calldata terms, uint96 restitution, uint96 reward)
        private
    {
        REGISTRY.slash(
            terms.offer.provider, terms.offer.bond, _renterOf(lease, terms), restitution, COURT, reward
        );
    }

    function _requireDisputed(LeaseState storage lease, bytes32 proofHash) private view {
        if (lease.openDisputes == 0 || lease.proofHash != proofHash) {
            revert ProofNotPending(lease.proofHash, proofHash);
        }
    }

    function _msgSender() internal view override(Context, LeaseBook) returns (address) {
        return LeaseBook._msgSender();
    }

    function _contextSuffixLength() internal pure override(Context, LeaseBook) returns (uint256) {
        return LeaseBook._contextSuffixLength();
    }
}
