// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    DisputeKey,
    DisputeKind,
    ICourtBook,
    Phase,
    ProvenLeaf,
    ProvenReceipt
} from "../../../contracts/interfaces/ICourtBook.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { CompletionProof, Terms, TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract ChallengeTest is CourtBase {
    function test_WhenASegmentIsChallenged() external {
        DisputeKey memory key = segmentKey(3);
        vm.expectEmit(address(court));
        emit ICourtBook.Challenged(
            idOf(key), leaseId, CHALLENGER, proofHash, DisputeKind.SEGMENT, key.receiptDigest, 3, 1004
        );
        challengeSegment();
        ICourtBook.Dispute memory dispute = court.disputeOf(idOf(key));
        assertEq(dispute.challenger, CHALLENGER);
        assertEq(dispute.since, vm.getBlockTimestamp());
        assertEq(dispute.drawBlock, 1004);
        assertEq(uint8(dispute.phase), uint8(Phase.FIRST_DRAW));
        assertEq(court.balanceOf(CHALLENGER), 9 * CHALLENGE_BOND);
        assertEq(market.leaseState(leaseId).openDisputes, 1);
        assertBooks(1);
    }

    function test_WhenTheFirstSegmentIsChallenged() external {
        assertEq(uint8(phaseOf(challengeSegmentAs(CHALLENGER, 0))), uint8(Phase.FIRST_DRAW));
    }

    function test_WhenTheOutputIsChallenged() external {
        vm.expectEmit(address(court));
        emit ICourtBook.JobDisputed(idOf(segmentKey(LEAVES)), receipt);
        challengeSegmentAs(CHALLENGER, LEAVES);
    }

    function test_WhenEverySegmentIsChallenged() external {
        for (uint32 i = 0; i <= LEAVES; ++i) {
            challengeSegmentAs(CHALLENGER, i);
        }
        assertEq(market.leaseState(leaseId).openDisputes, LEAVES + 1);
        assertBooks(LEAVES + 1);
    }

    function test_RevertWhen_KeyIsTaken() external {
        DisputeKey memory key = challengeSegment();
        fund(STRANGER, CHALLENGE_BOND);
        _expect(abi.encodeWithSelector(ICourtBook.DisputeExists.selector, idOf(key), Phase.FIRST_DRAW));
        _challenge(STRANGER, 3, 3, 2);
    }

    function test_RevertWhen_ChallengerHasNoBond() external {
        _expect(abi.encodeWithSelector(ICourtBook.BalanceTooSmall.selector, CHALLENGE_BOND, 0));
        _challenge(STRANGER, 3, 3, 2);
    }

    function test_RevertWhen_ProofHasMatured() external {
        skip(CHALLENGE_SECONDS);
        uint256 nowSeconds = vm.getBlockTimestamp();
        _expect(abi.encodeWithSelector(ILeaseBook.ProofMatured.selector, nowSeconds, nowSeconds));
        _challenge(CHALLENGER, 3, 3, 2);
    }

    function test_WhenProofIsAboutToMature() external {
        skip(CHALLENGE_SECONDS - 1);
        challengeSegment();
        assertEq(market.leaseState(leaseId).openDisputes, 1);
    }

    function test_RevertWhen_ProofIsNotThePendingOne() external {
        proof.energyJoules += 1;
        bytes32 other = digests.hashCompletionProof(proof);
        _expect(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, proofHash, other));
        _challenge(CHALLENGER, 3, 3, 2);
    }

    function test_RevertWhen_SegmentIsBeyondTheOutput() external {
        _expect(abi.encodeWithSelector(ICourtBook.SegmentOutOfRange.selector, LEAVES, LEAVES + 1));
        _challenge(CHALLENGER, LEAVES + 1, 3, 2);
    }

    function test_RevertWhen_JobHasNoTrace() external {
        skip(CHALLENGE_SECONDS);
        postDefault(0);
        ProvenReceipt memory proven_ = proven();
        TraceLeaf memory none;
        ProvenLeaf memory claimed = noLeaf();
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.SegmentOutOfRange.selector, 0, 0));
        vm.prank(CHALLENGER);
        court.challengeSegment(terms, proof, proven_, 0, none, claimed);
    }

    function test_RevertWhen_LeafIsNotInTheTrace() external {
        _expect(abi.encodeWithSelector(ICourtBook.LeafNotInTrace.selector, uint32(3)));
        _challenge(CHALLENGER, 3, 4, 2);
    }

    function test_RevertWhen_LeafBeforeIsAnother() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        _expect(
            abi.encodeWithSelector(ICourtBook.NodeMismatch.selector, leaves[3].previous, leafHash(leaves[1]))
        );
        _challenge(CHALLENGER, 3, 3, 1);
    }

    function test_RevertWhen_LeafNamesAnotherSpec() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[3].jobSpecDigest = "another";
        _post(leaves);
        _expectLeafInvalid(leaves, 3, 3);
    }

    function test_RevertWhen_LeafNamesAnotherIndex() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[3].index = 4;
        _post(leaves);
        _expectLeafInvalid(leaves, 3, 3);
    }

    function test_RevertWhen_FirstLeafFollowsSomething() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[0].previous = "something";
        _post(leaves);
        _expectLeafInvalid(leaves, 0, 0);
    }

    function test_RevertWhen_LeafBeforeNamesAnotherSpec() external {
        TraceLeaf[] memory leaves = traceOf(LEAVES);
        leaves[2].jobSpecDigest = "another";
        leaves[3].previous = leafHash(leaves[2]);
        _post(leaves);
        _expectLeafInvalid(leaves, 3, 2);
    }

    function test_RevertWhen_ReceiptIsNotInTheProof() external {
        ProvenReceipt memory proven_ = proven();
        proven_.index = 0;
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.ReceiptNotInProof.selector, receiptDigest(), uint32(0))
        );
        vm.prank(CHALLENGER);
        court.challengeJob(terms, proof, proven_);
    }

    function test_RevertWhen_ReceiptsBranchIsTooShort() external {
        ProvenReceipt memory proven_ = proven();
        proven_.branch = new bytes32[](1);
        proven_.branch[0] = receiptBranch[0];
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.ReceiptNotInProof.selector, receiptDigest(), uint32(1))
        );
        vm.prank(CHALLENGER);
        court.challengeJob(terms, proof, proven_);
    }

    function test_RevertWhen_ReceiptsIndexIsOutOfTheTree() external {
        ProvenReceipt memory proven_ = proven();
        proven_.index = 3;
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.ReceiptNotInProof.selector, receiptDigest(), uint32(3))
        );
        vm.prank(CHALLENGER);
        court.challengeJob(terms, proof, proven_);
    }

    function test_RevertWhen_ReceiptIsOfAnotherLease() external {
        skip(CHALLENGE_SECONDS);
        receipt.leaseId = "another";
        postReceipt();
        ProvenReceipt memory proven_ = proven();
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.LeaseMismatch.selector, leaseId, bytes32("another"))
        );
        vm.prank(CHALLENGER);
        court.challengeJob(terms, proof, proven_);
    }

    function test_RevertWhen_LeaseIsNotTheProofs() external {
        Terms memory other = terms;
        other.salt = 2;
        bytes32 otherId = market.leaseIdOf(other);
        ProvenReceipt memory proven_ = proven();
        vm.mockCall(
            address(market),
            abi.encodeCall(market.openDispute, (other, proofHash)),
            abi.encode(otherId, RENTER, CLAIM)
        );
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeaseMismatch.selector, otherId, leaseId));
        vm.prank(CHALLENGER);
        court.challengeJob(other, proof, proven_);
    }

    function test_WhenAJobIsChallenged() external {
        vm.expectEmit(address(court));
        emit ICourtBook.JobDisputed(idOf(jobKey()), receipt);
        DisputeKey memory key = challengeJob();
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_DRAW));
        assertBooks(1);
    }

    function test_WhenSecondsAreChallenged() external {
        DisputeKey memory key = challengeSeconds();
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_DRAW));
        assertEq(market.leaseState(leaseId).openDisputes, 1);
        assertBooks(1);
    }

    function test_WhenOneTreeServesSeveralLeases() external {
        skip(CHALLENGE_SECONDS);
        CompletionProof memory shared = proofOf(terms, CLAIM);
        shared.jobsCompleted = 1;
        shared.jobsRoot = proof.jobsRoot;
        proof = shared;
        proofHash = digests.hashCompletionProof(shared);
        vm.prank(WORKER);
        market.postProof(terms, shared, "");
        challengeSegment();
        assertEq(market.leaseState(leaseId).openDisputes, 1);
    }

    function testFuzz_Membership(uint256 leafCount, uint256 segment, uint256 wrong) external {
        leafCount = bound(leafCount, 1, 40);
        segment = bound(segment, 0, leafCount - 1);
        skip(CHALLENGE_SECONDS);
        postDefault(uint32(leafCount));
        wrong = bound(wrong, 0, leafCount - 1);
        if (wrong != segment) {
            _expect(abi.encodeWithSelector(ICourtBook.LeafNotInTrace.selector, uint32(segment)));
            _challenge(CHALLENGER, uint32(segment), wrong, 0);
        }
        challengeSegmentAs(CHALLENGER, uint32(segment));
        assertEq(uint8(phaseOf(segmentKey(uint32(segment)))), uint8(Phase.FIRST_DRAW));
    }

    bytes private expected;

    function _expect(bytes memory revertData) private {
        expected = revertData;
    }

    function _challenge(address by, uint32 segment, uint256 leaf, uint256 before) private {
        TraceLeaf[] memory leaves = traceOf(receipt.leafCount);
        ProvenLeaf memory claimed = provenLeaf(leaves, leaf);
        ProvenReceipt memory proven_ = proven();
        vm.expectRevert(expected);
        vm.prank(by);
        court.challengeSegment(terms, proof, proven_, segment, leaves[before], claimed);
    }

    function _post(TraceLeaf[] memory leaves) private {
        skip(CHALLENGE_SECONDS);
        receipt = receiptOf(rootOf(leafHashes(leaves)), uint32(leaves.length));
        postReceipt();
    }

    function _expectLeafInvalid(TraceLeaf[] memory leaves, uint32 segment, uint32 invalid) private {
        ProvenLeaf memory claimed = provenLeaf(leaves, segment);
        ProvenReceipt memory proven_ = proven();
        TraceLeaf memory before = leaves[segment == 0 ? 0 : segment - 1];
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeafInvalid.selector, invalid));
        vm.prank(CHALLENGER);
        court.challengeSegment(terms, proof, proven_, segment, before, claimed);
    }
}
