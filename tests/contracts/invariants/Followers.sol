// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import {
    CompletionProof,
    LeaseStatus,
    LeaseTerms,
    NoticeReason,
    Offer,
    OfferKind,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { MoneyFollowers } from "./MoneyFollowers.sol";
import { Shadow } from "./Shadows.sol";

/// @title Shadows follow the events, and say where an event tells what must not be
abstract contract Followers is MoneyFollowers {
    /// What the failover under way rests on; else on the provider's notice.
    bool internal _outage;
    bool internal _yielded;

    function _absorb(Vm.Log[] memory logs) internal {
        for (uint256 i = 0; i < logs.length; ++i) {
            address emitter = logs[i].emitter;
            if (emitter == address(MARKET)) _onMarket(logs[i]);
            else if (emitter == address(REGISTRY)) _onRegistry(logs[i]);
            else if (emitter == address(COURT)) _onCourt(logs[i]);
            else if (emitter == address(QUORUM)) _onQuorum(logs[i]);
        }
    }

    function _onMarket(Vm.Log memory entry) private {
        bytes32 topic = entry.topics[0];
        if (topic == ILeaseBook.LeaseOpened.selector) return _onOpened(entry);
        if (topic == ILeaseBook.Withdrawn.selector) return _onWithdrawn(entry);
        if (topic == ILeaseBook.FeesWithdrawn.selector) return _onFeesWithdrawn(entry);
        uint256 indexPlusOne = entry.topics.length > 1 ? _indexOf[entry.topics[1]] : 0;
        if (indexPlusOne == 0) return;
        _touched.push(indexPlusOne - 1);
        Shadow storage shadow = _shadows[indexPlusOne - 1];
        if (topic == ILeaseBook.LeaseExtended.selector) _onExtended(shadow, entry);
        else if (topic == ILeaseBook.ProofPosted.selector) _onPosted(shadow, entry);
        else if (topic == ILeaseBook.ProofAccepted.selector) _onAccepted(shadow, entry);
        else if (topic == ILeaseBook.Settled.selector) _onSettled(shadow, entry);
        else if (topic == ILeaseBook.NoticeGiven.selector) _onNotice(shadow, entry);
        else if (topic == ILeaseBook.OrderPosted.selector) _onOrderPosted(shadow, entry);
        else if (topic == ILeaseBook.OrderAnswered.selector) _onOrderAnswered(shadow, entry);
        else if (topic == ILeaseBook.FailedOver.selector) _onFailedOver(shadow, entry);
        else if (topic == ILeaseBook.LeaseTransferred.selector) _onTransferred(shadow, entry);
        else if (topic == ILeaseBook.HoursReleased.selector) _freeHours(shadow);
        else if (topic == ILeaseBook.DisputeOpened.selector) _onDisputeOpened(shadow, entry);
        else if (topic == ILeaseBook.DisputeEnded.selector) _onDisputeEnded(shadow, entry);
        else if (topic == ILeaseBook.LeaseBreached.selector) _onBreached(shadow, entry, indexPlusOne);
        else if (topic == ILeaseBook.BondSlashed.selector) _onBondSlashed(shadow, entry, indexPlusOne);
        else if (topic == ILeaseBook.LeaseClosed.selector) _onClosed(shadow, entry);
    }

    function _onOpened(Vm.Log memory entry) private {
        (bytes32 offerHash, LeaseTerms memory told, uint96 deposit) =
            abi.decode(entry.data, (bytes32, LeaseTerms, uint96));
        bytes32 leaseId = entry.topics[1];
        assertEq(_indexOf[leaseId], 0, "a lease opened twice");
        Terms memory terms = _proposed[leaseId];
        assertEq(abi.encode(told), abi.encode(_leaseTerms(terms)), "told other terms");
        assertEq(entry.topics[2], bytes32(uint256(uint160(terms.renter))), "told another renter");
        assertEq(offerHash, DIGESTS.hashOffer(terms.offer), "told another offer");
        assertEq(deposit, _depositFor(terms, terms.end), "deposit");
        Shadow storage shadow = _shadows.push();
        _indexOf[leaseId] = _shadows.length;
        _touched.push(_shadows.length - 1);
        shadow.terms = terms;
        shadow.leaseId = leaseId;
        shadow.renter = terms.renter;
        shadow.deposit = deposit;
        shadow.end = terms.end;
        shadow.status = LeaseStatus.OPEN;
        shadow.hoursHeld = true;
        deposits[terms.offer.token] += deposit;
        lockedOf[terms.offer.provider] += terms.offer.bond;
        uint168 booked = bookedHoursOf[terms.offer.unitId];
        assertEq(booked & terms.weeklyHours, 0, "hours booked twice");
        bookedHoursOf[terms.offer.unitId] = booked | terms.weeklyHours;
    }

    function _onExtended(Shadow storage shadow, Vm.Log memory entry) private {
        (uint40 end, uint96 deposit) = abi.decode(entry.data, (uint40, uint96));
        assertFalse(shadow.closing, "extended after notice");
        assertGt(end, shadow.end);
        deposits[shadow.terms.offer.token] += deposit - shadow.deposit;
        shadow.deposit = deposit;
        shadow.end = end;
    }

    function _onPosted(Shadow storage shadow, Vm.Log memory entry) private {
        (CompletionProof memory proof, uint40 maturesAt) = abi.decode(entry.data, (CompletionProof, uint40));
        assertEq(uint8(shadow.status), uint8(LeaseStatus.OPEN), "posted when not open");
        assertEq(shadow.maturesAt, 0, "a pending proof was replaced");
        assertEq(proof.previousProof, shadow.proofHash, "the chain of proofs broke");
        assertEq(maturesAt, _now() + CHALLENGE_SECONDS);
        bytes32 proofHash = entry.topics[2];
        assertEq(proofHash, DIGESTS.hashCompletionProof(proof));
        assertFalse(_proofSeen[proofHash], "a proof counted twice");
        _proofSeen[proofHash] = true;
        shadow.proofHash = proofHash;
        shadow.pendingSeconds = proof.provenSeconds;
        shadow.maturesAt = maturesAt;
        shadow.lastProof = proof;
        shadow.receipted = false;
    }

    function _onAccepted(Shadow storage shadow, Vm.Log memory entry) private {
        assertEq(entry.topics[2], shadow.proofHash, "another proof was accepted");
        shadow.maturesAt = uint40(_min(shadow.maturesAt, _now()));
    }

    function _onSettled(Shadow storage shadow, Vm.Log memory entry) private {
        (uint32 settled, uint96 pay, uint96 fee) = abi.decode(entry.data, (uint32, uint96, uint96));
        assertEq(uint8(shadow.status), uint8(LeaseStatus.OPEN), "settled when not open");
        assertEq(shadow.disputes, 0, "settled when disputed");
        assertTrue(shadow.maturesAt != 0 && shadow.maturesAt <= _now(), "settled too early");
        assertEq(settled, shadow.pendingSeconds, "settled other seconds than proven");
        assertGe(settled, shadow.settledSeconds, "settled seconds went back");
        shadow.settledSeconds = settled;
        shadow.pendingSeconds = 0;
        shadow.maturesAt = 0;
        shadow.paid += pay;
        shadow.fees += fee;
        address token = shadow.terms.offer.token;
        _credit(token, shadow.terms.offer.provider, pay);
        deposits[token] -= uint256(pay) + fee;
        fees[token] += fee;
        if (pay != 0) ++calls["settledWithPay"];
        if (fee != 0) ++calls["settledWithFee"];
    }

    function _onNotice(Shadow storage shadow, Vm.Log memory entry) private {
        (uint40 end, uint32 penalty, NoticeReason reason,) =
            abi.decode(entry.data, (uint40, uint32, NoticeReason, bytes32));
        Offer storage offer = shadow.terms.offer;
        bool byProvider = address(uint160(uint256(entry.topics[2]))) == offer.provider;
        uint256 start = shadow.terms.start;
        uint256 noticed = _now() + offer.noticeSeconds;
        if (byProvider || reason == NoticeReason.GANG_FAILED) noticed = _max(start, noticed);
        else noticed = noticed < start ? start : _max(start + offer.minSeconds, noticed);
        assertEq(end, _min(noticed, shadow.end), "end after notice");
        if (end == start) ++calls["cancelledBeforeStart"];
        if (_cut(shadow, end, byProvider) != 0) ++calls[byProvider ? "cutByProvider" : "cutByRenter"];
        assertEq(penalty, shadow.penaltySeconds, "penalty");
    }

    function _onOrderPosted(Shadow storage shadow, Vm.Log memory entry) private {
        assertEq(shadow.order, 0, "two orders wait");
        shadow.order = entry.topics[2];
        shadow.answerWithin = abi.decode(entry.data, (uint32));
        uint256 scheduled = _scheduled(shadow.terms, shadow.terms.start, _now());
        assertEq(shadow.answerWithin, scheduled + MARKET.ANSWER_SECONDS(), "answer within");
    }

    function _onOrderAnswered(Shadow storage shadow, Vm.Log memory entry) private {
        assertEq(entry.topics[2], shadow.order, "another order was answered");
        (, uint32 lost) = abi.decode(entry.data, (bool, uint32));
        uint256 scheduled = _scheduled(shadow.terms, shadow.terms.start, _min(_now(), shadow.end));
        uint256 late = scheduled - _min(scheduled, shadow.answerWithin);
        assertEq(lost, shadow.lostSeconds + late, "seconds lost");
        if (late != 0) ++calls["answeredLate"];
        shadow.lostSeconds = lost;
        shadow.order = 0;
        shadow.answerWithin = 0;
    }

    function _onFailedOver(Shadow storage shadow, Vm.Log memory entry) private {
        (uint96 moved, uint40 end, uint32 penalty, uint8 hops) =
            abi.decode(entry.data, (uint96, uint40, uint32, uint8));
        Shadow storage next = _shadows[_indexOf[entry.topics[2]] - 1];
        assertEq(moved, next.deposit, "moved another sum than the next lease holds");
        assertEq(hops, shadow.hops + 1);
        assertEq(next.terms.renter, shadow.renter, "moved to another renter");
        next.hops = hops;
        assertFalse(shadow.failedOver, "failed over twice");
        shadow.failedOver = true;
        if ((_outage || _yielded) && _now() < shadow.end) {
            assertEq(end, _max(shadow.terms.start, _now()));
            _cut(shadow, end, _outage);
        }
        assertEq(end, shadow.end);
        assertEq(penalty, shadow.penaltySeconds, "penalty");
        shadow.deposit -= moved;
        deposits[shadow.terms.offer.token] -= moved;
        if (moved != 0) ++calls["failedOverWithMoney"];
    }

    function _onTransferred(Shadow storage shadow, Vm.Log memory entry) private {
        uint96 price = abi.decode(entry.data, (uint96));
        address from = address(uint160(uint256(entry.topics[2])));
        assertEq(from, shadow.renter, "sold by another");
        shadow.renter = address(uint160(uint256(entry.topics[3])));
        ++shadow.transfers;
        _credit(shadow.terms.offer.token, from, price);
    }

    function _onDisputeOpened(Shadow storage shadow, Vm.Log memory entry) private {
        assertEq(entry.topics[2], shadow.proofHash);
        assertLt(_now(), shadow.maturesAt, "disputed too late, or without a proof");
        assertEq(abi.decode(entry.data, (uint16)), ++shadow.disputes);
    }

    function _onDisputeEnded(Shadow storage shadow, Vm.Log memory entry) private {
        (uint16 disputes, uint32 left, uint40 lastPost) = abi.decode(entry.data, (uint16, uint32, uint40));
        assertEq(disputes, --shadow.disputes);
        assertLe(left, shadow.pendingSeconds, "a dispute raised the claim");
        assertGe(left, shadow.settledSeconds, "a dispute took what was settled");
        if (left != shadow.pendingSeconds) ++calls["claimCut"];
        shadow.pendingSeconds = left;
        uint256 extended = _now() + PROOF_GRACE_SECONDS;
        // A proof posted in time so won gives no more.
        bool inTime = shadow.maturesAt <= uint256(shadow.end) + PROOF_GRACE_SECONDS + CHALLENGE_SECONDS;
        if (inTime && extended > _lastPost(shadow)) {
            shadow.movedLastPost = uint40(extended);
            ++calls["lastPostMoved"];
        }
        assertEq(lastPost, _lastPost(shadow), "last post");
    }

    function _onBreached(Shadow storage shadow, Vm.Log memory entry, uint256 indexPlusOne) private {
        (uint40 end, uint96 slashed) = abi.decode(entry.data, (uint40, uint96));
        assertEq(uint8(shadow.status), uint8(LeaseStatus.OPEN), "breached when not open");
        assertEq(end, _min(shadow.end, _max(shadow.terms.start, _now())));
        assertEq(slashed, shadow.bondSlashed ? 0 : shadow.terms.offer.bond, "slashed");
        shadow.status = LeaseStatus.BREACHED;
        shadow.end = end;
        shadow.pendingSeconds = 0;
        shadow.maturesAt = 0;
        shadow.disputes = 0;
        shadow.closing = true;
        shadow.failed = true;
        shadow.bondSlashed = true;
        if (slashed != 0) _slashing = indexPlusOne;
    }

    function _onBondSlashed(Shadow storage shadow, Vm.Log memory entry, uint256 indexPlusOne) private {
        assertFalse(shadow.bondSlashed, "slashed twice");
        assertEq(abi.decode(entry.data, (uint96)), shadow.terms.offer.bond);
        shadow.bondSlashed = true;
        if (shadow.terms.offer.bond != 0) _slashing = indexPlusOne;
        ++calls["bondSlashed"];
    }

    function _onClosed(Shadow storage shadow, Vm.Log memory entry) private {
        (uint32 settled, uint96 refund, uint96 compensation) =
            abi.decode(entry.data, (uint32, uint96, uint96));
        Offer storage offer = shadow.terms.offer;
        assertEq(settled, shadow.settledSeconds, "closed with other seconds than settled");
        assertEq(compensation, _compensationOf(shadow), "compensation");
        if (shadow.paid != 0) ++calls["closedWithPay"];
        if (refund != 0 && shadow.paid != 0) ++calls["closedWithPayAndRefund"];
        if (compensation != 0) ++calls["closedWithCompensation"];
        if (shadow.status == LeaseStatus.BREACHED) ++calls["closedAfterBreach"];
        else if (settled == _scheduled(shadow.terms, shadow.terms.start, shadow.end)) ++calls["closedInFull"];
        shadow.status = LeaseStatus.CLOSED;
        shadow.refunded = refund;
        shadow.compensated = compensation;
        deposits[offer.token] -= refund;
        _credit(offer.token, shadow.renter, refund);
        if (shadow.hoursHeld) _freeHours(shadow);
        if (!shadow.bondSlashed) lockedOf[offer.provider] -= offer.bond;
        _compensate(offer.provider, shadow.renter, compensation);
    }

    /// @return cut scheduled seconds cut off; they stay owed where the provider is to blame and reserved them
    function _cut(Shadow storage shadow, uint40 end, bool failed) private returns (uint256 cut) {
        cut = _scheduled(shadow.terms, end, shadow.end);
        shadow.end = end;
        shadow.closing = true;
        if (!failed) return cut;
        shadow.failed = true;
        if (shadow.terms.offer.kind == OfferKind.RESERVED) shadow.penaltySeconds += uint32(cut);
    }

    /// The bond's share for seconds owed and not settled; the court's share came before.
    function _compensationOf(Shadow storage shadow) private view returns (uint256) {
        Offer storage offer = shadow.terms.offer;
        if (shadow.bondSlashed || offer.kind == OfferKind.IDLE) return 0;
        uint256 owed = _scheduled(shadow.terms, shadow.terms.start, shadow.end) + shadow.penaltySeconds;
        return owed == 0 ? 0 : uint256(offer.bond) * (owed - shadow.settledSeconds) / owed;
    }

    function _freeHours(Shadow storage shadow) private {
        assertTrue(shadow.hoursHeld, "hours released twice");
        shadow.hoursHeld = false;
        bookedHoursOf[shadow.terms.offer.unitId] &= ~shadow.terms.weeklyHours;
    }

    function _leaseTerms(Terms memory terms) internal pure returns (LeaseTerms memory) {
        return LeaseTerms({
            start: terms.start,
            end: terms.end,
            maxEnd: terms.maxEnd,
            weeklyHours: terms.weeklyHours,
            feeBps: terms.feeBps,
            policyHash: terms.policyHash,
            firstOrder: terms.firstOrder,
            gangId: terms.gangId,
            previousLeaseId: terms.previousLeaseId,
            salt: terms.salt
        });
    }
}
