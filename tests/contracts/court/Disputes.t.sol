// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    DisputeKey,
    ICourtBook,
    Outcome,
    Phase,
    Ruling,
    Verdict
} from "../../../contracts/interfaces/ICourtBook.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { LeaseStatus } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

/// @title Attacks on disputes, and what stops each
contract DisputesTest is CourtBase {
    function test_WhenAnotherDisputeBreachesTheLease() external {
        DisputeKey memory won = challengeSegment();
        DisputeKey memory drawn = challengeJob();
        DisputeKey memory fresh = challengeSeconds();
        DisputeKey memory bisected = startBisectionAs(CHALLENGER);
        drawCommittee(drawn);
        judge(won, rulings(0, 5, 0));
        resolveRefuted(won);
        _expectMoot(drawn);
        _expectMoot(fresh);
        _expectMoot(bisected);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND + BOND * 30 / 100);
        assertBooks(0);
    }

    function test_WhenTheBreachedLeaseIsClosed() external {
        DisputeKey memory won = challengeSegment();
        DisputeKey memory other = challengeJob();
        judge(won, rulings(0, 5, 0));
        resolveRefuted(won);
        market.close(terms);
        _expectMoot(other);
        assertBooks(0);
    }

    function test_RevertWhen_AMootDisputeIsResolved() external {
        DisputeKey memory won = challengeSegment();
        DisputeKey memory other = challengeJob();
        judge(won, rulings(0, 5, 0));
        resolveRefuted(won);
        skip(DRAW_SECONDS);
        bytes memory notOpen = leaseNotOpen(leaseId, LeaseStatus.BREACHED);
        vm.expectRevert(notOpen);
        proceedings.resolve(other, terms);
    }

    function test_RevertWhen_LeaseIsStillOpen() external {
        DisputeKey memory key = challengeSegment();
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeaseStillOpen.selector, leaseId));
        proceedings.resolveMoot(key);
    }

    function test_RevertWhen_AMootDisputeIsEndedTwice() external {
        DisputeKey memory won = challengeSegment();
        DisputeKey memory other = challengeJob();
        judge(won, rulings(0, 5, 0));
        resolveRefuted(won);
        proceedings.resolveMoot(other);
        vm.expectRevert(phaseMismatch(other, Phase.NONE));
        proceedings.resolveMoot(other);
        vm.expectRevert(phaseMismatch(won, Phase.NONE));
        proceedings.resolveMoot(won);
    }

    function test_RevertWhen_ADisputeThatStoodIsMoot() external {
        DisputeKey memory lost = challengeSegment();
        DisputeKey memory won = challengeJob();
        _judgeBoth(lost, Ruling.STANDS, won, Ruling.REFUTED);
        resolve(lost);
        resolveRefuted(won);
        vm.expectRevert(phaseMismatch(lost, Phase.FINAL));
        proceedings.resolveMoot(lost);
    }

    /// A friend challenges an honest segment and loses; the bad one is challenged beside it.
    function test_WhenAFriendLosesAChallenge() external {
        fund(STRANGER, CHALLENGE_BOND);
        DisputeKey memory friends = challengeSegmentAs(STRANGER, 1);
        DisputeKey memory key = challengeSegment();
        _judgeBoth(friends, Ruling.STANDS, key, Ruling.REFUTED);
        resolve(friends);
        assertEq(market.leaseState(leaseId).openDisputes, 1);
        uint256 matured = MONDAY + CLAIM + CHALLENGE_SECONDS;
        assertGt(vm.getBlockTimestamp(), matured);
        market.settle(terms);
        assertEq(market.leaseState(leaseId).settledSeconds, 0, "still frozen");
        resolveRefuted(key);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
    }

    function test_RevertWhen_AFrozenProofIsReplaced() external {
        challengeSegment();
        skip(CHALLENGE_SECONDS);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, 1));
        this.postOutside();
    }

    function test_WhenASybilChallengesJustBeforeMaturity() external {
        skip(CHALLENGE_SECONDS - 1);
        uint256 opened = vm.getBlockTimestamp();
        DisputeKey memory key = startBisectionAs(CHALLENGER);
        DisputeKey memory other = challengeSegment();
        skipTo(opened + court.DISPUTE_MAX_SECONDS());
        proceedings.claimTimeout(key, terms);
        proceedings.resolveMoot(other);
        assertBooks(0);
    }

    function test_WhenADisputeTakesAsLongAsItCan() external {
        topUpArbiters();
        skip(CHALLENGE_SECONDS);
        postDefault(1);
        uint256 opened = vm.getBlockTimestamp();
        DisputeKey memory key = startBisectionAs(CHALLENGER);
        skip(CLOCK_SECONDS - 1);
        court.revealLeaves(key, receipt, traceOf(1)[0], traceOf(1)[0]);
        skip(DRAW_SECONDS - 1);
        drawCommittee(key);
        skipTo(revealUntil(key) + DRAW_SECONDS - 1);
        resolve(key);
        drawCommittee(key);
        judgeDrawn(key, rulings(0, 5, 0));
        skipTo(revealUntil(key) + REVEAL_SECONDS);
        assertLe(vm.getBlockTimestamp(), opened + court.DISPUTE_MAX_SECONDS());
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
        assertBooks(0);
    }

    function test_WhenAProviderChallengesItself() external {
        fund(PROVIDER, CHALLENGE_BOND);
        DisputeKey memory key = challengeSegmentAs(PROVIDER, 3);
        judge(key, rulings(0, 5, 0));
        resolveRefuted(key);
        assertEq(court.balanceOf(PROVIDER), CHALLENGE_BOND + BOND * 30 / 100);
        assertGe(registry.burned(), BOND * 30 / 100);
        assertBooks(0);
    }

    function test_WhenOneArbiterIsHostile() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = drawCommittee(key);
        voteAs(members[0], key, "lie");
        vm.prank(arbiters[members[0]]);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.VotedAlready.selector, members[0]));
        proceedings.voteData(key, members[0], "lie", "");
        judgeDrawn(key, rulings(5, 0, 0));
        expectResolved(key, Outcome.STANDS, 0, 45e18, type(uint32).max);
        resolve(key);
    }

    function test_WhenSeveralDisputesRunInParallel() external {
        DisputeKey memory one = challengeSegmentAs(CHALLENGER, 1);
        DisputeKey memory two = challengeSegmentAs(CHALLENGER, 2);
        uint8[] memory ones = drawCommittee(one);
        uint8[] memory twos = drawCommittee(two);
        Verdict memory standing = verdict(Ruling.STANDS);
        for (uint256 i = 0; i < 5; ++i) {
            commitAs(ones[i], one, standing);
        }
        // Commitments of one dispute open nothing in another.
        bytes32 copied = court.ballotOf(idOf(one), court.disputeOf(idOf(one)).drawBlock, ones[0]).commitment;
        vm.prank(arbiters[twos[0]]);
        proceedings.commit(two, twos[0], copied);
        skipTo(commitUntil(two));
        vm.expectRevert();
        proceedings.reveal(two, twos[0], standing, SALT);
        for (uint256 i = 0; i < 5; ++i) {
            reveal(ones[i], one, standing);
        }
        resolve(one);
        assertEq(uint8(phaseOf(one)), uint8(Phase.FINAL));
        assertEq(uint8(phaseOf(two)), uint8(Phase.FIRST_COMMITTEE));
        assertEq(market.leaseState(leaseId).openDisputes, 1);
        assertBooks(1);
    }

    function test_WhenADisputeOutlastsTheLease() external {
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        skipTo(endOf(terms));
        proof = proofOf(terms, 5 hours);
        proofHash = postProof(terms, 5 hours);
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(5 hours), 5));
        resolve(key);
        assertEq(
            market.leaseState(leaseId).lastPostOffset,
            vm.getBlockTimestamp() + PROOF_GRACE_SECONDS - terms.start
        );
    }

    function postOutside() external {
        postProof(terms, CLAIM);
    }

    /// All arbiters of each committee rule so.
    function _judgeBoth(DisputeKey memory one, Ruling ofOne, DisputeKey memory other, Ruling ofOther)
        private
    {
        uint8[] memory ones = drawCommittee(one);
        uint8[] memory others = drawCommittee(other);
        for (uint256 i = 0; i < 5; ++i) {
            commitAs(ones[i], one, verdict(ofOne));
            commitAs(others[i], other, verdict(ofOther));
        }
        skipTo(commitUntil(other));
        for (uint256 i = 0; i < 5; ++i) {
            reveal(ones[i], one, verdict(ofOne));
            reveal(others[i], other, verdict(ofOther));
        }
    }

    function _expectMoot(DisputeKey memory key) private {
        expectResolved(key, Outcome.MOOT, 0, 0);
        vm.prank(STRANGER);
        proceedings.resolveMoot(key);
        assertEq(uint8(phaseOf(key)), uint8(Phase.NONE));
    }
}
