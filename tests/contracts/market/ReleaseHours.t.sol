// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract ReleaseHoursTest is Base {
    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        terms = defaultTerms();
        terms.weeklyHours = 0x3ff;
        leaseId = openLease(terms);
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        vm.expectRevert(leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
        market.releaseHours(terms);
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        market.releaseHours(terms);
    }

    function test_RevertWhen_LeaseHasNotEnded() external {
        skipTo(terms.end - 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseMarket.LeaseNotEnded.selector, terms.end, terms.end - 1));
        market.releaseHours(terms);
    }

    function test_RevertWhen_HoursAreReleasedAlready() external {
        skipTo(terms.end);
        market.releaseHours(terms);
        vm.expectRevert(abi.encodeWithSelector(ILeaseMarket.HoursAlreadyReleased.selector, leaseId));
        market.releaseHours(terms);
    }

    function test_WhenLeaseHasEnded() external {
        Terms memory neighbour = defaultTerms();
        neighbour.weeklyHours = 0xc00;
        neighbour.end = neighbour.start + 20 hours;
        openLease(neighbour);
        skipTo(terms.end);
        vm.expectEmit(address(market));
        emit ILeaseMarket.HoursReleased(leaseId, unitId);
        vm.prank(STRANGER);
        market.releaseHours(terms);
        assertEq(bookedHoursOf(unitId), 0xc00);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.OPEN));
    }

    function test_WhenTheHoursAreLetAgainBeforeItCloses() external {
        skipTo(terms.end);
        market.releaseHours(terms);
        Terms memory next = defaultTerms();
        next.offer.validUntil = next.end;
        openLease(next);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(bookedHoursOf(unitId), ALWAYS);
        skipPastLastPost(next);
        closeAs(KEEPER, next);
        assertEq(bookedHoursOf(unitId), 0);
    }

    function test_WhenBondIsStillLocked() external {
        skipTo(terms.end);
        market.releaseHours(terms);
        (, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, BOND);
        prove(terms, 10 hours);
        closeAs(KEEPER, terms);
        (, locked) = stakeOf(PROVIDER);
        assertEq(locked, 0);
    }

    function test_WhenAProofHasMatured() external {
        skipTo(terms.end);
        postProof(terms, 10 hours);
        skip(CHALLENGE_SECONDS);
        market.releaseHours(terms);
        assertEq(market.leaseState(leaseId).settledSeconds, 10 hours);
        assertEq(creditOf(PROVIDER), 35_280_000);
    }
}
