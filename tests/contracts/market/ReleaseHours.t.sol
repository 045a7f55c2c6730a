// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { LeaseFlags, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
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
        amendments.releaseHours(terms);
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        amendments.releaseHours(terms);
    }

    function test_RevertWhen_LeaseHasNotEnded() external {
        skipTo(terms.end - 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseNotEnded.selector, terms.end, terms.end - 1));
        amendments.releaseHours(terms);
    }

    function test_RevertWhen_HoursAreReleasedAlready() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.HoursAlreadyReleased.selector, leaseId));
        amendments.releaseHours(terms);
    }

    function test_WhenLeaseHasEnded() external {
        Terms memory neighbour = defaultTerms();
        neighbour.weeklyHours = 0xc00;
        neighbour.end = neighbour.start + 20 hours;
        openLease(neighbour);
        skipTo(terms.end);
        vm.expectEmit(address(market));
        emit ILeaseBook.HoursReleased(leaseId, unitId);
        vm.prank(STRANGER);
        amendments.releaseHours(terms);
        assertEq(bookedHoursOf(unitId), 0xc00);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.OPEN));
    }

    function test_WhenTheHoursAreLetAgainBeforeItCloses() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
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
        amendments.releaseHours(terms);
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
        amendments.releaseHours(terms);
        assertEq(market.leaseState(leaseId).settledSeconds, 10 hours);
        assertEq(creditOf(PROVIDER), 35_280_000);
    }

    function test_WhenLeaseIsBreached() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        breach(terms);
        amendments.releaseHours(terms);
        assertEq(bookedHoursOf(unitId), 0);
        assertEq(
            market.leaseState(leaseId).flags,
            LeaseFlags.HOURS_RELEASED | LeaseFlags.CLOSING | LeaseFlags.PROVIDER_FAILED
                | LeaseFlags.BOND_SLASHED
        );
        // Let again to somebody else: the breached lease's close leaves those hours alone.
        Terms memory next = defaultTerms();
        openLease(next);
        closeAs(KEEPER, terms);
        assertEq(bookedHoursOf(unitId), ALWAYS);
    }

    function test_WhenADisputeIsOpen() external {
        skipTo(terms.end);
        postProof(terms, 10 hours);
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        amendments.releaseHours(terms);
        assertEq(bookedHoursOf(unitId), 0);
        assertEq(market.leaseState(leaseId).pendingSeconds, 10 hours);
        assertEq(creditOf(PROVIDER), 0);
    }

    function test_WhenReleasedAndOpenedInOneCall() external {
        skipTo(terms.end);
        Terms memory next = defaultTerms();
        next.offer.validUntil = next.end;
        listOffer(next.offer);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(amendments.releaseHours, (terms));
        calls[1] = abi.encodeCall(market.open, (next, LISTED));
        vm.prank(RENTER);
        amendments.multicall(calls);
        assertEq(bookedHoursOf(unitId), ALWAYS);
    }
}
