// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { LeaseStatus, OfferKind, Terms } from "../../../contracts/libraries/Types.sol";
import { Calls } from "./Calls.sol";
import { Shadow } from "./Shadows.sol";

/// @title Why a call must be refused, in the words of its revert; empty where it must succeed
abstract contract Predictions is Calls {
    bytes internal constant NO_REASON = "";

    /// @param bondBefore what another lease opened in the same call locks of the same stake
    function _openReason(Terms memory terms, bool signed, uint256 bondBefore)
        internal
        view
        returns (bytes memory)
    {
        address provider = terms.offer.provider;
        (bool allowed,) = MARKET.tokenTerms(terms.offer.token);
        if (!allowed) return abi.encodeWithSelector(ILeaseBook.TokenNotAllowed.selector, terms.offer.token);
        if (signed && MARKET.saltCancelled(provider, terms.offer.salt)) {
            return abi.encodeWithSelector(ILeaseBook.OfferCancelled.selector, provider, terms.offer.salt);
        }
        if (_scheduled(terms, terms.start, terms.end) == 0) {
            return abi.encodeWithSelector(ILeaseBook.NothingScheduled.selector);
        }
        uint168 booked = bookedHoursOf[terms.offer.unitId];
        if (booked & terms.weeklyHours != 0) {
            return abi.encodeWithSelector(
                IProviderRegistry.HoursTaken.selector, terms.offer.unitId, booked, terms.weeklyHours
            );
        }
        uint24 epoch = uint24(terms.offer.salt >> 232);
        if (epoch != epochOf[provider]) {
            return abi.encodeWithSelector(IProviderRegistry.EpochMismatch.selector, epochOf[provider], epoch);
        }
        uint256 free = freeStakeOf(provider) - bondBefore;
        if (free < terms.offer.bond) {
            return abi.encodeWithSelector(
                IProviderRegistry.InsufficientFreeStake.selector, terms.offer.bond, free
            );
        }
        return NO_REASON;
    }

    function _notOpen(Shadow storage shadow) internal view returns (bytes memory) {
        if (shadow.status == LeaseStatus.OPEN) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.LeaseNotOpen.selector, shadow.leaseId, shadow.status);
    }

    function _ended(Shadow storage shadow) internal view returns (bytes memory) {
        if (_now() < shadow.end) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, uint256(shadow.end), _now());
    }

    function _notRunning(Shadow storage shadow) internal view returns (bytes memory reason) {
        reason = _notOpen(shadow);
        if (reason.length == 0) reason = _ended(shadow);
    }

    function _notRenter(Shadow storage shadow, address caller) internal view returns (bytes memory) {
        if (caller == shadow.renter) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, shadow.renter, caller);
    }

    function _isClosing(Shadow storage shadow) internal view returns (bytes memory) {
        if (!shadow.closing) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.LeaseClosing.selector, shadow.leaseId);
    }

    function _disputed(Shadow storage shadow) internal view returns (bytes memory) {
        if (shadow.disputes == 0) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, shadow.disputes);
    }

    /// A proof that settling first does not settle.
    function _pending(Shadow storage shadow) internal view returns (bytes memory) {
        if (shadow.disputes != 0) return _disputed(shadow);
        if (shadow.maturesAt <= _now()) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.ProofPending.selector, uint256(shadow.maturesAt), _now());
    }

    /// What is settled once a call has settled first.
    function _settledFirst(Shadow storage shadow) internal view returns (uint32) {
        bool matured = shadow.maturesAt != 0 && shadow.disputes == 0 && shadow.maturesAt <= _now();
        return matured ? shadow.pendingSeconds : shadow.settledSeconds;
    }

    function _extendReason(Shadow storage shadow, uint256 end, uint256 latest)
        internal
        view
        returns (bytes memory reason)
    {
        reason = _notRunning(shadow);
        if (reason.length == 0) reason = _isClosing(shadow);
        if (reason.length != 0 || (end > shadow.end && end <= latest)) return reason;
        return abi.encodeWithSelector(
            ILeaseBook.EndOutOfRange.selector, uint256(shadow.end) + 1, latest, uint40(end)
        );
    }

    /// Seconds that a proof may claim now.
    function _claimable(Shadow storage shadow) internal view returns (uint256) {
        uint256 scheduled = _scheduled(shadow.terms, shadow.terms.start, _min(_now(), shadow.end));
        if (shadow.order != 0) scheduled = _min(scheduled, shadow.answerWithin);
        return scheduled - shadow.lostSeconds;
    }

    function _postReason(Shadow storage shadow, uint256 claim) internal view returns (bytes memory reason) {
        reason = _notOpen(shadow);
        if (reason.length != 0) return reason;
        if (_now() < shadow.terms.start) {
            return abi.encodeWithSelector(
                ILeaseBook.LeaseNotStarted.selector, uint256(shadow.terms.start), _now()
            );
        }
        reason = _pending(shadow);
        if (reason.length != 0) return reason;
        if (_now() > _lastPost(shadow)) {
            return abi.encodeWithSelector(ILeaseBook.ProofAfterLastPost.selector, _lastPost(shadow), _now());
        }
        uint256 claimable = _claimable(shadow);
        uint32 settled = _settledFirst(shadow);
        if (claim >= settled && claim <= claimable) return NO_REASON;
        return abi.encodeWithSelector(
            ILeaseBook.ProvenSecondsOutOfRange.selector, settled, claimable, uint32(claim)
        );
    }

    function _closeReason(Shadow storage shadow) internal view returns (bytes memory reason) {
        if (shadow.status == LeaseStatus.BREACHED) return NO_REASON;
        reason = _notOpen(shadow);
        if (reason.length == 0) reason = _pending(shadow);
        if (reason.length != 0) return reason;
        uint256 scheduled = _scheduled(shadow.terms, shadow.terms.start, shadow.end);
        if (_now() >= shadow.end && _settledFirst(shadow) == scheduled) return NO_REASON;
        uint256 lastPost = _lastPost(shadow);
        if (_now() > lastPost) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.LeaseNotClosable.selector, lastPost + 1, _now());
    }

    function _releaseReason(Shadow storage shadow) internal view returns (bytes memory) {
        if (shadow.status != LeaseStatus.OPEN && shadow.status != LeaseStatus.BREACHED) {
            return _notOpen(shadow);
        }
        if (_now() < shadow.end) {
            return abi.encodeWithSelector(ILeaseBook.LeaseNotEnded.selector, uint256(shadow.end), _now());
        }
        if (shadow.hoursHeld) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.HoursAlreadyReleased.selector, shadow.leaseId);
    }

    function _notPending(Shadow storage shadow, bytes32 proofHash) internal view returns (bytes memory) {
        if (shadow.maturesAt != 0 && shadow.proofHash == proofHash) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, shadow.proofHash, proofHash);
    }

    /// Of the market's part of a challenge.
    function _disputeReason(Shadow storage shadow, bytes32 proofHash)
        internal
        view
        returns (bytes memory reason)
    {
        reason = _notOpen(shadow);
        if (reason.length == 0) reason = _notPending(shadow, proofHash);
        if (reason.length != 0 || _now() < shadow.maturesAt) return reason;
        return abi.encodeWithSelector(ILeaseBook.ProofMatured.selector, uint256(shadow.maturesAt), _now());
    }

    /// Of what a provider has failed in. `outage`, `yielded`: what the failover rests on, else on the notice.
    function _failureReason(Shadow storage shadow, bool outage, bool yielded)
        internal
        view
        returns (bytes memory)
    {
        bool shown = outage || (yielded ? shadow.terms.offer.kind == OfferKind.IDLE : shadow.failed);
        if (!shown) {
            return abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, shadow.leaseId);
        }
        return shadow.failed ? NO_REASON : _ended(shadow);
    }

    /// A lease with a proof that can still be disputed, or any.
    function _pickPending(uint256 pick) internal view returns (bool, uint256) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 index = ((pick >> 8) % count + i) % count;
            if (_shadows[index].maturesAt > _now()) return (true, index);
        }
        return _pick(pick);
    }

    /// A lease that a proof can be posted on, in most cases if there is one.
    function _pickPostable(uint256 pick) internal view returns (bool, uint256) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count && pick % 4 != 0; ++i) {
            uint256 index = ((pick >> 8) % count + i) % count;
            if (_postReason(_shadows[index], _claimable(_shadows[index])).length == 0) return (true, index);
        }
        return _pick(pick);
    }
}
