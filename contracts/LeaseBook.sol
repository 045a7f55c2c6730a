// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable, Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Context } from "@openzeppelin/contracts/utils/Context.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { RelayedContext } from "./RelayedContext.sol";
import { ILeaseBook } from "./interfaces/ILeaseBook.sol";
import { IOracleQuorum } from "./interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { IWrappedNative } from "./interfaces/IWrappedNative.sol";
import { Accrual } from "./libraries/Accrual.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import {
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    LeaseTerms,
    Offer,
    OfferKind,
    PostedOrder,
    Terms
} from "./libraries/Types.sol";
import { WeeklyHours } from "./libraries/WeeklyHours.sol";

struct MarketParameters {
    IProviderRegistry registry;
    address court;
    IOracleQuorum quorum;
    /// Zero: the native coin is not taken.
    address wrappedNative;
    address owner;
    address treasury;
    uint32 challengeSeconds;
    uint32 proofGraceSeconds;
    uint32 answerSeconds;
}

/// @title The storage of leases, and the rules that LeaseMarket, LeaseAmendments and LeaseSuccession share
/// @dev The other two run on LeaseMarket's storage: all of it is declared here, none of them adds any.
abstract contract LeaseBook is ILeaseBook, RelayedContext, Ownable2Step, ReentrancyGuardTransient {
    using ExactTransfer for IERC20;
    using Math for uint256;
    using SafeCast for uint256;

    struct TokenTerms {
        bool allowed;
        uint16 feeBps;
    }

    uint16 public constant override MAX_FEE_BPS = 300;
    uint32 public constant override MAX_START_DELAY_SECONDS = 7 days;
    uint32 public constant override HORIZON_SECONDS = 400 days;

    bytes32 public immutable override PARAMETERS_HASH;
    IProviderRegistry public immutable override REGISTRY;
    address public immutable override COURT;
    IOracleQuorum public immutable override QUORUM;
    address public immutable override WRAPPED_NATIVE;
    uint32 public immutable override CHALLENGE_SECONDS;
    uint32 public immutable override PROOF_GRACE_SECONDS;
    uint32 public immutable override ANSWER_SECONDS;

    address public override treasury;
    // slither-disable-start uninitialized-state (one code writes what another only reads)
    mapping(address token => TokenTerms) public override tokenTerms;
    mapping(bytes32 offerHash => address provider) public override listedBy;
    mapping(address provider => mapping(uint256 salt => bool)) public override saltCancelled;
    mapping(address token => mapping(address account => uint256 amount)) public override creditOf;
    mapping(address token => uint256 amount) public override feesOf;
    mapping(bytes32 leaseId => LeaseState) internal _leases;
    mapping(bytes32 leaseId => PostedOrder) internal _orders;
    // slither-disable-end uninitialized-state

    modifier onlyCourt() {
        if (msg.sender != COURT) revert OnlyCourt(COURT, msg.sender);
        _;
    }

    constructor(MarketParameters memory parameters) EIP712("GPGPU", "1") Ownable(parameters.owner) {
        PARAMETERS_HASH = keccak256(abi.encode(parameters));
        REGISTRY = parameters.registry;
        COURT = parameters.court;
        QUORUM = parameters.quorum;
        WRAPPED_NATIVE = parameters.wrappedNative;
        CHALLENGE_SECONDS = parameters.challengeSeconds;
        PROOF_GRACE_SECONDS = parameters.proofGraceSeconds;
        ANSWER_SECONDS = parameters.answerSeconds;
    }

    /// @inheritdoc ILeaseBook
    function leaseState(bytes32 leaseId) external view override returns (LeaseState memory) {
        return _leases[leaseId];
    }

    /// Immutables live in code: contracts that share a storage must agree on them.
    function _requireSameParameters(ILeaseBook other) internal view {
        bytes32 actual = other.PARAMETERS_HASH();
        if (actual != PARAMETERS_HASH) revert ParametersMismatch(PARAMETERS_HASH, actual);
    }

    /// Checks terms and offer, writes the lease, books the unit. The caller sees to the deposit.
    /// @param gangId that the terms must name
    function _open(Terms calldata terms, bytes calldata offerSignature, bytes32 gangId)
        internal
        returns (bytes32 leaseId, uint96 deposit)
    {
        Offer calldata offer = terms.offer;
        if (terms.renter == address(0)) revert ZeroAddress();
        if (terms.gangId != gangId) revert LeaseIsInGang(terms.gangId);
        TokenTerms memory tokenTerms_ = tokenTerms[offer.token];
        if (!tokenTerms_.allowed) revert TokenNotAllowed(offer.token);
        if (terms.feeBps != tokenTerms_.feeBps) revert FeeMismatch(tokenTerms_.feeBps, terms.feeBps);
        bytes32 offerHash = Hashing.hash(offer);
        _requireOffered(offer, offerHash, offerSignature);
        _requireTimes(terms);
        leaseId = _leaseId(terms, offerHash);
        LeaseState storage lease = _leases[leaseId];
        if (lease.status != LeaseStatus.NONE) revert LeaseExists(leaseId);

        deposit = _depositFor(terms, terms.end);
        if (deposit == 0 && WeeklyHours.scheduled(terms.weeklyHours, terms.start, terms.end) == 0) {
            revert NothingScheduled();
        }
        lease.deposit = deposit;
        lease.endOffset = uint256(terms.end - terms.start).toUint32();
        lease.status = LeaseStatus.OPEN;
        emit LeaseOpened(leaseId, terms.renter, offer.provider, offerHash, _leaseTerms(terms), deposit);
        _book(offer, terms.weeklyHours);
    }

    function _book(Offer calldata offer, uint168 weeklyHours) private {
        REGISTRY.lock(
            offer.provider,
            offer.unitId,
            offer.gpuClass,
            offer.gpuCount,
            uint24(offer.salt >> 232),
            offer.bond,
            weeklyHours
        );
    }

    /// Moves the end away and funds it.
    function _extend(Terms calldata terms, uint40 end, uint256 latestEnd) internal {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _settleMatured(leaseId, lease, terms);
        uint256 oldEnd = uint256(terms.start) + lease.endOffset;
        if (block.timestamp >= oldEnd) revert LeaseEnded(oldEnd, block.timestamp);
        if (lease.flags & LeaseFlags.CLOSING != 0) revert LeaseClosing(leaseId);
        if (end <= oldEnd || end > latestEnd) revert EndOutOfRange(oldEnd + 1, latestEnd, end);
        uint96 deposit = _depositFor(terms, end);
        uint96 added = deposit - lease.deposit;
        lease.deposit = deposit;
        lease.endOffset = uint256(end - terms.start).toUint32();
        emit LeaseExtended(leaseId, _msgSender(), end, deposit);
        _collect(terms.offer.token, added);
    }

    /// Takes from the caller just this amount: the native coin that came with the call, or tokens.
    // slither-disable-next-line msg-value-in-nonpayable (payable in LeaseMarket, zero in the other codes)
    function _collect(address token, uint96 amount) internal {
        if (msg.value == 0) return IERC20(token).pull(_msgSender(), amount);
        if (token != WRAPPED_NATIVE) revert NativeCoinMismatch(WRAPPED_NATIVE, token);
        if (msg.value != amount) revert ValueMismatch(amount, msg.value);
        IWrappedNative(token).deposit{ value: amount }();
    }

    /// "Settle first": a matured and undisputed proof becomes pay and fee.
    function _settleMatured(bytes32 leaseId, LeaseState storage lease, Terms calldata terms)
        internal
        returns (uint96 pay, uint96 fee)
    {
        uint32 matureOffset = lease.matureOffset;
        if (matureOffset == 0 || lease.openDisputes != 0) return (0, 0);
        if (block.timestamp < uint256(terms.start) + matureOffset) return (0, 0);
        return _settlePending(leaseId, lease, terms);
    }

    /// Pay and fee are differences of cumulative amounts, so that many settlements equal one.
    function _settlePending(bytes32 leaseId, LeaseState storage lease, Terms calldata terms)
        internal
        returns (uint96 pay, uint96 fee)
    {
        uint256 grossBefore = _grossPay(terms, lease.settledSeconds);
        uint32 settled = lease.pendingSeconds;
        lease.settledSeconds = settled;
        lease.pendingSeconds = 0;
        lease.matureOffset = 0;

        (uint256 payNow, uint256 feeNow) = Accrual.split(grossBefore, _grossPay(terms, settled), terms.feeBps);
        (pay, fee) = (payNow.toUint96(), feeNow.toUint96());
        address token = terms.offer.token;
        if (pay != 0) creditOf[token][terms.offer.provider] += pay;
        if (fee != 0) feesOf[token] += fee;
        emit Settled(leaseId, settled, pay, fee);
    }

    /// The end moves to `end` if that is nearer, and from now on not away again.
    /// @param failed the provider did it, or is to blame: what is cut off stays owed on a reserved lease. The renter's
    /// own notice cannot cut off more after that: it ends no earlier than the same notice given before it.
    function _bringEndForward(LeaseState storage lease, Terms calldata terms, uint256 end, bool failed)
        internal
    {
        uint256 oldEnd = _endOf(lease, terms);
        if (block.timestamp >= oldEnd) revert LeaseEnded(oldEnd, block.timestamp);
        end = Math.min(end, oldEnd);
        uint8 flags = lease.flags | LeaseFlags.CLOSING;
        if (failed) {
            flags |= LeaseFlags.PROVIDER_FAILED;
            uint256 cut = WeeklyHours.scheduled(terms.weeklyHours, end, oldEnd);
            if (terms.offer.kind == OfferKind.RESERVED && cut != 0) {
                flags |= LeaseFlags.AMENDED;
                lease.penaltySeconds += cut.toUint32();
            }
        }
        lease.flags = flags;
        lease.endOffset = (end - terms.start).toUint32();
    }

    /// The order waits no more; the scheduled seconds that its answer is late by are lost.
    function _endOrder(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        bytes32 orderDigest,
        bool accepted
    ) internal {
        PostedOrder storage order = _orders[leaseId];
        uint256 until = Math.min(block.timestamp, _endOf(lease, terms));
        uint256 scheduled = WeeklyHours.scheduled(terms.weeklyHours, terms.start, until);
        uint32 lostSeconds = order.lostSeconds + scheduled.saturatingSub(order.answerWithin).toUint32();
        order.orderDigest = 0;
        order.answerWithin = 0;
        order.lostSeconds = lostSeconds;
        emit OrderAnswered(leaseId, orderDigest, accepted, lostSeconds);
    }

    function _requireRunning(LeaseState storage lease, Terms calldata terms) internal view {
        uint256 end = _endOf(lease, terms);
        if (block.timestamp >= end) revert LeaseEnded(end, block.timestamp);
    }

    function _endOf(LeaseState storage lease, Terms calldata terms) internal view returns (uint40) {
        return terms.start + lease.endOffset;
    }

    function _penaltyOf(LeaseState storage lease) internal view returns (uint32) {
        return lease.flags & LeaseFlags.AMENDED == 0 ? 0 : lease.penaltySeconds;
    }

    function _msgSender() internal view virtual override(Context, RelayedContext) returns (address) {
        return RelayedContext._msgSender();
    }

    function _contextSuffixLength()
        internal
        pure
        virtual
        override(Context, RelayedContext)
        returns (uint256)
    {
        return RelayedContext._contextSuffixLength();
    }

    /// `account` is the caller, or has signed.
    function _requireSigned(address account, bytes32 structHash, bytes calldata signature) internal view {
        if (signature.length == 0 && account == _msgSender()) return;
        _requireValid(account, _hashTypedDataV4(structHash), signature);
    }

    function _openLease(Terms calldata terms)
        internal
        view
        returns (bytes32 leaseId, LeaseState storage lease)
    {
        leaseId = _leaseId(terms, Hashing.hash(terms.offer));
        lease = _leases[leaseId];
        if (lease.status != LeaseStatus.OPEN) revert LeaseNotOpen(leaseId, lease.status);
    }

    function _leaseId(Terms calldata terms, bytes32 offerHash) internal view returns (bytes32) {
        return _hashTypedDataV4(Hashing.hash(terms, offerHash));
    }

    function _renterOf(LeaseState storage lease, Terms calldata terms) internal view returns (address) {
        if (lease.flags & LeaseFlags.AMENDED == 0) return terms.renter;
        address renterOverride = lease.renterOverride;
        return renterOverride == address(0) ? terms.renter : renterOverride;
    }

    function _requireRenter(LeaseState storage lease, Terms calldata terms) internal view {
        address renter = _renterOf(lease, terms);
        if (_msgSender() != renter) revert OnlyRenter(renter, _msgSender());
    }

    /// The last second at which a proof can be posted.
    function _lastPost(LeaseState storage lease, Terms calldata terms)
        internal
        view
        returns (uint256 lastPost)
    {
        lastPost = uint256(terms.start) + lease.endOffset + PROOF_GRACE_SECONDS;
        if (lease.flags & LeaseFlags.AMENDED != 0) {
            lastPost = Math.max(lastPost, uint256(terms.start) + lease.lastPostOffset);
        }
    }

    /// ceil(price x scheduled / 3600): the end is always funded.
    function _depositFor(Terms calldata terms, uint256 end) internal pure returns (uint96) {
        uint256 scheduled = WeeklyHours.scheduled(terms.weeklyHours, terms.start, end);
        return Accrual.deposit(terms.offer.pricePerHour, scheduled.toUint32()).toUint96();
    }

    /// Pay and fee together for so many proven seconds since the start, rounded down.
    function _grossPay(Terms calldata terms, uint32 provenSeconds) internal pure returns (uint256) {
        return Accrual.gross(terms.offer.pricePerHour, provenSeconds);
    }

    function _requireOffered(Offer calldata offer, bytes32 offerHash, bytes calldata offerSignature) private {
        if (offerSignature.length == 0) {
            if (listedBy[offerHash] == address(0)) revert OfferNotListed(offerHash);
            return;
        }
        address provider = offer.provider;
        if (saltCancelled[provider][offer.salt]) revert OfferCancelled(provider, offer.salt);
        _requireValid(provider, _hashTypedDataV4(offerHash), offerSignature);
        emit OfferTaken(offerHash, provider, offer);
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
        uint256 latestEnd = _latestEnd(terms);
        if (terms.maxEnd > latestEnd) revert MaxEndOutOfRange(terms.end, latestEnd, terms.maxEnd);
        if (terms.weeklyHours & ~offer.weeklyHours != 0) {
            revert HoursNotOffered(offer.weeklyHours, terms.weeklyHours);
        }
    }

    function _latestEnd(Terms calldata terms) internal pure returns (uint256) {
        return uint256(terms.start) + Math.min(terms.offer.maxSeconds, HORIZON_SECONDS);
    }

    /// The fields of LeaseTerms are the last of Terms, so they are taken where they lie, for 2,000 gas less than copying.
    function _leaseTerms(Terms calldata terms) internal pure returns (LeaseTerms calldata added) {
        assembly ("memory-safe") {
            added := add(terms, 0x1e0) // 14 words of the offer, one of the renter
        }
    }
}
