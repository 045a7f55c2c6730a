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
import { IOracleQuorum, QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { JobReceipt, JobSpec, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract ResolveTest is CourtBase {
    uint96 private constant FEE = CHALLENGE_BOND / 10;

    function test_RevertWhen_NothingIsDisputed() external {
        DisputeKey memory key = segmentKey(3);
        vm.expectRevert(phaseMismatch(key, Phase.NONE));
        resolve(key);
    }

    function test_RevertWhen_TermsAreAnotherLeases() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(5, 0, 0));
        Terms memory other = terms;
        other.salt = 2;
        bytes memory notOpen = leaseNotOpen(market.leaseIdOf(other), LeaseStatus.NONE);
        vm.expectRevert(notOpen);
        proceedings.resolve(key, other);
    }

    function test_RevertWhen_TermsAreOfAnotherLeaseInDispute() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(5, 0, 0));
        bytes32 unit = registerUnitAs(PROVIDER, WORKER, "other", gpuIdsOf("other", 2));
        Terms memory other = terms;
        other.offer.unitId = unit;
        other.offer.validUntil = uint40(vm.getBlockTimestamp());
        other.start = uint40(vm.getBlockTimestamp());
        other.end = other.start + 10 hours;
        other.maxEnd = other.end;
        openLease(other);
        skip(1 hours);
        bytes32 otherProof = postProof(other, 1 hours);
        vm.prank(address(court));
        market.openDispute(other, otherProof);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, otherProof, proofHash));
        proceedings.resolve(key, other);
    }

    function test_RevertWhen_TimeToRevealIsNotOver() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = drawCommittee(key);
        for (uint256 i = 0; i < 5; ++i) {
            commitAs(members[i], key, verdict(Ruling.STANDS));
        }
        skipTo(commitUntil(key) - 1);
        vm.expectRevert(tooEarly(revealUntil(key)));
        resolve(key);
        skipTo(commitUntil(key));
        for (uint256 i = 0; i < 4; ++i) {
            reveal(members[i], key, verdict(Ruling.STANDS));
        }
        skipTo(revealUntil(key) - 1);
        vm.expectRevert(tooEarly(revealUntil(key)));
        resolve(key);
    }

    function test_WhenAllWhoCommittedHaveRevealed() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(4, 0, 0));
        assertLt(vm.getBlockTimestamp(), revealUntil(key));
        resolve(key);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FINAL));
    }

    function test_WhenTheProofStands() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = judge(key, rulings(3, 1, 1));
        skipTo(revealUntil(key));
        expectResolved(key, Outcome.STANDS, 0, 45e18 + FEE % 3, type(uint32).max);
        resolve(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), i < 3 ? FEE / 3 : 0);
        }
        assertEq(court.balanceOf(PROVIDER), 45e18);
        assertEq(court.burned(), 45e18 + FEE % 3);
        assertEq(court.balanceOf(CHALLENGER), 9 * CHALLENGE_BOND);
        assertEq(market.leaseState(leaseId).openDisputes, 0);
        assertEq(market.leaseState(leaseId).pendingSeconds, CLAIM);
        assertBooks(0);
    }

    function test_RevertWhen_AKeyThatStandsIsChallengedAgain() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(5, 0, 0));
        resolve(key);
        vm.warp(MONDAY + CLAIM + 1);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.DisputeExists.selector, idOf(key), Phase.FINAL));
        this.challengeOutside();
    }

    function test_WhenTheProofStandsAndHasMatured() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(5, 0, 0));
        market.settle(terms);
        assertEq(market.leaseState(leaseId).settledSeconds, 0, "frozen");
        resolve(key);
        market.settle(terms);
        assertEq(market.leaseState(leaseId).settledSeconds, CLAIM);
    }

    function test_WhenAnExactJobIsRefuted() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = judge(key, rulings(1, 3, 1));
        uint96 share = BOND / 10 / 3;
        expectResolved(key, Outcome.REFUTED, BOND, 0);
        resolveRefuted(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), i >= 1 && i < 4 ? share : 0);
        }
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND + BOND * 30 / 100);
        assertEq(registry.compensationOf(RENTER), BOND * 30 / 100);
        assertEq(registry.compensationOf(address(court)), BOND * 30 / 100 + 3 * share);
        assertEq(registry.burned(), BOND * 40 / 100 - 3 * share);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        market.close(terms);
        assertEq(creditOf(RENTER), 36e6, "all of the deposit");
        assertBooks(0);
    }

    function test_WhenAJobIsRefuted() external {
        DisputeKey memory key = challengeJob();
        judge(key, rulings(0, 5, 0));
        resolveRefuted(key);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
    }

    function test_WhenOneRefutesWithAnotherState() external {
        DisputeKey memory key = challengeSegment();
        Verdict[] memory verdicts = rulings(0, 5, 0);
        verdicts[0].stateRoot = "garbage";
        uint8[] memory members = judge(key, verdicts);
        expectResolved(key, Outcome.REFUTED, BOND, 0);
        resolveRefuted(key);
        assertEq(court.balanceOf(operators[members[0]]), 0);
        assertEq(court.balanceOf(operators[members[1]]), BOND / 10 / 4);
        assertBooks(0);
    }

    function test_WhenRefutersDisagreeOnTheState() external {
        DisputeKey memory key = challengeSegment();
        Verdict[] memory verdicts = rulings(1, 4, 0);
        verdicts[1].stateRoot = "one";
        verdicts[2].stateRoot = "another";
        judge(key, verdicts);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolveRefuted(key);
        assertEq(registry.burned(), 0);
    }

    function test_RevertWhen_RefutedWithoutTheSpec() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(0, 5, 0));
        uint256 until = revealUntil(key) + REVEAL_SECONDS;
        skipTo(until - 1);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.SpecNeeded.selector, until, vm.getBlockTimestamp()));
        resolve(key);
    }

    function test_WhenNobodyBringsTheSpec() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(0, 5, 0));
        skipTo(revealUntil(key) + REVEAL_SECONDS);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
    }

    function test_RevertWhen_AnotherReceiptIsGiven() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(0, 5, 0));
        JobReceipt memory other = receipt;
        other.attempt = 2;
        bytes32 digest = digestOf(digests.hashJobReceipt(other));
        bytes memory expected =
            abi.encodeWithSelector(ICourtBook.ReceiptMismatch.selector, receiptDigest(), digest);
        vm.expectRevert(expected);
        proceedings.resolveRefuted(key, terms, other, spec);
    }

    function test_RevertWhen_AnotherSpecIsGiven() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(0, 5, 0));
        JobSpec memory other = spec;
        other.toleranceProfile = "lenient";
        bytes32 digest = digests.hashJobSpec(other);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.SpecMismatch.selector, receipt.specDigest, digest));
        proceedings.resolveRefuted(key, terms, receipt, other);
    }

    function test_WhenTheProfileIsNotCalibrated() external {
        DisputeKey memory key = _challengeTolerant();
        judge(key, all(errorVerdict(1000), 5));
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolveRefuted(key);
    }

    function test_WhenErrorsAreWithinTheSpread() external {
        DisputeKey memory key = _challengeTolerant();
        _calibrate(100);
        Verdict[] memory verdicts = new Verdict[](5);
        verdicts[0] = errorVerdict(2000);
        verdicts[1] = errorVerdict(1100);
        verdicts[2] = errorVerdict(1000);
        verdicts[3] = errorVerdict(1050);
        verdicts[4] = verdict(Ruling.STANDS);
        uint8[] memory members = judge(key, verdicts);
        expectResolved(key, Outcome.REFUTED, BOND, 0);
        resolveRefuted(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), i == 0 || i == 4 ? 0 : BOND / 10 / 3);
        }
        assertBooks(0);
    }

    function test_WhenErrorsAreSpreadTooFar() external {
        DisputeKey memory key = _challengeTolerant();
        _calibrate(99);
        Verdict[] memory verdicts = all(errorVerdict(1100), 5);
        verdicts[1] = errorVerdict(1000);
        verdicts[2] = errorVerdict(1000);
        verdicts[3] = errorVerdict(1200);
        verdicts[4] = verdict(Ruling.STANDS);
        judge(key, verdicts);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolveRefuted(key);
    }

    function test_WhenArbitersFindItInconclusive() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = judge(key, rulings(1, 1, 3));
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), FEE / 5);
        }
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND - FEE);
        assertEq(uint8(phaseOf(key)), uint8(Phase.NONE));
        assertBooks(0);
    }

    function test_WhenAnInconclusiveKeyIsChallengedAgain() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(1, 1, 3));
        resolve(key);
        vm.warp(MONDAY + CLAIM + CHALLENGE_SECONDS - 1);
        challengeSegment();
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_DRAW));
        judge(key, rulings(0, 5, 0));
        expectResolved(key, Outcome.REFUTED, BOND, 0);
        resolveRefuted(key);
        assertBooks(0);
    }

    function test_WhenThereIsNoMajority() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(2, 2, 1));
        vm.roll(3000);
        vm.expectEmit(address(court));
        emit ICourtBook.DrawArmed(idOf(key), 3000 + DRAW_DELAY_BLOCKS);
        resolve(key);
        assertEq(uint8(phaseOf(key)), uint8(Phase.SECOND_DRAW));
        assertEq(court.disputeOf(idOf(key)).since, vm.getBlockTimestamp());
        judge(key, rulings(0, 5, 0));
        expectResolved(key, Outcome.REFUTED, BOND, 0);
        resolveRefuted(key);
        assertBooks(0);
    }

    function test_WhenTooFewReveal() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = judge(key, rulings(2, 0, 0));
        resolve(key);
        assertEq(uint8(phaseOf(key)), uint8(Phase.SECOND_DRAW));
        for (uint256 i = 0; i < 5; ++i) {
            uint96 bond = quorum.memberAt(members[i]).bond;
            assertEq(bond, i < 2 ? MEMBER_BOND : MEMBER_BOND - ABSENCE_PENALTY);
        }
    }

    function test_WhenTheSecondCommitteeHasNoMajorityEither() external {
        topUpArbiters();
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(2, 0, 0));
        resolve(key);
        uint8[] memory members = judge(key, rulings(1, 1, 0));
        skipTo(revealUntil(key));
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
        assertEq(court.balanceOf(operators[members[0]]), FEE / 2);
        assertEq(court.balanceOf(operators[members[1]]), FEE / 2);
        assertBooks(0);
    }

    function test_WhenNobodyReveals() external {
        topUpArbiters();
        DisputeKey memory key = challengeSegment();
        drawCommittee(key);
        skipTo(revealUntil(key));
        resolve(key);
        drawCommittee(key);
        skipTo(revealUntil(key));
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND);
        assertBooks(0);
    }

    function test_WhenTheFirstRoundIsResolvedLate() external {
        DisputeKey memory key = challengeSegment();
        drawCommittee(key);
        skipTo(revealUntil(key) + DRAW_SECONDS);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
    }

    function test_WhenTheFirstRoundIsResolvedALittleLate() external {
        DisputeKey memory key = challengeSegment();
        drawCommittee(key);
        uint256 until = revealUntil(key);
        skipTo(until + DRAW_SECONDS - 1);
        resolve(key);
        assertEq(uint8(phaseOf(key)), uint8(Phase.SECOND_DRAW));
        assertEq(court.disputeOf(idOf(key)).since, until);
        skip(1);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
    }

    function test_WhenDataIsWithheld() external {
        DisputeKey memory key = challengeJob();
        uint8[] memory members = drawCommittee(key);
        voteAs(members[0], key, 0);
        voteAs(members[1], key, "checkpoint");
        voteAs(members[2], key, "checkpoint");
        vm.expectRevert(tooEarly(revealUntil(key)));
        resolve(key);
        voteAs(members[3], key, "output");
        expectResolved(key, Outcome.WITHHELD, BOND, 0);
        resolve(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), i >= 1 && i <= 3 ? BOND / 10 / 3 : 0);
            assertEq(quorum.memberAt(members[i]).bond, MEMBER_BOND, "nobody was absent");
        }
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND + BOND * 30 / 100);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        assertBooks(0);
    }

    function test_WhenAnArbiterDoesNotReveal() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = drawCommittee(key);
        for (uint256 i = 0; i < 4; ++i) {
            commitAs(members[i], key, verdict(Ruling.STANDS));
        }
        skipTo(commitUntil(key));
        for (uint256 i = 0; i < 3; ++i) {
            reveal(members[i], key, verdict(Ruling.STANDS));
        }
        skipTo(revealUntil(key));
        resolve(key);
        for (uint256 i = 0; i < 5; ++i) {
            uint96 bond = quorum.memberAt(members[i]).bond;
            assertEq(bond, i < 3 ? MEMBER_BOND : MEMBER_BOND - ABSENCE_PENALTY);
        }
        assertBooks(0);
    }

    function test_WhenAPenaltyFails() external {
        DisputeKey memory key = challengeSegment();
        judge(key, rulings(3, 0, 0));
        vm.mockCallRevert(address(quorum), abi.encodeWithSelector(quorum.penalise.selector), "paused");
        expectResolved(key, Outcome.STANDS, 0, 45e18 + FEE % 3, type(uint32).max);
        resolve(key);
        assertBooks(0);
    }

    function test_WhenResolvedAfterMembersMayHaveLeft() external {
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = judge(key, rulings(3, 0, 0));
        uint256 drawnAt = court.disputeOf(idOf(key)).since;
        skipTo(drawnAt + EXIT_SECONDS);
        expectResolved(key, Outcome.STANDS, 0, CHALLENGE_BOND / 2, type(uint32).max);
        resolve(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), 0);
            assertEq(quorum.memberAt(members[i]).bond, MEMBER_BOND);
        }
        assertBooks(0);
    }

    function test_WhenWithheldIsResolvedAfterMembersMayHaveLeft() external {
        DisputeKey memory key = challengeJob();
        uint8[] memory members = drawCommittee(key);
        for (uint256 i = 0; i < 3; ++i) {
            voteAs(members[i], key, "checkpoint");
        }
        skip(EXIT_SECONDS);
        expectResolved(key, Outcome.WITHHELD, BOND, 0);
        resolve(key);
        assertEq(court.balanceOf(operators[members[0]]), 0);
        assertBooks(0);
    }

    function test_WhenTheLeasesBondWasSlashedBefore() external {
        DisputeKey memory key = challengeSegment();
        vm.prank(address(court));
        amendments.slashBond(terms, 0, 0);
        uint8[] memory members = judge(key, rulings(0, 5, 0));
        expectResolved(key, Outcome.REFUTED, 0, 0);
        resolveRefuted(key);
        assertEq(court.balanceOf(operators[members[0]]), FEE / 5);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND - FEE);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        assertBooks(0);
    }

    function testFuzz_Money(uint256 seed, uint256 reveals) external {
        reveals = bound(reveals, 0, 5);
        DisputeKey memory key = challengeSegment();
        Verdict[] memory verdicts = new Verdict[](reveals);
        uint256[4] memory votes;
        for (uint256 i = 0; i < reveals; ++i) {
            Ruling ruling = Ruling(uint256(keccak256(abi.encode(seed, i))) % 3 + 1);
            verdicts[i] = verdict(ruling);
            ++votes[uint8(ruling)];
        }
        uint8[] memory members = judge(key, verdicts);
        skipTo(revealUntil(key));
        resolveRefuted(key);
        uint256 paid = court.balanceOf(CHALLENGER) + court.balanceOf(PROVIDER) + court.burned();
        for (uint256 i = 0; i < 5; ++i) {
            paid += court.balanceOf(operators[members[i]]);
        }
        bool refuted = reveals >= 3 && 2 * votes[2] > reveals;
        bool decided = refuted || (reveals >= 3 && (2 * votes[1] > reveals || 2 * votes[3] > reveals));
        uint256 reward = refuted ? registry.compensationOf(address(court)) : 0;
        assertEq(paid, 10 * CHALLENGE_BOND + reward - (decided ? 0 : CHALLENGE_BOND));
        assertEq(registry.compensationOf(address(court)), reward);
        uint256 slashed = refuted ? BOND : 0;
        assertEq(reward + registry.compensationOf(RENTER) + registry.burned(), slashed);
        assertEq(uint8(phaseOf(key)) == uint8(Phase.SECOND_DRAW), !decided);
        assertBooks(decided ? 0 : 1);
    }

    function challengeOutside() external {
        challengeSegment();
    }

    function _challengeTolerant() private returns (DisputeKey memory) {
        skip(CHALLENGE_SECONDS);
        spec.toleranceProfile = "profile";
        postDefault(LEAVES);
        return challengeSegment();
    }

    function _calibrate(uint64 maxSpread) private {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Calibration(bytes32 toleranceProfile,uint64 maxSpread)"),
                bytes32("profile"),
                maxSpread
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", quorum.domainSeparator(), structHash));
        QuorumSignature[] memory signatures = new QuorumSignature[](quorum.threshold());
        for (uint8 i = 0; i < signatures.length; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(arbiterKeys[i], digest);
            signatures[i] = QuorumSignature({ member: i, signature: abi.encodePacked(r, s, v) });
        }
        quorum.calibrate("profile", maxSpread, signatures);
        assertEq(IOracleQuorum(address(quorum)).maxSpreadOf("profile"), maxSpread);
    }
}
