// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";

import { LeaseBook, MarketParameters } from "./LeaseBook.sol";
import { FailureProof, ILeaseSuccession } from "./interfaces/ILeaseSuccession.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import { MerkleTree } from "./libraries/MerkleTree.sol";
import {
    AllowedProvider,
    FailoverPolicy,
    LeaseFlags,
    LeaseState,
    LeaseTerms,
    LeaseTransfer,
    OfferKind,
    Terms
} from "./libraries/Types.sol";

/// @title Leases that hang together: gangs, leases that follow on failed ones, leases that change hands
/// @dev Code for LeaseMarket, which delegates to it: at its own address there is nothing to take.
contract LeaseSuccession is ILeaseSuccession, LeaseBook {
    using ExactTransfer for IERC20;

    uint256 public constant MAX_GANG = 32;
    uint256 public constant MAX_FAILURE_AGE_SECONDS = 1 days;

    constructor(MarketParameters memory parameters) LeaseBook(parameters) { }

    /// @inheritdoc ILeaseSuccession
    function openGang(Terms[] calldata terms, bytes[] calldata offerSignatures)
        external
        override
        nonReentrant
        returns (bytes32[] memory leaseIds)
    {
        uint256 count = terms.length;
        if (count < 2 || count > MAX_GANG) revert GangSizeOutOfRange(MAX_GANG, count);
        if (count != offerSignatures.length) revert LengthMismatch(count, offerSignatures.length);
        bytes32[] memory offerHashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            offerHashes[i] = Hashing.hash(terms[i].offer);
        }
        address renter = terms[0].renter;
        bytes32 gangId = _gangId(terms[0], offerHashes);
        leaseIds = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            if (terms[i].renter != renter) revert OnlyRenter(renter, terms[i].renter);
            if (terms[i].gangId != gangId) revert GangInvalid(gangId, terms[i].gangId);
            uint96 deposit;
            (leaseIds[i], deposit) = _open(terms[i], offerSignatures[i], gangId);
            IERC20(terms[i].offer.token).pull(_msgSender(), deposit);
        }
    }

    /// @inheritdoc ILeaseSuccession
    function failover(
        Terms calldata terms,
        FailoverPolicy calldata policy,
        Terms calldata next,
        bytes calldata offerSignature,
        AllowedProvider calldata allowed,
        FailureProof calldata failure
    ) external override nonReentrant returns (bytes32 nextLeaseId) {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _settleMatured(leaseId, lease, terms);
        uint8 hops = _requireAllowed(leaseId, lease, terms, policy, next, allowed);
        _cutOff(leaseId, lease, terms, failure);
        uint96 moved;
        // slither-disable-next-line reentrancy-no-eth (it calls the registry alone, which calls nobody)
        (nextLeaseId, moved) = _open(next, offerSignature, bytes32(0));
        _leases[nextLeaseId].flags = LeaseFlags.AMENDED;
        _leases[nextLeaseId].hops = hops;
        _moveDeposit(leaseId, lease, terms, nextLeaseId, moved);
    }

    /// @inheritdoc ILeaseSuccession
    function transfer(
        Terms calldata terms,
        LeaseTransfer calldata deal,
        bytes calldata fromSignature,
        bytes calldata toSignature
    ) external override nonReentrant {
        (bytes32 leaseId, LeaseState storage lease) = _openLease(terms);
        _settleMatured(leaseId, lease, terms);
        _requireRunning(lease, terms);
        if (lease.flags & LeaseFlags.CLOSING != 0) revert LeaseClosing(leaseId);
        if (lease.openDisputes != 0) revert DisputeOpen(lease.openDisputes);
        _requireDeal(leaseId, lease, terms, deal);
        bytes32 dealHash = Hashing.hash(deal);
        _requireSigned(deal.from, dealHash, fromSignature);
        _requireSigned(deal.to, dealHash, toSignature);

        bytes32 unanswered = _orders[leaseId].orderDigest;
        if (unanswered != 0) _endOrder(leaseId, lease, terms, unanswered, false);
        lease.flags |= LeaseFlags.AMENDED;
        lease.renterOverride = deal.to;
        lease.transfers = deal.transfers + 1;
        if (deal.price != 0) creditOf[terms.offer.token][deal.from] += deal.price;
        emit LeaseTransferred(leaseId, deal.from, deal.to, deal.price);
        // The buyer has signed the price.
        if (deal.price != 0) IERC20(terms.offer.token).pull(deal.to, deal.price);
    }

    /// What was scheduled so far stays behind, whether proven already or not. A notice has said itself until when its
    /// provider serves and what it owes: neither changes, else leaving it early would cost it the bond.
    function _cutOff(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        FailureProof calldata failure
    ) private {
        bool outage = _requireFailure(leaseId, lease, terms, failure);
        if (!outage && failure.yielded.since == 0) return;
        uint256 end = _endOf(lease, terms);
        if (block.timestamp < end) {
            _bringEndForward(lease, terms, Math.max(terms.start, block.timestamp), outage);
        } else if (lease.flags & LeaseFlags.PROVIDER_FAILED == 0) {
            revert LeaseEnded(end, block.timestamp);
        }
    }

    /// Binds all of the first lease's terms: its id, and with it the gang's, is never opened again.
    function _gangId(Terms calldata first, bytes32[] memory offerHashes) private pure returns (bytes32) {
        LeaseTerms memory leaseTerms = _leaseTerms(first);
        leaseTerms.gangId = 0;
        return keccak256(abi.encode(offerHashes, first.renter, leaseTerms));
    }

    /// Funds the next lease out of what the last one's end needs no more.
    function _moveDeposit(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        bytes32 nextLeaseId,
        uint96 moved
    ) private {
        uint40 end = _endOf(lease, terms);
        uint256 needed = uint256(_depositFor(terms, end)) + moved;
        if (lease.deposit < needed) revert DepositTooSmall(needed, lease.deposit);
        lease.deposit -= moved;
        lease.flags |= LeaseFlags.FAILED_OVER;
        emit FailedOver(leaseId, nextLeaseId, moved, end, _penaltyOf(lease), _leases[nextLeaseId].hops);
    }

    /// @return hops of the next lease
    function _requireAllowed(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        FailoverPolicy calldata policy,
        Terms calldata next,
        AllowedProvider calldata allowed
    ) private view returns (uint8 hops) {
        bytes32 policyHash = Hashing.hash(policy);
        if (policyHash != terms.policyHash) revert PolicyMismatch(terms.policyHash, policyHash);
        if (_msgSender() != policy.delegate) revert OnlyDelegate(policy.delegate, _msgSender());
        if (block.timestamp > policy.deadline) revert SignatureExpired(policy.deadline, block.timestamp);
        if (lease.flags & LeaseFlags.AMENDED != 0) {
            if (lease.transfers != 0) revert PolicyForbids("transfer");
            hops = lease.hops;
        }
        if (hops >= policy.maxHops) revert PolicyForbids("maxHops");
        // Else one failure would let the delegate hire any number of units at once.
        if (lease.flags & LeaseFlags.FAILED_OVER != 0) revert PolicyForbids("failover");
        ++hops;
        if (next.previousLeaseId != leaseId) revert LeaseMismatch(leaseId, next.previousLeaseId);
        if (next.renter != terms.renter) revert OnlyRenter(terms.renter, next.renter);
        if (next.policyHash != policyHash) revert PolicyMismatch(policyHash, next.policyHash);
        if (next.firstOrder != terms.firstOrder) revert PolicyForbids("firstOrder");
        if (next.offer.token != terms.offer.token) revert PolicyForbids("token");
        if (next.offer.pricePerHour > policy.maxPricePerHour) revert PolicyForbids("maxPricePerHour");
        if (next.offer.bond < policy.minBond) revert PolicyForbids("minBond");
        if (next.offer.gpuCount < terms.offer.gpuCount) revert PolicyForbids("gpuCount");
        if (next.offer.kind > terms.offer.kind) revert PolicyForbids("kind");
        if (
            next.offer.gpuClass != policy.gpuClass
                || QUORUM.findingOf(next.offer.unitId).gpuClass != policy.gpuClass
        ) revert PolicyForbids("gpuClass");
        bytes32 leaf = MerkleTree.leafHash(abi.encode(next.offer.provider));
        if (
            policy.allowedProvidersRoot != 0
                && !MerkleTree.verify(
                    policy.allowedProvidersRoot,
                    leaf,
                    allowed.index,
                    policy.allowedProvidersCount,
                    allowed.branch
                )
        ) revert PolicyForbids("allowedProvidersRoot");
    }

    /// @return outage whether the quorum found one
    function _requireFailure(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        FailureProof calldata failure
    ) private view returns (bool outage) {
        if (failure.outage.since != 0) {
            if (failure.outage.leaseId != leaseId) {
                revert LeaseMismatch(leaseId, failure.outage.leaseId);
            }
            _requireRecent(leaseId, failure.outage.since);
            QUORUM.requireQuorum(Hashing.hash(failure.outage), failure.quorumSignatures);
            return true;
        }
        if (failure.yielded.since != 0) {
            if (failure.yielded.leaseId != leaseId) revert LeaseMismatch(leaseId, failure.yielded.leaseId);
            if (terms.offer.kind != OfferKind.IDLE) revert ProviderHasNotFailed(leaseId);
            _requireRecent(leaseId, failure.yielded.since);
            bytes32 digest = _hashTypedDataV4(Hashing.hash(failure.yielded));
            _requireValid(REGISTRY.workerOf(terms.offer.unitId), digest, failure.workerSignature);
            return false;
        }
        if (lease.flags & LeaseFlags.PROVIDER_FAILED == 0) revert ProviderHasNotFailed(leaseId);
        return false;
    }

    /// What lasts longer must be signed anew: else a provider that came back could still be left.
    function _requireRecent(bytes32 leaseId, uint256 since) private view {
        if (since > block.timestamp || since + MAX_FAILURE_AGE_SECONDS < block.timestamp) {
            revert ProviderHasNotFailed(leaseId);
        }
    }

    function _requireDeal(
        bytes32 leaseId,
        LeaseState storage lease,
        Terms calldata terms,
        LeaseTransfer calldata deal
    ) private view {
        if (block.timestamp > deal.deadline) {
            revert SignatureExpired(deal.deadline, block.timestamp);
        }
        if (deal.to == address(0)) revert ZeroAddress();
        if (deal.leaseId != leaseId) revert LeaseMismatch(leaseId, deal.leaseId);
        address renter = _renterOf(lease, terms);
        if (deal.from != renter) revert OnlyRenter(renter, deal.from);
        if (deal.deposit != lease.deposit) revert StateMismatch("deposit", lease.deposit, deal.deposit);
        uint40 end = _endOf(lease, terms);
        if (deal.end != end) revert StateMismatch("end", end, deal.end);
        if (deal.settledSeconds != lease.settledSeconds) {
            revert StateMismatch("settledSeconds", lease.settledSeconds, deal.settledSeconds);
        }
        if (deal.transfers != lease.transfers) {
            revert StateMismatch("transfers", lease.transfers, deal.transfers);
        }
    }
}
