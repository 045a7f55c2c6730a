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
import { LeaseStatus } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract ResolveSecondsTest is CourtBase {
    uint96 private constant FEE = CHALLENGE_BOND / 10;

    function test_WhenTheCommitteeIsDrawn() external {
        DisputeKey memory key = challengeSeconds();
        drawCommittee(key);
        assertEq(commitUntil(key), vm.getBlockTimestamp() + COMMIT_SECONDS);
    }

    function test_WhenTheMedianIsTheClaim() external {
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(CLAIM), 5));
        expectResolved(key, Outcome.STANDS, 0, 45e18, type(uint32).max);
        resolve(key);
        assertEq(court.balanceOf(PROVIDER), 45e18);
        assertEq(market.leaseState(leaseId).pendingSeconds, CLAIM);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FINAL));
        assertBooks(0);
    }

    function test_WhenTheMedianIsAboveTheClaim() external {
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(CLAIM + 1), 5));
        expectResolved(key, Outcome.STANDS, 0, 45e18, type(uint32).max);
        resolve(key);
    }

    function test_WhenTheOverclaimIsTolerated() external {
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(CLAIM - 60), 5));
        expectResolved(key, Outcome.OVERCLAIMED, 0, 0, CLAIM - 60);
        resolve(key);
        assertEq(market.leaseState(leaseId).pendingSeconds, CLAIM - 60);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND - FEE);
        assertEq(registry.burned(), 0);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FINAL));
        assertBooks(0);
    }

    function test_WhenTheOverclaimIsNotTolerated() external {
        DisputeKey memory key = challengeSeconds();
        uint8[] memory members = judge(key, all(secondsVerdict(CLAIM - 61), 5));
        expectResolved(key, Outcome.OVERCLAIMED, BOND, 0, CLAIM - 61);
        resolve(key);
        assertEq(market.leaseState(leaseId).pendingSeconds, CLAIM - 61);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.OPEN));
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND + BOND * 30 / 100);
        assertEq(court.balanceOf(operators[members[0]]), BOND / 10 / 5);
        assertEq(registry.compensationOf(RENTER), BOND * 30 / 100);
        assertEq(registry.burned(), BOND * 30 / 100);
        assertBooks(0);
        market.settle(terms);
        assertEq(market.leaseState(leaseId).settledSeconds, CLAIM - 61);
    }

    function test_WhenTheLeaseIsLong() external {
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        skip(9 hours - CHALLENGE_SECONDS - 1 minutes);
        uint32 claim = uint32(vm.getBlockTimestamp() - terms.start);
        proof = proofOf(terms, claim);
        proofHash = postProof(terms, claim);
        uint32 tolerated = (claim - CLAIM) / 100;
        assertGt(tolerated, 60);
        DisputeKey memory key = challengeSeconds();
        uint256 snapshot = vm.snapshotState();
        judge(key, all(secondsVerdict(claim - tolerated), 5));
        expectResolved(key, Outcome.OVERCLAIMED, 0, 0, claim - tolerated);
        resolve(key);
        assertTrue(vm.revertToState(snapshot));
        judge(key, all(secondsVerdict(claim - tolerated - 1), 5));
        expectResolved(key, Outcome.OVERCLAIMED, BOND, 0, claim - tolerated - 1);
        resolve(key);
    }

    function test_WhenTheMedianIsBelowWhatWasSettled() external {
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        uint32 claim = uint32(vm.getBlockTimestamp() - terms.start);
        proof = proofOf(terms, claim);
        proofHash = postProof(terms, claim);
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(0), 5));
        expectResolved(key, Outcome.OVERCLAIMED, BOND, 0, CLAIM);
        resolve(key);
        assertEq(market.leaseState(leaseId).pendingSeconds, CLAIM);
        assertBooks(0);
    }

    function test_WhenOneArbiterIsFarOff() external {
        DisputeKey memory key = challengeSeconds();
        Verdict[] memory verdicts = all(secondsVerdict(3000), 5);
        verdicts[1] = secondsVerdict(0);
        verdicts[2] = secondsVerdict(3060);
        verdicts[3] = secondsVerdict(2940);
        verdicts[4] = secondsVerdict(3061);
        uint8[] memory members = judge(key, verdicts);
        expectResolved(key, Outcome.OVERCLAIMED, BOND, 0, 3000);
        resolve(key);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(court.balanceOf(operators[members[i]]), i == 1 || i == 4 ? 0 : BOND / 10 / 3);
        }
        assertBooks(0);
    }

    function test_WhenAnEvenNumberReveals() external {
        DisputeKey memory key = challengeSeconds();
        Verdict[] memory verdicts = new Verdict[](4);
        verdicts[0] = secondsVerdict(3500);
        verdicts[1] = secondsVerdict(1000);
        verdicts[2] = secondsVerdict(3400);
        verdicts[3] = secondsVerdict(3600);
        judge(key, verdicts);
        expectResolved(key, Outcome.OVERCLAIMED, BOND, 0, 3500);
        resolve(key);
    }

    function test_WhenMostHaveNoLog() external {
        DisputeKey memory key = challengeSeconds();
        Verdict[] memory verdicts = all(secondsVerdict(0), 5);
        for (uint256 i = 0; i < 3; ++i) {
            verdicts[i] = verdict(Ruling.INCONCLUSIVE);
        }
        judge(key, verdicts);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND - FEE);
        assertBooks(0);
    }

    function test_WhenFewerThanThreeHaveALog() external {
        DisputeKey memory key = challengeSeconds();
        Verdict[] memory verdicts = all(secondsVerdict(0), 4);
        verdicts[0] = verdict(Ruling.INCONCLUSIVE);
        verdicts[1] = verdict(Ruling.INCONCLUSIVE);
        judge(key, verdicts);
        resolve(key);
        assertEq(uint8(phaseOf(key)), uint8(Phase.SECOND_DRAW));
    }

    function test_WhenTheBondWasSlashedBefore() external {
        vm.prank(address(court));
        amendments.slashBond(terms, 0, 0);
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(0), 5));
        expectResolved(key, Outcome.OVERCLAIMED, 0, 0, 0);
        resolve(key);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND - FEE);
        assertBooks(0);
    }

    function test_RevertWhen_TheLeaseWasBreached() external {
        DisputeKey memory key = challengeSeconds();
        judge(key, all(secondsVerdict(0), 5));
        vm.prank(address(court));
        amendments.breach(terms, proofHash, 0, 0);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.BREACHED));
        proceedings.resolve(key, terms);
    }

    function testFuzz_Money(uint32[5] memory found) external {
        DisputeKey memory key = challengeSeconds();
        Verdict[] memory verdicts = new Verdict[](5);
        for (uint256 i = 0; i < 5; ++i) {
            found[i] = uint32(bound(found[i], 0, 2 * CLAIM));
            verdicts[i] = secondsVerdict(found[i]);
        }
        judge(key, verdicts);
        resolve(key);
        uint32 median = _median(found);
        uint32 left = median < CLAIM ? median : CLAIM;
        assertEq(market.leaseState(leaseId).pendingSeconds, left);
        uint256 slashed =
            registry.compensationOf(address(court)) + registry.compensationOf(RENTER) + registry.burned();
        assertEq(slashed, CLAIM - left > 60 ? BOND : 0);
        assertBooks(0);
    }

    function _median(uint32[5] memory found) private pure returns (uint32) {
        for (uint256 i = 0; i < 5; ++i) {
            uint256 below = 0;
            uint256 above = 0;
            for (uint256 j = 0; j < 5; ++j) {
                if (found[j] < found[i]) ++below;
                if (found[j] > found[i]) ++above;
            }
            if (below <= 2 && above <= 2) return found[i];
        }
        revert("no median");
    }
}
