// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    DisputeKey,
    DisputeKind,
    ICourtBook,
    Outcome,
    Phase,
    ProvenReceipt
} from "../../../contracts/interfaces/ICourtBook.sol";
import { MerkleTree } from "../../../contracts/libraries/MerkleTree.sol";
import { TraceTree } from "../../../contracts/libraries/TraceTree.sol";
import { JobReceipt, LeaseStatus, TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract BisectionTest is CourtBase {
    DisputeKey private key;
    bytes32[] private hashes;

    function setUp() public override {
        super.setUp();
        hashes = leafHashes(traceOf(LEAVES));
    }

    function test_WhenABisectionStarts() external {
        _start();
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(key));
        assertEq(bisection.node, receipt.traceRoot);
        assertEq(bisection.first, 0);
        assertEq(bisection.count, LEAVES);
        assertEq(bisection.turnSince, vm.getBlockTimestamp());
        assertEq(bisection.providerSeconds, CLOCK_SECONDS);
        assertEq(bisection.challengerSeconds, CLOCK_SECONDS);
        assertFalse(bisection.challengersTurn);
        assertEq(uint8(phaseOf(key)), uint8(Phase.BISECTION));
        assertBooks(1);
    }

    function test_RevertWhen_JobHasNoTrace() external {
        skip(CHALLENGE_SECONDS);
        postDefault(0);
        ProvenReceipt memory proven_ = proven();
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.NotATrace.selector, receiptDigest()));
        vm.prank(CHALLENGER);
        court.startBisection(terms, proof, proven_);
    }

    function test_WhenAFriendStartsOneToo() external {
        fund(STRANGER, CHALLENGE_BOND);
        DisputeKey memory friends = startBisectionAs(STRANGER);
        skip(CLOCK_SECONDS - 1);
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        court.revealChildren(friends, left, right);
        // Before the window closes: a friend that means to lose cannot keep others away.
        vm.warp(MONDAY + CLAIM + 1);
        _start();
        assertEq(market.leaseState(leaseId).openDisputes, 2);
    }

    function test_WhenChildrenAreRevealed() external {
        _start();
        skip(10);
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        vm.expectEmit(address(court));
        emit ICourtBook.ChildrenRevealed(idOf(key), left, right);
        vm.prank(STRANGER);
        court.revealChildren(key, left, right);
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(key));
        assertTrue(bisection.challengersTurn);
        assertEq(bisection.providerSeconds, CLOCK_SECONDS - 10);
        assertEq(bisection.turnSince, vm.getBlockTimestamp());
        assertEq(bisection.node, receipt.traceRoot);
    }

    function test_RevertWhen_ChildrenAreNotTheNodes() external {
        _start();
        vm.expectRevert(
            abi.encodeWithSelector(
                ICourtBook.NodeMismatch.selector, receipt.traceRoot, MerkleTree.nodeHash("left", "right")
            )
        );
        court.revealChildren(key, "left", "right");
    }

    function test_RevertWhen_ChildrenOfALeafAreRevealed() external {
        _start();
        _descendTo(2);
        vm.expectRevert(
            abi.encodeWithSelector(
                ICourtBook.NodeMismatch.selector, hashes[2], MerkleTree.nodeHash("left", "right")
            )
        );
        court.revealChildren(key, "left", "right");
    }

    function test_RevertWhen_ProviderRevealsInTheChallengersTurn() external {
        _start();
        _revealChildren();
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.NotYourTurn.selector, true));
        court.revealChildren(key, left, right);
    }

    function test_RevertWhen_ChallengerDescendsInTheProvidersTurn() external {
        _start();
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.NotYourTurn.selector, false));
        vm.prank(CHALLENGER);
        court.descend(key, left, right, true);
    }

    function test_RevertWhen_SomebodyElseDescends() external {
        _start();
        _revealChildren();
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.OnlyChallenger.selector, CHALLENGER, STRANGER));
        vm.prank(STRANGER);
        court.descend(key, left, right, true);
    }

    function test_RevertWhen_ChallengerDescendsBetweenOtherNodes() external {
        _start();
        _revealChildren();
        vm.expectRevert(
            abi.encodeWithSelector(
                ICourtBook.NodeMismatch.selector, receipt.traceRoot, MerkleTree.nodeHash("left", "right")
            )
        );
        vm.prank(CHALLENGER);
        court.descend(key, "left", "right", true);
    }

    function test_WhenChallengerDescendsToTheRight() external {
        _start();
        _revealChildren();
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        vm.expectEmit(address(court));
        emit ICourtBook.Descended(idOf(key), right, 4, 3);
        vm.prank(CHALLENGER);
        court.descend(key, left, right, true);
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(key));
        assertEq(bisection.node, right);
        assertEq(bisection.first, 4);
        assertEq(bisection.count, 3);
        assertFalse(bisection.challengersTurn);
    }

    function test_RevertWhen_DisputeIsNotABisection() external {
        DisputeKey memory segment = challengeSegment();
        vm.expectRevert(phaseMismatch(segment, Phase.FIRST_DRAW));
        court.revealChildren(segment, "left", "right");
    }

    function test_WhenLeavesAreRevealed() external {
        _start();
        _descendTo(5);
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        vm.roll(2000);
        vm.expectEmit(address(court));
        emit ICourtBook.SegmentDisputed(idOf(key), 5, leaves[4], leaves[5]);
        vm.expectEmit(address(court));
        emit ICourtBook.DrawArmed(idOf(key), 2000 + DRAW_DELAY_BLOCKS);
        court.revealLeaves(key, receipt, leaves[4], leaves[5]);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_DRAW));
        assertEq(court.bisectionOf(idOf(key)).node, 0);
        assertEq(drawCommittee(key).length, COMMITTEE_SIZE);
    }

    function test_WhenTraceHasOneLeaf() external {
        skip(CHALLENGE_SECONDS);
        postDefault(1);
        _start();
        TraceLeaf[] memory leaves = traceOf(1);
        court.revealLeaves(key, receipt, leaves[0], leaves[0]);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_DRAW));
    }

    function test_RevertWhen_LeavesAreRevealedTooSoon() external {
        _start();
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.NodeMismatch.selector, receipt.traceRoot, leafHash(leaves[5]))
        );
        court.revealLeaves(key, receipt, leaves[4], leaves[5]);
    }

    function test_RevertWhen_AnotherLeafIsRevealed() external {
        _start();
        _descendTo(5);
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.NodeMismatch.selector, hashes[5], leafHash(leaves[4]))
        );
        court.revealLeaves(key, receipt, leaves[3], leaves[4]);
    }

    function test_RevertWhen_AnotherLeafBeforeIsRevealed() external {
        _start();
        _descendTo(5);
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.NodeMismatch.selector, hashes[4], leafHash(leaves[3]))
        );
        court.revealLeaves(key, receipt, leaves[3], leaves[5]);
    }

    function test_RevertWhen_AnotherReceiptIsGiven() external {
        _start();
        _descendTo(5);
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        JobReceipt memory other = receipt;
        other.attempt = 2;
        vm.expectRevert(
            abi.encodeWithSelector(
                ICourtBook.ReceiptMismatch.selector, receiptDigest(), digestOf(digests.hashJobReceipt(other))
            )
        );
        court.revealLeaves(key, other, leaves[4], leaves[5]);
    }

    function test_RevertWhen_LeafNamesAnotherSpec() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[5].jobSpecDigest = "another";
        _post(leaves);
        _descendTo(5);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeafInvalid.selector, uint32(5)));
        court.revealLeaves(key, receipt, leaves[4], leaves[5]);
    }

    function test_RevertWhen_LeafsStepIsNotLater() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[5].step = leaves[4].step;
        _post(leaves);
        _descendTo(5);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeafInvalid.selector, uint32(5)));
        court.revealLeaves(key, receipt, leaves[4], leaves[5]);
    }

    function test_WhenALeafContradictsItself() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[5].index = 6;
        _post(leaves);
        _descendTo(5);
        skip(CLOCK_SECONDS);
        proceedings.claimTimeout(key, terms);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
    }

    function test_RevertWhen_ProvidersClockHasRunOut() external {
        _start();
        uint256 until = vm.getBlockTimestamp() + CLOCK_SECONDS;
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        skipTo(until);
        vm.expectRevert(tooLate(until));
        court.revealChildren(key, left, right);
    }

    function test_WhenProvidersClockIsAboutToRunOut() external {
        _start();
        skip(CLOCK_SECONDS - 1);
        _revealChildren();
        assertEq(court.bisectionOf(idOf(key)).providerSeconds, 1);
    }

    function test_RevertWhen_ChallengersClockHasRunOut() external {
        _start();
        _revealChildren();
        uint256 until = vm.getBlockTimestamp() + CLOCK_SECONDS;
        (bytes32 left, bytes32 right) = _children(0, LEAVES);
        skipTo(until);
        vm.expectRevert(tooLate(until));
        vm.prank(CHALLENGER);
        court.descend(key, left, right, true);
    }

    function test_RevertWhen_TimeoutIsClaimedTooEarly() external {
        _start();
        uint256 until = vm.getBlockTimestamp() + CLOCK_SECONDS;
        skip(CLOCK_SECONDS - 1);
        vm.expectRevert(tooEarly(until));
        proceedings.claimTimeout(key, terms);
    }

    function test_RevertWhen_TimeoutIsClaimedOfAnotherDispute() external {
        DisputeKey memory segment = challengeSegment();
        skip(CLOCK_SECONDS);
        vm.expectRevert(phaseMismatch(segment, Phase.FIRST_DRAW));
        proceedings.claimTimeout(segment, terms);
    }

    function test_WhenProviderIsSilent() external {
        _start();
        skip(CLOCK_SECONDS);
        expectResolved(key, Outcome.WITHHELD, BOND, 0);
        proceedings.claimTimeout(key, terms);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND + BOND * 30 / 100);
        assertEq(registry.compensationOf(RENTER), BOND * 30 / 100);
        assertEq(registry.burned(), BOND * 40 / 100);
        assertEq(uint8(phaseOf(key)), uint8(Phase.NONE));
        assertBooks(0);
    }

    function test_WhenChallengerIsSilent() external {
        _start();
        _revealChildren();
        skip(CLOCK_SECONDS);
        expectResolved(key, Outcome.STANDS, 0, CHALLENGE_BOND / 2, type(uint32).max);
        proceedings.claimTimeout(key, terms);
        assertEq(court.balanceOf(CHALLENGER), 9 * CHALLENGE_BOND);
        assertEq(court.balanceOf(PROVIDER), CHALLENGE_BOND / 2);
        assertEq(court.burned(), CHALLENGE_BOND / 2);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FINAL));
        assertEq(market.leaseState(leaseId).openDisputes, 0);
        assertBooks(0);
    }

    function testFuzz_Clocks(uint256 index, uint256 providers, uint256 challengers) external {
        index = bound(index, 0, LEAVES - 1);
        providers = bound(providers, 0, CLOCK_SECONDS / 4);
        challengers = bound(challengers, 0, CLOCK_SECONDS / 4);
        _start();
        uint256 turns = 0;
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(key));
        while (bisection.count > 1) {
            if ((turns + 1) * providers >= CLOCK_SECONDS || (turns + 1) * challengers >= CLOCK_SECONDS) {
                return;
            }
            skip(providers);
            (bytes32 left, bytes32 right) = _children(bisection.first, bisection.count);
            court.revealChildren(key, left, right);
            skip(challengers);
            vm.prank(CHALLENGER);
            court.descend(key, left, right, index >= bisection.first + TraceTree.leftCount(bisection.count));
            bisection = court.bisectionOf(idOf(key));
            ++turns;
        }
        assertEq(bisection.first, index);
        assertEq(bisection.node, hashes[index]);
        assertEq(bisection.providerSeconds, CLOCK_SECONDS - turns * providers);
        assertEq(bisection.challengerSeconds, CLOCK_SECONDS - turns * challengers);
    }

    function testFuzz_ShapeOfTheTree(uint256 count) external pure {
        count = bound(count, 2, 300);
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(i));
        }
        uint256 left = TraceTree.leftCount(count);
        bytes32[] memory lefts = new bytes32[](left);
        bytes32[] memory rights = new bytes32[](count - left);
        for (uint256 i = 0; i < count; ++i) {
            if (i < left) lefts[i] = leaves[i];
            else rights[i - left] = leaves[i];
        }
        assertEq(rootOf(leaves), MerkleTree.nodeHash(MerkleTree.root(lefts), MerkleTree.root(rights)));
    }

    function _start() private {
        key = startBisectionAs(CHALLENGER);
        assertEq(uint8(key.kind), uint8(DisputeKind.BISECTION));
    }

    function _post(TraceLeaf[] memory leaves) private {
        skip(CHALLENGE_SECONDS);
        hashes = leafHashes(leaves);
        receipt = receiptOf(rootOf(hashes), uint32(leaves.length));
        postReceipt();
        _start();
    }

    function _revealChildren() private {
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(key));
        (bytes32 left, bytes32 right) = _children(bisection.first, bisection.count);
        court.revealChildren(key, left, right);
    }

    function _descendTo(uint256 index) private {
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(key));
        while (bisection.count > 1) {
            (bytes32 left, bytes32 right) = _children(bisection.first, bisection.count);
            court.revealChildren(key, left, right);
            vm.prank(CHALLENGER);
            court.descend(key, left, right, index >= bisection.first + TraceTree.leftCount(bisection.count));
            bisection = court.bisectionOf(idOf(key));
        }
        assertEq(bisection.first, index);
    }

    function _children(uint256 first, uint256 count) private view returns (bytes32 left, bytes32 right) {
        uint256 leftCount = TraceTree.leftCount(count);
        return (_node(first, leftCount), _node(first + leftCount, count - leftCount));
    }

    function _node(uint256 first, uint256 count) private view returns (bytes32) {
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = hashes[first + i];
        }
        return MerkleTree.root(leaves);
    }
}
