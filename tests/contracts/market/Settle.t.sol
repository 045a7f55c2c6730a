// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
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
        forceDispute(leaseId, 1);
        skip(CHALLENGE_SECONDS);
        _expectNothing();
        forceDispute(leaseId, 0);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 3_528_000);
    }

    function test_WhenProofHasMatured() external {
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        vm.expectEmit(address(market));
        emit ILeaseMarket.Settled(leaseId, proofHash, 1 hours, 3_528_000, 72_000);
        (uint96 pay, uint96 fee) = market.settle(terms);
        assertEq(pay, 3_528_000);
        assertEq(fee, 72_000);
        assertEq(creditOf(PROVIDER), pay);
        assertEq(creditOf(TREASURY), fee);

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
        market.setFee(0);
        terms = defaultTerms();
        terms.offer.validUntil = terms.end;
        terms.feeBps = 0;
        openLease(terms);
        skip(1 hours);
        (uint96 pay, uint96 fee) = prove(terms, 1 hours);
        assertEq(pay, 3.6e6);
        assertEq(fee, 0);
        assertEq(creditOf(TREASURY), 0);
    }

    function test_WhenTreasuryChangesMeanwhile() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        vm.prank(OWNER);
        market.setTreasury(STRANGER);
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        assertEq(creditOf(TREASURY), 0);
        assertEq(creditOf(STRANGER), 72_000);
    }

    function test_WhenFeeChangesMeanwhile() external {
        vm.prank(OWNER);
        market.setFee(300);
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

    function _expectNothing() private {
        bytes memory before = abi.encode(market.leaseState(leaseId), creditOf(PROVIDER), creditOf(TREASURY));
        vm.recordLogs();
        (uint96 pay, uint96 fee) = market.settle(terms);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 0);
        assertEq(uint256(pay) + fee, 0);
        assertEq(abi.encode(market.leaseState(leaseId), creditOf(PROVIDER), creditOf(TREASURY)), before);
    }
}
