// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import {
    CompletionProof,
    Offer,
    OrderAcknowledgement,
    ProofClaim,
    Terms,
    Unit
} from "../../../contracts/libraries/Types.sol";
import { Predictions } from "./Predictions.sol";
import { Receipts } from "./Receipts.sol";
import { Shadow } from "./Shadows.sol";

/// @title Providers with their stakes and units, and their workers with proofs and answers
abstract contract ProviderSide is Predictions, Receipts {
    function housekeeping(uint256 seed, uint256 amount) external acting(seed) {
        uint256 who = (seed >> 8) % ACTORS;
        address provider = providers[who];
        uint256 unit = (seed >> 16) % units.length;
        uint256 kind = seed % 9;
        if (kind == 0) _stake(provider, uint96(bound(amount, 1, 5000e18)));
        if (kind == 1) _startUnbonding(provider, uint96(bound(amount, 1, freeStakeOf(provider) + 2)));
        if (kind == 2) _cancelUnbonding(provider);
        if (kind == 3) _withdrawStake(provider);
        if (kind == 4) _rotateWorker(unit, workers[who]);
        if (kind == 5) _retireAndRegister(unit);
        if (kind == 6) _unlist(seed >> 16);
        if (kind == 7) _cancelSalt(seed >> 16);
        // Seldom: it takes every offer of the provider off.
        if (kind == 8 && seed >> 16 & 3 == 0) _raiseEpoch(provider);
    }

    /// @param claim what the worker says; every other worker claims all it may, some claim too much
    function postProof(uint256 pick, uint256 claim) external acting(claim) {
        (bool found, uint256 index) = _pickPostable(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        uint256 claimable = _claimable(shadow);
        uint32 settled = _settledFirst(shadow);
        uint256 proven = claimable;
        if (claim % 2 == 1) proven = bound(claim >> 8, settled, _max(settled, claimable));
        if (claim % 16 == 0) proven = claimable + 1 + (claim >> 8) % 3;
        if (claim % 16 == 2 && settled != 0) proven = settled - 1;
        _post(index, proven, claim);
    }

    /// Two leases that one worker works for.
    function postProofs(uint256 pick, uint256 claim) external acting(claim) {
        (bool found, uint256 first) = _pickPostable(pick);
        if (!found) return;
        uint256 second = _sameWorkersLease(first);
        if (second == first) return;
        uint256[2] memory both = [first, second];
        Terms[] memory terms = new Terms[](2);
        ProofClaim[] memory claims = new ProofClaim[](2);
        bytes memory reason;
        for (uint256 i = 0; i < 2; ++i) {
            Shadow storage shadow = _shadows[both[i]];
            terms[i] = shadow.terms;
            claims[i] = ProofClaim(uint32(_claimable(shadow)), uint32(claim % 7), uint64(claim));
            if (reason.length == 0) reason = _postReason(shadow, claims[i].provenSeconds);
        }
        bytes memory data = abi.encodeCall(
            ILeaseMarket.postProofs, (terms, claims, 9, bytes32(claim), keccak256(abi.encode(claim)))
        );
        _call(REGISTRY.workerOf(terms[0].offer.unitId), data, reason, "postProofs");
    }

    function answerOrder(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pickOrdered(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        bytes32 order = seed % 8 == 0 ? bytes32(seed) : shadow.order;
        bytes memory reason = _notOpen(shadow);
        if (reason.length == 0 && (shadow.order == 0 || shadow.order != order)) {
            reason = abi.encodeWithSelector(ILeaseBook.OrderNotPosted.selector, shadow.order, order);
        }
        _answer(shadow, OrderAcknowledgement(shadow.leaseId, order, (seed >> 16) % 2 == 0), seed, reason);
    }

    function _register(uint256 unit) internal returns (bytes32) {
        address provider = providers[unit / UNITS];
        Unit memory registered = Unit({
            provider: provider,
            worker: workers[unit / UNITS],
            encryptionKey: 0,
            nodeId: bytes32(unit),
            gpuClass: GPU_CLASS,
            gpuCount: 2,
            vramMiB: 24_564
        });
        vm.prank(provider);
        return REGISTRY.registerUnit(registered, _gpuIds(unit));
    }

    function _stake(address provider, uint96 amount) internal {
        STAKE_TOKEN.mint(provider, amount);
        staked[provider] += amount;
        stakes += amount;
        _atRegistry(provider, abi.encodeCall(REGISTRY.stake, (amount)), NO_REASON, "stake");
    }

    function _gpuIds(uint256 unit) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](2);
        (ids[0], ids[1]) = (bytes32(2 * unit + 1), bytes32(2 * unit + 2));
    }

    function _atRegistry(address account, bytes memory data, bytes memory reason, string memory action)
        internal
        returns (bytes memory)
    {
        return _callAt(address(REGISTRY), account, 0, data, reason, action);
    }

    function _post(uint256 index, uint256 proven, uint256 seed) private {
        Shadow storage shadow = _shadows[index];
        Terms memory terms = shadow.terms;
        CompletionProof memory proof = CompletionProof({
            leaseId: shadow.leaseId,
            previousProof: shadow.proofHash,
            provenSeconds: uint32(proven),
            jobsCompleted: 1,
            leafCount: 1,
            jobsRoot: _jobsRootOf(shadow.leaseId, shadow.proofHash),
            availabilityRoot: bytes32(seed),
            energyJoules: uint64(seed)
        });
        bytes memory reason = _postReason(shadow, proven);
        address worker = REGISTRY.workerOf(terms.offer.unitId);
        bytes memory signature;
        if ((seed >> 128) % 2 == 0) signature = _sign(worker, DIGESTS.hashCompletionProof(proof));
        bytes memory data = abi.encodeCall(ILeaseMarket.postProof, (terms, proof, signature));
        _call(signature.length == 0 ? worker : KEEPER, data, reason, "postProof");
        if (reason.length != 0) return;
        shadow.receipted = true;
        // A signature that was used is of no use to anybody.
        if (signature.length == 0) return;
        reason = abi.encodeWithSelector(ILeaseBook.ProofPending.selector, shadow.maturesAt, _now());
        _callAt(address(MARKET), ATTACKER, 0, data, reason, "replayed proof");
    }

    function _answer(
        Shadow storage shadow,
        OrderAcknowledgement memory answer,
        uint256 seed,
        bytes memory reason
    ) private {
        address worker = REGISTRY.workerOf(shadow.terms.offer.unitId);
        bytes memory signature;
        if ((seed >> 8) % 2 == 0) signature = _sign(worker, DIGESTS.hashOrderAcknowledgement(answer));
        bytes memory data = abi.encodeCall(
            ILeaseAmendments.answerOrder, (shadow.terms, answer.orderDigest, answer.accepted, signature)
        );
        _call(signature.length == 0 ? worker : KEEPER, data, reason, "answerOrder");
    }

    function _startUnbonding(address provider, uint96 amount) private {
        uint256 free = freeStakeOf(provider);
        bytes memory reason;
        if (amount > free) {
            reason = abi.encodeWithSelector(IProviderRegistry.InsufficientFreeStake.selector, amount, free);
        }
        _atRegistry(provider, abi.encodeCall(REGISTRY.startUnbonding, (amount)), reason, "startUnbonding");
        if (reason.length != 0) return;
        unbonding[provider] += amount;
        unbondAt[provider] = _now() + REGISTRY.UNBONDING_SECONDS();
    }

    function _cancelUnbonding(address provider) private {
        bytes memory reason;
        if (unbonding[provider] == 0) {
            reason = abi.encodeWithSelector(IProviderRegistry.NothingUnbonding.selector);
        }
        _atRegistry(provider, abi.encodeCall(REGISTRY.cancelUnbonding, ()), reason, "cancelUnbonding");
        if (reason.length == 0) (unbonding[provider], unbondAt[provider]) = (0, 0);
    }

    function _withdrawStake(address provider) private {
        bytes memory reason;
        if (_now() < unbondAt[provider]) {
            reason = abi.encodeWithSelector(
                IProviderRegistry.StillUnbonding.selector, unbondAt[provider], _now()
            );
        } else if (unbonding[provider] == 0) {
            reason = abi.encodeWithSelector(IProviderRegistry.NothingUnbonding.selector);
        }
        bytes memory result = _atRegistry(
            provider, abi.encodeCall(REGISTRY.withdrawStake, (provider)), reason, "withdrawStake"
        );
        if (reason.length != 0) return;
        assertEq(abi.decode(result, (uint96)), unbonding[provider], "stake withdrawn");
        staked[provider] -= unbonding[provider];
        stakes -= unbonding[provider];
        (unbonding[provider], unbondAt[provider]) = (0, 0);
    }

    function _rotateWorker(uint256 unit, address worker) private {
        bytes memory data = abi.encodeCall(REGISTRY.rotateWorker, (units[unit], worker, bytes32(0)));
        _atRegistry(providers[unit / UNITS], data, NO_REASON, "rotateWorker");
    }

    function _retireAndRegister(uint256 unit) private {
        uint168 booked = bookedHoursOf[units[unit]];
        bytes memory reason;
        if (booked != 0) {
            reason = abi.encodeWithSelector(IProviderRegistry.UnitBooked.selector, units[unit], booked);
        }
        bytes memory data = abi.encodeCall(REGISTRY.retireUnit, (units[unit], _gpuIds(unit)));
        _atRegistry(providers[unit / UNITS], data, reason, "retireUnit");
        if (reason.length == 0) assertEq(_register(unit), units[unit]);
    }

    function _unlist(uint256 seed) private {
        if (_shadows.length == 0) return;
        Offer memory offer;
        bytes32 offerHash;
        for (uint256 i = 0; i < _shadows.length; ++i) {
            offer = _shadows[(seed / 2 % _shadows.length + i) % _shadows.length].terms.offer;
            offerHash = DIGESTS.hashOffer(offer);
            // Mostly one that is listed, if there is one.
            if (seed % 4 == 0 || MARKET.listedBy(offerHash) != address(0)) break;
        }
        bytes memory reason;
        if (MARKET.listedBy(offerHash) == address(0)) {
            reason = abi.encodeWithSelector(ILeaseBook.OfferNotListed.selector, offerHash);
        }
        _call(offer.provider, abi.encodeCall(ILeaseMarket.unlist, (offerHash)), reason, "unlist");
    }

    function _cancelSalt(uint256 seed) private {
        if (_shadows.length == 0) return;
        Offer memory offer = _shadows[seed % _shadows.length].terms.offer;
        bytes memory data = abi.encodeCall(ILeaseAmendments.cancelSalt, (offer.salt));
        _call(offer.provider, data, NO_REASON, "cancelSalt");
        assertTrue(MARKET.saltCancelled(offer.provider, offer.salt));
    }

    function _raiseEpoch(address provider) private {
        _atRegistry(provider, abi.encodeCall(REGISTRY.raiseEpoch, ()), NO_REASON, "raiseEpoch");
        ++epochOf[provider];
    }

    /// Another open lease that this one's worker works for, or the same.
    function _sameWorkersLease(uint256 first) private view returns (uint256) {
        address worker = REGISTRY.workerOf(_shadows[first].terms.offer.unitId);
        for (uint256 i = 1; i < _shadows.length; ++i) {
            uint256 second = (first + i) % _shadows.length;
            if (_notOpen(_shadows[second]).length != 0) continue;
            if (REGISTRY.workerOf(_shadows[second].terms.offer.unitId) == worker) return second;
        }
        return first;
    }

    /// A lease whose order waits, or any.
    function _pickOrdered(uint256 pick) private view returns (bool, uint256) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 index = ((pick >> 8) % count + i) % count;
            if (_shadows[index].order != 0) return (true, index);
        }
        return _pick(pick);
    }
}
