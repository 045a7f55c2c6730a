// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    DisputeKey,
    DisputeKind,
    ICourtBook,
    Outcome,
    Phase,
    ProvenLeaf,
    ProvenReceipt
} from "../../../contracts/interfaces/ICourtBook.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { LeaseStatus, TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract RefuteTraceTest is CourtBase {
    TraceLeaf[] private leaves;

    function setUp() public override {
        super.setUp();
        skip(CHALLENGE_SECONDS);
        TraceLeaf[] memory honest = traceOf(LEAVES);
        for (uint256 i = 0; i < LEAVES; ++i) {
            leaves.push(honest[i]);
        }
    }

    function test_WhenALeafDoesNotFollowTheOneBefore() external {
        leaves[4].previous = "another";
        _post();
        bytes32 id = idOf(DisputeKey(leaseId, proofHash, DisputeKind.TRACE, receiptDigest(), 4, address(0)));
        vm.expectEmit(address(court));
        emit ICourtBook.TraceRefuted(id, leaseId, STRANGER, proofHash, receiptDigest(), 4);
        vm.expectEmit(address(court));
        emit ICourtBook.Credited(STRANGER, id, BOND * 30 / 100);
        vm.expectEmit(address(court));
        emit ICourtBook.DisputeResolved(id, leaseId, Outcome.REFUTED, BOND, 0, 0);
        assertEq(_refute(4), id);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        assertEq(court.balanceOf(STRANGER), BOND * 30 / 100);
        assertEq(registry.compensationOf(RENTER), BOND * 30 / 100);
        assertEq(registry.burned(), BOND * 40 / 100);
        assertEq(uint8(court.disputeOf(id).phase), uint8(Phase.NONE));
        assertBooks(0);
    }

    function test_WhenALeafNamesAnotherSpec() external {
        leaves[2].jobSpecDigest = "another";
        _post();
        _expectBreach(2);
    }

    function test_WhenALeafNamesAnotherIndex() external {
        leaves[2].index = 3;
        _post();
        _expectBreach(2);
    }

    function test_WhenTheFirstLeafFollowsSomething() external {
        leaves[0].previous = "something";
        _post();
        _expectBreach(0);
    }

    function test_WhenStepsDoNotAscend() external {
        leaves[5].step = leaves[4].step;
        leaves[6].previous = leafHash(leaves[5]);
        _post();
        _expectBreach(5);
    }

    function test_WhenTheBondWasSlashedBefore() external {
        leaves[4].previous = "another";
        _post();
        vm.prank(address(court));
        amendments.slashBond(terms, 0, 0);
        _expectBreach(4);
        assertEq(court.balanceOf(STRANGER), 0);
        assertBooks(0);
    }

    function test_RevertWhen_TraceIsConsistent() external {
        _post();
        for (uint32 i = 0; i < LEAVES; ++i) {
            _expectRevert(i, abi.encodeWithSelector(ICourtBook.TraceConsistent.selector, i));
        }
    }

    function test_RevertWhen_LeafIsNotInTheTrace() external {
        _post();
        leaves[4].previous = "another";
        _expectRevert(4, abi.encodeWithSelector(ICourtBook.LeafNotInTrace.selector, uint32(4)));
    }

    function test_RevertWhen_LeafBeforeIsNotInTheTrace() external {
        _post();
        leaves[3].step = 1000;
        bytes32[] memory branch = branchOf(leafHashes(traceOf(LEAVES)), 4);
        ProvenLeaf memory leaf = ProvenLeaf({ leaf: leaves[4], branch: branch });
        ProvenLeaf memory previous =
            ProvenLeaf({ leaf: leaves[3], branch: branchOf(leafHashes(traceOf(LEAVES)), 3) });
        ProvenReceipt memory proven_ = proven();
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeafNotInTrace.selector, uint32(3)));
        court.refuteTrace(terms, proof, proven_, 4, leaf, previous);
    }

    function test_RevertWhen_ProofHasMatured() external {
        leaves[4].previous = "another";
        _post();
        skip(CHALLENGE_SECONDS);
        uint256 nowSeconds = vm.getBlockTimestamp();
        _expectRevert(4, abi.encodeWithSelector(ILeaseBook.ProofMatured.selector, nowSeconds, nowSeconds));
    }

    function _post() private {
        receipt = receiptOf(rootOf(leafHashes(leaves)), LEAVES);
        postReceipt();
    }

    function _refute(uint32 index) private returns (bytes32) {
        ProvenLeaf memory leaf = provenLeaf(leaves, index);
        ProvenLeaf memory previous = index == 0 ? noLeaf() : provenLeaf(leaves, index - 1);
        ProvenReceipt memory proven_ = proven();
        vm.prank(STRANGER);
        return court.refuteTrace(terms, proof, proven_, index, leaf, previous);
    }

    function _expectBreach(uint32 index) private {
        _refute(index);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
    }

    function _expectRevert(uint32 index, bytes memory expected) private {
        ProvenLeaf memory leaf = provenLeaf(leaves, index);
        ProvenLeaf memory previous = index == 0 ? noLeaf() : provenLeaf(leaves, index - 1);
        ProvenReceipt memory proven_ = proven();
        vm.expectRevert(expected);
        vm.prank(STRANGER);
        court.refuteTrace(terms, proof, proven_, index, leaf, previous);
    }
}
