// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { LeaseState, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract SettleTest is Base {
    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        vm.expectRevert(leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
        market.settle(terms);
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        market.settle(terms);
    }

    function test_WhenNoProofWasPosted() external {
        skip(1 hours);
        _expectNothing();
    }

    function test_WhenProofHasNotMatured() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS - 1);
        _expectNothing();
        assertEq(market.leaseState(leaseId).pendingSeconds, 1 hours);
    }

    function test_WhenADisputeIsOpen() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        _expectNothing();
        endDispute(terms);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 3_528_000);
    }

    function test_WhenProofHasMatured() external {
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        vm.expectEmit(address(market));
        emit ILeaseBook.Settled(leaseId, 1 hours, 3_528_000, 72_000);
        (uint96 pay, uint96 fee) = market.settle(terms);
        assertEq(pay, 3_528_000);
        assertEq(fee, 72_000);
        assertEq(creditOf(PROVIDER), pay);
        assertEq(feesKept(), fee);

        LeaseState memory state;
        state.deposit = 36e6;
        state.endOffset = 10 hours;
        state.settledSeconds = 1 hours;
        state.status = LeaseStatus.OPEN;
        state.proofHash = proofHash;
        assertEq(abi.encode(market.leaseState(leaseId)), abi.encode(state));
        assertEq(token.balanceOf(address(market)), 36e6, "credits stay until they are pulled");
    }

    function test_WhenSettledAlready() external {
        skip(1 hours);
        prove(terms, 1 hours);
        _expectNothing();
        assertEq(creditOf(PROVIDER), 3_528_000);
    }

    function test_WhenFeeIsZero() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.prank(OWNER);
        amendments.setToken(address(token), true, 0);
        terms = defaultTerms();
        terms.offer.validUntil = terms.end;
        terms.feeBps = 0;
        openLease(terms);
        skip(1 hours);
        (uint96 pay, uint96 fee) = prove(terms, 1 hours);
        assertEq(pay, 3.6e6);
        assertEq(fee, 0);
        assertEq(feesKept(), 0);
    }

    function test_RevertWhen_LeaseIsBreached() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        breach(terms);
        skip(CHALLENGE_SECONDS);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.BREACHED));
        market.settle(terms);
    }

    function test_WhenFeeRoundsDown() external {
        Terms memory small = termsOfAnotherUnit("small");
        small.offer.pricePerHour = 70;
        openLease(small);
        skip(10 hours);
        // Of 49 in 42 minutes 2 % are 0.98, of 70 in an hour 1.4.
        (uint96 pay, uint96 fee) = prove(small, 0.7 hours);
        assertEq(pay, 49);
        assertEq(fee, 0);
        (pay, fee) = prove(small, 1 hours);
        assertEq(pay, 20);
        assertEq(fee, 1);
    }

    function test_WhenFeeChangesMeanwhile() external {
        vm.prank(OWNER);
        amendments.setToken(address(token), true, 300);
        skip(1 hours);
        (, uint96 fee) = prove(terms, 1 hours);
        assertEq(fee, 72_000);
    }

    function test_WhenAnyoneSettles() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        vm.prank(STRANGER);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 3_528_000);
        assertEq(creditOf(STRANGER), 0);
    }

    function test_WhenManyAreSettled() external {
        Terms[] memory many = new Terms[](5);
        many[0] = terms;
        many[1] = termsOfAnotherUnit("second");
        many[2] = termsOfAnotherUnit("third");
        many[3] = termsOfAnotherUnit("never opened");
        many[4] = termsOfAnotherUnit("last");
        openLease(many[1]);
        openLease(many[2]);
        openLease(many[4]);
        skip(1 hours);
        // Of the first nothing is pending, the second breaches, the third is not ripe.
        postProof(many[1], 1 hours);
        breach(many[1]);
        postProof(many[4], 1 hours);
        skip(CHALLENGE_SECONDS - 1);
        postProof(many[2], 1 hours);
        skip(1);
        vm.prank(STRANGER);
        market.settleMany(many);
        assertEq(creditOf(PROVIDER), 3_528_000);
        assertEq(feesKept(), 72_000);
        assertEq(stateOf(many[0]).settledSeconds, 0);
        assertEq(stateOf(many[1]).settledSeconds, 0);
        assertEq(stateOf(many[2]).settledSeconds, 0);
        assertEq(stateOf(many[3]).settledSeconds, 0);
        assertEq(stateOf(many[4]).settledSeconds, 1 hours);
        skip(CHALLENGE_SECONDS);
        market.settleMany(many);
        assertEq(stateOf(many[2]).settledSeconds, 1 hours);
        assertEq(creditOf(PROVIDER), 2 * 3_528_000);
    }

    function test_WhenOneOfManyIsClosed() external {
        Terms[] memory many = new Terms[](2);
        many[0] = terms;
        many[1] = termsOfAnotherUnit("second");
        many[1].end = terms.maxEnd;
        openLease(many[1]);
        skipPastLastPost(terms);
        postProof(many[1], 10 hours);
        skip(CHALLENGE_SECONDS);
        // A keeper's transaction is not stopped by another's close just before it.
        closeAs(STRANGER, terms);
        market.settleMany(many);
        assertEq(stateOf(many[1]).settledSeconds, 10 hours);
        assertEq(creditOf(PROVIDER), 35_280_000);
    }

    function test_WhenNoneAreSettled() external {
        vm.recordLogs();
        market.settleMany(new Terms[](0));
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function _expectNothing() private {
        bytes memory before = abi.encode(market.leaseState(leaseId), creditOf(PROVIDER), feesKept());
        vm.recordLogs();
        (uint96 pay, uint96 fee) = market.settle(terms);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 0);
        assertEq(uint256(pay) + fee, 0);
        assertEq(abi.encode(market.leaseState(leaseId), creditOf(PROVIDER), feesKept()), before);
    }
}
