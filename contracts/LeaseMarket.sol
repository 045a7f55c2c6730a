// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable, Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { ILeaseMarket } from "./interfaces/ILeaseMarket.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import {
    CompletionProof,
    LeaseState,
    LeaseStatus,
    NoticeReason,
    Offer,
    OfferKind,
    Terms
} from "./libraries/Types.sol";
import { WeeklyHours } from "./libraries/WeeklyHours.sol";

/// @title Offers, leases, escrow, proofs and settlement
contract LeaseMarket is ILeaseMarket, EIP712, Ownable2Step, ReentrancyGuardTransient {
    using ExactTransfer for IERC20;
    using SafeCast for uint256;

    uint16 public constant override MAX_FEE_BPS = 300;
    uint32 public constant override MAX_START_DELAY_SECONDS = 7 days;
    uint32 public constant override HORIZON_SECONDS = 400 days;

    uint256 private constant BPS = 10_000;
    uint8 private constant HOURS_RELEASED = 1;

    IProviderRegistry public immutable override REGISTRY;
    uint32 public immutable override CHALLENGE_SECONDS;
    uint32 public immutable override PROOF_GRACE_SECONDS;

    uint16 public override feeBps;
    address public override treasury;
    mapping(address token => bool) public override tokenAllowed;
    mapping(bytes32 offerHash => address provider) public override listedBy;
    mapping(address token => mapping(address account => uint256 amount)) public override creditOf;
    mapping(bytes32 leaseId => LeaseState) private _leases;

    constructor(
        IProviderRegistry registry,
        address owner,
        address treasury_,
        uint16 feeBps_,
        uint32 challengeSeconds,
        uint32 proofGraceSeconds
    ) EIP712("GPGPU", "1") Ownable(owner) {
        if (registry.MARKET() != address(this)) {
            revert RegistryOfAnotherMarket(address(this), registry.MARKET());
        }
        if (challengeSeconds == 0 || proofGraceSeconds < challengeSeconds) {
            revert WindowsInvalid(challengeSeconds, proofGraceSeconds);
        }
        REGISTRY = registry;
        CHALLENGE_SECONDS = challengeSeconds;
        PROOF_GRACE_SECONDS = proofGraceSeconds;
        _setFee(feeBps_);
        _setTreasury(treasury_);
    }

    /// @inheritdoc ILeaseMarket
    function list(Offer calldata offer) external override returns (bytes32 offerHash) {
        if (offer.provider != msg.sender) revert OnlyProvider(offer.provider, msg.sender);
        if (!tokenAllowed[offer.token]) revert TokenNotAllowed(offer.token);
        if (block.timestamp > offer.validUntil) revert OfferExpired(offer.validUntil, block.timestamp);
        if (
            offer.minSeconds > offer.maxSeconds || offer.maxSeconds == 0 || offer.maxSeconds > HORIZON_SECONDS
        ) {
            revert OfferDurationInvalid(offer.minSeconds, offer.maxSeconds, HORIZON_SECONDS);
        }
        offerHash = Hashing.hash(offer);
        if (listedBy[offerHash] != address(0)) revert OfferAlreadyListed(offerHash);
        listedBy[offerHash] = msg.sender;
        emit OfferListed(offerHash, msg.sender, offer.unitId, offer);
    }

    /// @inheritdoc ILeaseMarket
    function unlist(bytes32 offerHash) external override {
        address provider = listedBy[offerHash];
        if (provider == address(0)) revert OfferNotListed(offerHash);
        if (provider != msg.sender) revert OnlyProvider(provider, msg.sender);
        delete listedBy[offerHash];
        emit OfferUnlisted(offerHash, msg.sender);
    }

    /// @inheritdoc ILeaseMarket
    function open(Terms calldata terms) external override nonReentrant returns (bytes32 leaseId) {
        uint96 deposit;
        (leaseId, deposit) = _open(terms);
        IERC20(terms.offer.token).pull(msg.sender, deposit);
    }

    /// @inheritdoc ILeaseMarket
    function openWithPermit(Terms calldata terms, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        override
        nonReentrant
        returns (bytes32 leaseId)
    {
        uint96 deposit;
        (leaseId, deposit) = _open(terms);
        IERC20 token = IERC20(terms.offer.token);
        token.tryPermit(msg.sender, deposit, deadline, v, r, s);
        token.pull(msg.sender, deposit);
    }

    /// @inheritdoc ILeaseMarket
    function postProof(Terms calldata terms, CompletionProof calldata proof) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        address worker = REGISTRY.workerOf(terms.offer.unitId);
        if (msg.sender != worker) revert OnlyWorker(worker, msg.sender);
        if (proof.leaseId != leaseId) revert LeaseMismatch(leaseId, proof.leaseId);
        if (block.timestamp < terms.start) revert LeaseNotStarted(terms.start, block.timestamp);
        _settleMatured(leaseId, lease, terms);
        _requireNonePending(lease, terms);
        _requireClaimable(lease, terms, proof.provenSeconds);
        if (proof.previousProof != lease.proofHash) {
            revert ProofOutOfOrder(lease.proofHash, proof.previousProof);
        }

        bytes32 proofHash = Hashing.hash(proof);
        uint40 maturesAt = (block.timestamp + CHALLENGE_SECONDS).toUint40();
        lease.pendingSeconds = proof.provenSeconds;
        lease.matureOffset = uint256(maturesAt - terms.start).toUint32();
        lease.proofHash = proofHash;
        emit ProofPosted(leaseId, proofHash, proof, maturesAt);
    }

    /// @inheritdoc ILeaseMarket
    function settle(Terms calldata terms) external override returns (uint96 pay, uint96 fee) {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        return _settleMatured(leaseId, lease, terms);
    }

    /// @inheritdoc ILeaseMarket
    function giveNotice(Terms calldata terms, NoticeReason reason, bytes32 evidence) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        bool byProvider = msg.sender == terms.offer.provider;
        address renter = _renterOf(lease, terms);
        if (!byProvider && msg.sender != renter) revert OnlyParty(renter, terms.offer.provider, msg.sender);
        _settleMatured(leaseId, lease, terms);

        uint256 oldEnd = uint256(terms.start) + lease.endOffset;
        if (block.timestamp >= oldEnd) revert LeaseEnded(oldEnd, block.timestamp);
        uint256 newEnd = Math.min(oldEnd, _noticedEnd(terms, byProvider));
        // What the provider's own notice cuts off stays owed. The renter's cannot cut off more after that: it ends no
        // earlier than the same notice given before it.
        if (terms.offer.kind == OfferKind.RESERVED && byProvider) {
            uint256 cut = WeeklyHours.scheduled(terms.weeklyHours, newEnd, oldEnd);
            if (cut != 0) lease.penaltySeconds += cut.toUint32();
        }
        lease.endOffset = (newEnd - terms.start).toUint32();
        emit NoticeGiven(leaseId, msg.sender, newEnd.toUint40(), lease.penaltySeconds, reason, evidence);
    }

    /// @inheritdoc ILeaseMarket
    function releaseHours(Terms calldata terms) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _settleMatured(leaseId, lease, terms);
        uint256 end = uint256(terms.start) + lease.endOffset;
        if (block.timestamp < end) revert LeaseNotEnded(end, block.timestamp);
        if (lease.flags & HOURS_RELEASED != 0) revert HoursAlreadyReleased(leaseId);
        lease.flags |= HOURS_RELEASED;
        emit HoursReleased(leaseId, terms.offer.unitId);
        REGISTRY.releaseHours(terms.offer.unitId, terms.weeklyHours);
    }

    /// @inheritdoc ILeaseMarket
    function close(Terms calldata terms) external override {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _settleMatured(leaseId, lease, terms);
        _requireNonePending(lease, terms);
        uint256 scheduled = _requireClosable(lease, terms);

        uint32 settled = lease.settledSeconds;
        address renter = _renterOf(lease, terms);
        uint96 refund = lease.deposit - _grossPay(terms, settled).toUint96();
        uint96 compensation = _compensation(lease, terms, scheduled);
        bool hoursHeld = lease.flags & HOURS_RELEASED == 0;
        delete _leases[leaseId];
        lease.status = LeaseStatus.CLOSED;
        if (refund != 0) creditOf[terms.offer.token][renter] += refund;
        emit LeaseClosed(leaseId, settled, refund, compensation);
        if (hoursHeld) REGISTRY.releaseHours(terms.offer.unitId, terms.weeklyHours);
        REGISTRY.releaseBond(terms.offer.provider, renter, terms.offer.bond, compensation);
    }

    /// @inheritdoc ILeaseMarket
    function withdraw(address token, address to) external override nonReentrant returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        amount = creditOf[token][msg.sender];
        if (amount == 0) revert NothingToWithdraw(token, msg.sender);
        delete creditOf[token][msg.sender];
        emit Withdrawn(token, msg.sender, to, amount);
        IERC20(token).push(to, amount);
    }

    /// @inheritdoc ILeaseMarket
    function allowToken(address token, bool allowed) external override onlyOwner {
        if (token == address(0)) revert ZeroAddress();
        tokenAllowed[token] = allowed;
        emit TokenAllowed(token, allowed);
    }

    /// @inheritdoc ILeaseMarket
    function setFee(uint16 feeBps_) external override onlyOwner {
        _setFee(feeBps_);
    }

    /// @inheritdoc ILeaseMarket
    function setTreasury(address treasury_) external override onlyOwner {
        _setTreasury(treasury_);
    }

    /// @inheritdoc ILeaseMarket
    function leaseIdOf(Terms calldata terms) external view override returns (bytes32) {
        return _leaseId(terms, Hashing.hash(terms.offer));
    }

    /// @inheritdoc ILeaseMarket
    function leaseState(bytes32 leaseId) external view override returns (LeaseState memory) {
        return _leases[leaseId];
    }

    /// @inheritdoc ILeaseMarket
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc ILeaseMarket
    function scheduledSeconds(uint168 weeklyHours, uint40 from, uint40 to)
        external
        pure
        override
        returns (uint256)
    {
        return WeeklyHours.scheduled(weeklyHours, from, to);
    }

    /// Checks the terms, writes the lease, books the unit. The caller pulls the deposit.
    function _open(Terms calldata terms) private returns (bytes32 leaseId, uint96 deposit) {
        if (msg.sender != terms.renter) revert OnlyRenter(terms.renter, msg.sender);
        if (!tokenAllowed[terms.offer.token]) revert TokenNotAllowed(terms.offer.token);
        if (terms.feeBps != feeBps) revert FeeMismatch(feeBps, terms.feeBps);
        bytes32 offerHash = Hashing.hash(terms.offer);
        if (listedBy[offerHash] == address(0)) revert OfferNotListed(offerHash);
        _requireTimes(terms);
        leaseId = _leaseId(terms, offerHash);
        LeaseState storage lease = _leases[leaseId];
        if (lease.status != LeaseStatus.NONE) revert LeaseExists(leaseId);

        deposit = _deposit(terms);
        lease.deposit = deposit;
        lease.endOffset = uint256(terms.end - terms.start).toUint32();
        lease.status = LeaseStatus.OPEN;
        emit LeaseOpened(leaseId, terms.renter, terms.offer.provider, terms, deposit);
        REGISTRY.lock(terms.offer, terms.weeklyHours);
    }

    /// "Settle first": a matured and undisputed proof becomes pay and fee. Both are differences of cumulative amounts,
    /// so that many settlements equal one.
    function _settleMatured(bytes32 leaseId, LeaseState storage lease, Terms calldata terms)
        private
        returns (uint96 pay, uint96 fee)
    {
        uint32 matureOffset = lease.matureOffset;
        if (matureOffset == 0 || lease.openDisputes != 0) return (0, 0);
        if (block.timestamp < uint256(terms.start) + matureOffset) return (0, 0);

        uint32 settledBefore = lease.settledSeconds;
        uint32 settled = lease.pendingSeconds;
        lease.settledSeconds = settled;
        lease.pendingSeconds = 0;
        lease.matureOffset = 0;

        uint256 grossBefore = _grossPay(terms, settledBefore);
        uint256 gross = _grossPay(terms, settled);
        fee = (gross * terms.feeBps / BPS - grossBefore * terms.feeBps / BPS).toUint96();
        pay = (gross - grossBefore).toUint96() - fee;
        address token = terms.offer.token;
        if (pay != 0) creditOf[token][terms.offer.provider] += pay;
        if (fee != 0) creditOf[token][treasury] += fee;
        emit Settled(leaseId, lease.proofHash, settled, pay, fee);
    }

    function _setFee(uint16 feeBps_) private {
        if (feeBps_ > MAX_FEE_BPS) revert FeeAboveCap(MAX_FEE_BPS, feeBps_);
        feeBps = feeBps_;
        emit FeeChanged(feeBps_);
    }

    function _setTreasury(address treasury_) private {
        if (treasury_ == address(0)) revert ZeroAddress();
        treasury = treasury_;
        emit TreasuryChanged(treasury_);
    }

    function _openLease(Terms calldata terms)
        private
        view
        returns (bytes32 leaseId, LeaseState storage lease)
    {
        leaseId = _leaseId(terms, Hashing.hash(terms.offer));
        lease = _leases[leaseId];
        if (lease.status != LeaseStatus.OPEN) revert LeaseNotOpen(leaseId, lease.status);
    }

    function _leaseId(Terms calldata terms, bytes32 offerHash) private view returns (bytes32) {
        return _hashTypedDataV4(Hashing.hash(terms, offerHash));
    }

    function _requireTimes(Terms calldata terms) private view {
        Offer calldata offer = terms.offer;
        uint256 nowSeconds = block.timestamp;
        if (nowSeconds > offer.validUntil) revert OfferExpired(offer.validUntil, nowSeconds);
        uint256 start = terms.start;
        uint256 latestStart = nowSeconds + MAX_START_DELAY_SECONDS;
        if (start < nowSeconds || start > latestStart) {
            revert StartOutOfRange(nowSeconds, latestStart, terms.start);
        }
        uint256 earliestEnd = start + Math.max(offer.minSeconds, 1);
        if (terms.end < earliestEnd || terms.end > terms.maxEnd) {
            revert EndOutOfRange(earliestEnd, terms.maxEnd, terms.end);
        }
        uint256 latestEnd = start + Math.min(offer.maxSeconds, HORIZON_SECONDS);
        if (terms.maxEnd > latestEnd) revert MaxEndOutOfRange(terms.end, latestEnd, terms.maxEnd);
        if (terms.weeklyHours & ~offer.weeklyHours != 0) {
            revert HoursNotOffered(offer.weeklyHours, terms.weeklyHours);
        }
    }

    function _requireNonePending(LeaseState storage lease, Terms calldata terms) private view {
        if (lease.openDisputes != 0) revert DisputeOpen(lease.openDisputes);
        if (lease.matureOffset != 0) revert ProofPending(terms.start + lease.matureOffset, block.timestamp);
    }

    function _requireClaimable(LeaseState storage lease, Terms calldata terms, uint32 claimed) private view {
        uint256 end = uint256(terms.start) + lease.endOffset;
        uint256 lastPost = end + PROOF_GRACE_SECONDS;
        if (block.timestamp > lastPost) revert ProofAfterLastPost(lastPost, block.timestamp);
        uint32 settled = lease.settledSeconds;
        uint256 scheduled =
            WeeklyHours.scheduled(terms.weeklyHours, terms.start, Math.min(block.timestamp, end));
        if (claimed < settled || claimed > scheduled) {
            revert ProvenSecondsOutOfRange(settled, scheduled, claimed);
        }
    }

    /// @return scheduled seconds of the whole lease
    function _requireClosable(LeaseState storage lease, Terms calldata terms)
        private
        view
        returns (uint256 scheduled)
    {
        uint256 end = uint256(terms.start) + lease.endOffset;
        scheduled = WeeklyHours.scheduled(terms.weeklyHours, terms.start, end);
        bool allSettled = block.timestamp >= end && lease.settledSeconds == scheduled;
        uint256 closableAt = end + PROOF_GRACE_SECONDS + 1;
        if (!allSettled && block.timestamp < closableAt) {
            revert LeaseNotClosable(closableAt, block.timestamp);
        }
    }

    function _noticedEnd(Terms calldata terms, bool byProvider) private view returns (uint256) {
        uint256 start = terms.start;
        uint256 noticed = block.timestamp + terms.offer.noticeSeconds;
        if (byProvider) return Math.max(start, noticed);
        return noticed < start ? start : Math.max(start + terms.offer.minSeconds, noticed);
    }

    /// Of the bond, the share that the reserved seconds not served have in those owed.
    function _compensation(LeaseState storage lease, Terms calldata terms, uint256 scheduled)
        private
        view
        returns (uint96)
    {
        uint256 owed = scheduled + lease.penaltySeconds;
        if (terms.offer.kind != OfferKind.RESERVED || owed == 0) return 0;
        return (uint256(terms.offer.bond) * (owed - lease.settledSeconds) / owed).toUint96();
    }

    function _renterOf(LeaseState storage lease, Terms calldata terms) private view returns (address) {
        address renterOverride = lease.renterOverride;
        return renterOverride == address(0) ? terms.renter : renterOverride;
    }

    /// ceil(price x scheduled / 3600): the end is always funded.
    function _deposit(Terms calldata terms) private pure returns (uint96) {
        uint256 scheduled = WeeklyHours.scheduled(terms.weeklyHours, terms.start, terms.end);
        if (scheduled == 0) revert NothingScheduled();
        return Math.ceilDiv(uint256(terms.offer.pricePerHour) * scheduled, 1 hours).toUint96();
    }

    /// Pay and fee together for so many proven seconds since the start, rounded down.
    function _grossPay(Terms calldata terms, uint256 provenSeconds) private pure returns (uint256) {
        return uint256(terms.offer.pricePerHour) * provenSeconds / 1 hours;
    }
}
