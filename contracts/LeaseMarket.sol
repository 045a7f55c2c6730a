// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { LeaseBook, MarketParameters } from "./LeaseBook.sol";
import { ILeaseBook } from "./interfaces/ILeaseBook.sol";
import { ILeaseMarket } from "./interfaces/ILeaseMarket.sol";
import { Accrual } from "./libraries/Accrual.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import {
    CompletionProof,
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    Offer,
    OfferKind,
    PostedOrder,
    ProofClaim,
    Terms
} from "./libraries/Types.sol";
import { WeeklyHours } from "./libraries/WeeklyHours.sol";

/// @title Offers, leases, escrow, proofs and settlement
/// @dev What it does not answer, LeaseAmendments' code does on its storage. All is fixed at deployment.
contract LeaseMarket is ILeaseMarket, LeaseBook {
    using ExactTransfer for IERC20;
    using SafeCast for uint256;

    address public immutable override AMENDMENTS;

    constructor(MarketParameters memory parameters, ILeaseBook amendments) LeaseBook(parameters) {
        _requireSameParameters(amendments);
        if (parameters.registry.MARKET() != address(this)) {
            revert ContractsMismatch(address(this), parameters.registry.MARKET());
        }
        address quorum = address(parameters.registry.QUORUM());
        if (quorum != address(parameters.quorum)) {
            revert ContractsMismatch(address(parameters.quorum), quorum);
        }
        if (parameters.court == address(0) || parameters.treasury == address(0)) revert ZeroAddress();
        if (
            parameters.challengeSeconds == 0 || parameters.answerSeconds == 0
                || parameters.proofGraceSeconds < parameters.challengeSeconds
        ) revert WindowsInvalid(parameters.challengeSeconds, parameters.proofGraceSeconds);
        treasury = parameters.treasury;
        emit TreasuryChanged(parameters.treasury);
        AMENDMENTS = address(amendments);
    }

    /// Native coin comes only with the calls that take it.
    fallback(bytes calldata data) external returns (bytes memory) {
        return Address.functionDelegateCall(AMENDMENTS, data);
    }

    /// @inheritdoc ILeaseMarket
    function list(Offer calldata offer) external override returns (bytes32 offerHash) {
        address provider = _msgSender();
        if (offer.provider != provider) revert OnlyProvider(offer.provider, provider);
        if (block.timestamp > offer.validUntil) revert OfferExpired(offer.validUntil, block.timestamp);
        offerHash = Hashing.hash(offer);
        if (listedBy[offerHash] != address(0)) revert OfferAlreadyListed(offerHash);
        listedBy[offerHash] = provider;
        emit OfferListed(offerHash, provider, offer);
    }

    /// @inheritdoc ILeaseMarket
    function unlist(bytes32 offerHash) external override {
        address provider = listedBy[offerHash];
        if (provider == address(0)) revert OfferNotListed(offerHash);
        if (provider != _msgSender()) revert OnlyProvider(provider, _msgSender());
        delete listedBy[offerHash];
        emit OfferUnlisted(offerHash, provider);
    }

    /// @inheritdoc ILeaseMarket
    function open(Terms calldata terms, bytes calldata offerSignature)
        external
        payable
        override
        nonReentrant
        returns (bytes32 leaseId)
    {
        uint96 deposit;
        (leaseId, deposit) = _open(terms, offerSignature, bytes32(0));
        _collect(terms.offer.token, deposit);
    }

    /// @inheritdoc ILeaseMarket
    function topUp(Terms calldata terms, uint40 end) external payable override nonReentrant {
        _extend(terms, end, terms.maxEnd);
    }

    /// @inheritdoc ILeaseMarket
    function postProof(Terms calldata terms, CompletionProof calldata proof, bytes calldata workerSignature)
        external
        override
    {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        if (proof.leaseId != leaseId) revert LeaseMismatch(leaseId, proof.leaseId);
        bytes32 proofHash = Hashing.hash(proof);
        _requireWorker(terms, proofHash, workerSignature);
        _post(lease, terms, proof, proofHash);
    }

    /// @inheritdoc ILeaseMarket
    function postProofs(
        Terms[] calldata terms,
        ProofClaim[] calldata claims,
        uint32 leafCount,
        bytes32 jobsRoot,
        bytes32 availabilityRoot
    ) external override {
        if (terms.length != claims.length) {
            revert LengthMismatch(terms.length, claims.length);
        }
        for (uint256 i = 0; i < terms.length; ++i) {
            (bytes32 leaseId, LeaseState storage lease) = _openLease(terms[i]);
            _requireWorker(terms[i], bytes32(0), msg.data[0:0]);
            CompletionProof memory proof = CompletionProof({
                leaseId: leaseId,
                previousProof: lease.proofHash,
                provenSeconds: claims[i].provenSeconds,
                jobsCompleted: claims[i].jobsCompleted,
                leafCount: leafCount,
                jobsRoot: jobsRoot,
                availabilityRoot: availabilityRoot,
                energyJoules: claims[i].energyJoules
            });
            _post(lease, terms[i], proof, Hashing.hash(proof));
        }
    }

    /// @inheritdoc ILeaseMarket
    function settle(Terms calldata terms) external override returns (uint96 pay, uint96 fee) {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        return _settleMatured(leaseId, lease, terms);
    }

    /// @inheritdoc ILeaseMarket
    function settleMany(Terms[] calldata terms) external override {
        for (uint256 i = 0; i < terms.length; ++i) {
            bytes32 leaseId = leaseIdOf(terms[i]);
            LeaseState storage lease = _leases[leaseId];
            if (lease.status == LeaseStatus.OPEN) _settleMatured(leaseId, lease, terms[i]);
        }
    }

    /// @inheritdoc ILeaseMarket
    function close(Terms calldata terms) external override {
        bytes32 leaseId = leaseIdOf(terms);
        LeaseState storage lease = _leases[leaseId];
        uint96 bond = 0;
        uint96 compensation = 0;
        if (lease.status != LeaseStatus.BREACHED) {
            if (lease.status != LeaseStatus.OPEN) revert LeaseNotOpen(leaseId, lease.status);
            _settleMatured(leaseId, lease, terms);
            _requireNonePending(lease, terms);
            uint256 scheduled = _requireClosable(lease, terms);
            if (lease.flags & LeaseFlags.BOND_SLASHED == 0) {
                bond = terms.offer.bond;
                compensation = _compensation(lease, terms, scheduled);
            }
        }
        uint32 settled = lease.settledSeconds;
        uint96 refund = lease.deposit - _grossPay(terms, settled).toUint96();
        address renter = _renterOf(lease, terms);
        bool hoursHeld = _bury(leaseId, lease);
        if (refund != 0) creditOf[terms.offer.token][renter] += refund;
        emit LeaseClosed(leaseId, settled, refund, compensation);
        REGISTRY.release(
            terms.offer.provider,
            terms.offer.unitId,
            hoursHeld ? terms.weeklyHours : 0,
            bond,
            renter,
            compensation
        );
    }

    /// @inheritdoc ILeaseMarket
    function withdraw(address token, address to) external override nonReentrant returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        address account = _msgSender();
        amount = creditOf[token][account];
        if (amount == 0) revert NothingToWithdraw(token, account);
        delete creditOf[token][account];
        emit Withdrawn(token, account, to, amount);
        IERC20(token).push(to, amount);
    }

    /// @inheritdoc ILeaseMarket
    function openDispute(Terms calldata terms, bytes32 proofHash)
        external
        override
        onlyCourt
        returns (bytes32 leaseId, address renter, uint32 pendingSeconds)
    {
        LeaseState storage lease;
        (leaseId, lease) = _openLease(terms);
        uint32 matureOffset = lease.matureOffset;
        if (matureOffset == 0 || lease.proofHash != proofHash) {
            revert ProofNotPending(lease.proofHash, proofHash);
        }
        uint256 maturesAt = uint256(terms.start) + matureOffset;
        if (block.timestamp >= maturesAt) revert ProofMatured(maturesAt, block.timestamp);
        uint16 openDisputes = lease.openDisputes + 1;
        lease.openDisputes = openDisputes;
        emit DisputeOpened(leaseId, proofHash, openDisputes);
        return (leaseId, _renterOf(lease, terms), lease.pendingSeconds);
    }

    /// @inheritdoc ILeaseMarket
    function postedOrderOf(bytes32 leaseId) external view override returns (PostedOrder memory) {
        return _orders[leaseId];
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

    /// @inheritdoc ILeaseMarket
    function leaseIdOf(Terms calldata terms) public view override returns (bytes32) {
        return _leaseId(terms, Hashing.hash(terms.offer));
    }

    function _post(
        LeaseState storage lease,
        Terms calldata terms,
        CompletionProof memory proof,
        bytes32 proofHash
    ) private {
        if (block.timestamp < terms.start) {
            revert LeaseNotStarted(terms.start, block.timestamp);
        }
        _settleMatured(proof.leaseId, lease, terms);
        _requireNonePending(lease, terms);
        _requireClaimable(proof.leaseId, lease, terms, proof.provenSeconds);
        if (proof.previousProof != lease.proofHash) {
            revert ProofOutOfOrder(lease.proofHash, proof.previousProof);
        }
        uint40 maturesAt = (block.timestamp + CHALLENGE_SECONDS).toUint40();
        lease.pendingSeconds = proof.provenSeconds;
        lease.matureOffset = uint256(maturesAt - terms.start).toUint32();
        lease.proofHash = proofHash;
        emit ProofPosted(proof.leaseId, proofHash, proof, maturesAt);
    }

    /// Leaves a tombstone, else the same opening could be made again.
    /// @return hoursHeld whether the unit's hours are still booked
    function _bury(bytes32 leaseId, LeaseState storage lease) private returns (bool hoursHeld) {
        uint8 flags = lease.flags;
        if (flags & LeaseFlags.AMENDED != 0) {
            delete _leases[leaseId];
        } else {
            lease.deposit = 0;
            lease.endOffset = 0;
            lease.settledSeconds = 0;
            lease.pendingSeconds = 0;
            lease.matureOffset = 0;
            lease.openDisputes = 0;
            lease.proofHash = 0;
        }
        if (flags & LeaseFlags.ORDERED != 0) delete _orders[leaseId];
        lease.status = LeaseStatus.CLOSED;
        lease.flags = flags & LeaseFlags.PROVIDER_FAILED;
        return flags & LeaseFlags.HOURS_RELEASED == 0;
    }

    function _requireWorker(Terms calldata terms, bytes32 proofHash, bytes calldata signature) private view {
        address worker = REGISTRY.workerOf(terms.offer.unitId);
        if (signature.length != 0) return _requireSigned(worker, proofHash, signature);
        if (_msgSender() != worker) revert OnlyWorker(worker, _msgSender());
    }

    function _requireNonePending(LeaseState storage lease, Terms calldata terms) private view {
        if (lease.openDisputes != 0) revert DisputeOpen(lease.openDisputes);
        if (lease.matureOffset != 0) revert ProofPending(terms.start + lease.matureOffset, block.timestamp);
    }

    function _requireClaimable(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        uint32 claimed
    ) private view {
        uint256 lastPost = _lastPost(lease, terms);
        if (block.timestamp > lastPost) revert ProofAfterLastPost(lastPost, block.timestamp);
        uint256 until = Math.min(block.timestamp, uint256(terms.start) + lease.endOffset);
        uint256 claimable = WeeklyHours.scheduled(terms.weeklyHours, terms.start, until);
        if (lease.flags & LeaseFlags.ORDERED != 0) {
            PostedOrder storage order = _orders[leaseId];
            if (order.orderDigest != 0) claimable = Math.min(claimable, order.answerWithin);
            claimable -= order.lostSeconds;
        }
        uint32 settled = lease.settledSeconds;
        if (claimed < settled || claimed > claimable) {
            revert ProvenSecondsOutOfRange(settled, claimable, claimed);
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
        if (block.timestamp >= end && lease.settledSeconds == scheduled) return scheduled;
        uint256 lastPost = _lastPost(lease, terms);
        if (block.timestamp <= lastPost) revert LeaseNotClosable(lastPost + 1, block.timestamp);
    }

    /// Of the bond, the share that the reserved seconds not served have in those owed.
    function _compensation(LeaseState storage lease, Terms calldata terms, uint256 scheduled)
        private
        view
        returns (uint96)
    {
        if (terms.offer.kind != OfferKind.RESERVED) return 0;
        uint256 owed = scheduled;
        if (lease.flags & LeaseFlags.AMENDED != 0) owed += lease.penaltySeconds;
        if (owed == 0) return 0;
        uint256 unserved = owed - lease.settledSeconds;
        return Accrual.compensation(terms.offer.bond, owed.toUint32(), unserved.toUint32()).toUint96();
    }
}
