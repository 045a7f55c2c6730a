// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { CompletionProof, LeaseState, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";

contract PostProofTest is Base {
    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        CompletionProof memory proof = proofOf(terms, 0);
        _expectRevertOf(proof, leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        CompletionProof memory proof = proofOf(terms, 0);
        closeAs(KEEPER, terms);
        _expectRevertOf(proof, leaseNotOpen(leaseId, LeaseStatus.CLOSED));
    }

    function test_RevertWhen_LeaseIsBreached() external {
        postProof(terms, 0);
        breach(terms);
        _expectRevertOf(proofOf(terms, 0), leaseNotOpen(leaseId, LeaseStatus.BREACHED));
    }

    function test_RevertWhen_CallerIsNotWorker() external {
        address[4] memory others = [PROVIDER, RENTER, OWNER, STRANGER];
        CompletionProof memory proof = proofOf(terms, 0);
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyWorker.selector, WORKER, others[i]));
            vm.prank(others[i]);
            market.postProof(terms, proof, "");
        }
    }

    function test_RevertWhen_WorkerWasRotatedAway() external {
        _rotate();
        _expectRevertOf(
            proofOf(terms, 0), abi.encodeWithSelector(ILeaseBook.OnlyWorker.selector, STRANGER, WORKER)
        );
    }

    function test_RevertWhen_UnitHasBeenRetired() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, gpuIdsOf("gpu", 2));
        _expectRevertOf(
            proofOf(terms, 1), abi.encodeWithSelector(ILeaseBook.OnlyWorker.selector, address(0), WORKER)
        );
    }

    function test_RevertWhen_ProofNamesAnotherLease() external {
        CompletionProof memory proof = proofOf(terms, 0);
        proof.leaseId = "another";
        _expectRevertOf(
            proof, abi.encodeWithSelector(ILeaseBook.LeaseMismatch.selector, leaseId, bytes32("another"))
        );
    }

    function test_RevertWhen_LeaseHasNotStarted() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        terms = defaultTerms();
        terms.start += 1 hours;
        terms.offer.validUntil = terms.end;
        openLease(terms);
        _expectRevertOf(
            proofOf(terms, 0),
            abi.encodeWithSelector(ILeaseBook.LeaseNotStarted.selector, terms.start, vm.getBlockTimestamp())
        );
        skipTo(terms.start);
        postProof(terms, 0);
    }

    function test_RevertWhen_ADisputeIsOpen() external {
        skip(1 hours);
        postProof(terms, 10 minutes);
        openDispute(terms);
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        _expectRevertOf(
            proofOf(terms, 20 minutes), abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, 2)
        );
    }

    function test_RevertWhen_AProofIsPending() external {
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        uint256 maturesAt = MONDAY + 1 hours + CHALLENGE_SECONDS;
        skip(CHALLENGE_SECONDS - 1);
        _expectRevertOf(
            proofOf(terms, 30 minutes),
            abi.encodeWithSelector(ILeaseBook.ProofPending.selector, maturesAt, maturesAt - 1)
        );
        assertEq(market.leaseState(leaseId).proofHash, proofHash);
        assertEq(market.leaseState(leaseId).pendingSeconds, 1 hours);
        skip(1);
        postProof(terms, 1 hours);
    }

    function test_RevertWhen_ProofIsPostedAfterLastPost() external {
        uint256 lastPost = uint256(terms.end) + PROOF_GRACE_SECONDS;
        skipTo(lastPost + 1);
        _expectRevertOf(
            proofOf(terms, 1),
            abi.encodeWithSelector(ILeaseBook.ProofAfterLastPost.selector, lastPost, lastPost + 1)
        );
    }

    function test_RevertWhen_ClaimIsBelowTheSettled() external {
        skip(1 hours);
        prove(terms, 30 minutes);
        _expectOutOfRange(30 minutes, 1 hours + CHALLENGE_SECONDS, 30 minutes - 1);
    }

    function test_RevertWhen_ClaimExceedsTheScheduleSoFar() external {
        skip(1 hours);
        _expectOutOfRange(0, 1 hours, 1 hours + 1);
    }

    function test_RevertWhen_ClaimExceedsTheScheduleAtTheEnd() external {
        skipTo(terms.end + 1 hours);
        _expectOutOfRange(0, 10 hours, 10 hours + 1);
    }

    function test_RevertWhen_ClaimCountsHoursNotScheduled() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        skipTo(MONDAY + 7 days);
        terms = defaultTerms();
        terms.weeklyHours = 0x05;
        terms.offer.validUntil = terms.end;
        openLease(terms);
        skip(2 hours + 17);
        _expectOutOfRange(0, 1 hours + 17, 1 hours + 18);
        postProof(terms, 1 hours + 17);
    }

    function test_RevertWhen_ClaimExceedsANoticedEnd() external {
        skip(1 hours);
        giveNoticeAs(PROVIDER, terms);
        skip(5 hours);
        _expectOutOfRange(0, 2 hours, 2 hours + 1);
        postProof(terms, 2 hours);
    }

    function test_RevertWhen_ProofIsReplayed() external {
        skip(1 hours);
        CompletionProof memory proof = proofOf(terms, 1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        _expectRevertOf(
            proof, abi.encodeWithSelector(ILeaseBook.ProofOutOfOrder.selector, proofHash, bytes32(0))
        );
        CompletionProof memory second = proofOf(terms, 1 hours);
        bytes32 secondHash = postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        _expectRevertOf(
            second, abi.encodeWithSelector(ILeaseBook.ProofOutOfOrder.selector, secondHash, proofHash)
        );
    }

    function test_RevertWhen_ProofSkipsItsPredecessor() external {
        CompletionProof memory proof = proofOf(terms, 0);
        proof.previousProof = "invented";
        _expectRevertOf(
            proof,
            abi.encodeWithSelector(ILeaseBook.ProofOutOfOrder.selector, bytes32(0), bytes32("invented"))
        );
    }

    function test_WhenProofIsTheFirst() external {
        skip(1 hours);
        CompletionProof memory proof = proofOf(terms, 40 minutes);
        bytes32 proofHash = digests.hashCompletionProof(proof);
        vm.expectEmit(address(market));
        emit ILeaseBook.ProofPosted(leaseId, proofHash, proof, MONDAY + 1 hours + CHALLENGE_SECONDS);
        vm.prank(WORKER);
        market.postProof(terms, proof, "");

        LeaseState memory state;
        state.deposit = 36e6;
        state.endOffset = 10 hours;
        state.pendingSeconds = 40 minutes;
        state.matureOffset = 1 hours + CHALLENGE_SECONDS;
        state.status = LeaseStatus.OPEN;
        state.proofHash = proofHash;
        assertEq(abi.encode(market.leaseState(leaseId)), abi.encode(state));
        assertEq(creditOf(PROVIDER), 0);
    }

    function test_WhenTheLastOneHasMatured() external {
        skip(1 hours);
        bytes32 first = postProof(terms, 40 minutes);
        skip(CHALLENGE_SECONDS);
        CompletionProof memory proof = proofOf(terms, 50 minutes);
        assertEq(proof.previousProof, first);
        vm.expectEmit(address(market));
        emit ILeaseBook.Settled(leaseId, 40 minutes, 2_352_000, 48_000);
        vm.expectEmit(address(market));
        emit ILeaseBook.ProofPosted(
            leaseId, digests.hashCompletionProof(proof), proof, MONDAY + 1 hours + 2 * CHALLENGE_SECONDS
        );
        vm.prank(WORKER);
        market.postProof(terms, proof, "");
        assertEq(market.leaseState(leaseId).settledSeconds, 40 minutes);
        assertEq(market.leaseState(leaseId).pendingSeconds, 50 minutes);
        assertEq(creditOf(PROVIDER), 2_352_000);
    }

    function test_WhenProofIsPostedAtLastPost() external {
        skipTo(uint256(terms.end) + PROOF_GRACE_SECONDS);
        (uint96 pay, uint96 fee) = prove(terms, 10 hours);
        assertEq(uint256(pay) + fee, 36e6);
    }

    function test_WhenClaimIsWhatWasSettled() external {
        skip(1 hours);
        prove(terms, 1 hours);
        (uint96 pay, uint96 fee) = prove(terms, 1 hours);
        assertEq(uint256(pay) + fee, 0);
        assertEq(market.leaseState(leaseId).settledSeconds, 1 hours);
    }

    function test_WhenNewWorkerPosts() external {
        _rotate();
        skip(1 hours);
        assertEq(registry.workerOf(unitId), STRANGER);
        postProof(terms, 1 hours);
    }

    function test_WhenAnyonePostsWithTheWorkersSignature() external {
        skip(1 hours);
        (CompletionProof memory proof, bytes32 proofHash) = _signed(40 minutes);
        bytes memory signature = signAs(WORKER_KEY, proofHash);
        vm.expectEmit(address(market));
        emit ILeaseBook.ProofPosted(leaseId, proofHash, proof, MONDAY + 1 hours + CHALLENGE_SECONDS);
        vm.prank(STRANGER);
        market.postProof(terms, proof, signature);
        assertEq(market.leaseState(leaseId).pendingSeconds, 40 minutes);
    }

    function test_WhenAContractIsTheWorker() external {
        SmartAccount account = new SmartAccount(WORKER);
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, address(account), bytes32(0));
        skip(1 hours);
        (CompletionProof memory proof, bytes32 proofHash) = _signed(40 minutes);
        bytes memory signature = signAs(WORKER_KEY, proofHash);
        market.postProof(terms, proof, signature);
        assertEq(market.leaseState(leaseId).proofHash, proofHash);
    }

    function test_RevertWhen_SignatureIsNotTheWorkers() external {
        skip(1 hours);
        (CompletionProof memory proof, bytes32 proofHash) = _signed(40 minutes);
        _expectSignatureInvalid(WORKER, proof, proofHash, signAs(RENTER_KEY, proofHash));
    }

    function test_RevertWhen_SignatureIsOfAnotherProof() external {
        skip(1 hours);
        (, bytes32 otherHash) = _signed(30 minutes);
        (CompletionProof memory proof, bytes32 proofHash) = _signed(40 minutes);
        _expectSignatureInvalid(WORKER, proof, proofHash, signAs(WORKER_KEY, otherHash));
    }

    function test_RevertWhen_SignatureIsOfTheWorkerBefore() external {
        _rotate();
        skip(1 hours);
        (CompletionProof memory proof, bytes32 proofHash) = _signed(40 minutes);
        _expectSignatureInvalid(STRANGER, proof, proofHash, signAs(WORKER_KEY, proofHash));
    }

    function test_RevertWhen_SignatureIsOfARetiredUnit() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, gpuIdsOf("gpu", 2));
        (CompletionProof memory proof, bytes32 proofHash) = _signed(40 minutes);
        _expectSignatureInvalid(address(0), proof, proofHash, signAs(WORKER_KEY, proofHash));
        _expectSignatureInvalid(address(0), proof, proofHash, new bytes(65));
    }

    function test_RevertWhen_ClaimPassesAnUnansweredOrder() external {
        skip(1 hours);
        _postOrder("order");
        skip(ANSWER_SECONDS);
        skip(2 hours);
        _expectOutOfRange(0, 1 hours + ANSWER_SECONDS, 1 hours + ANSWER_SECONDS + 1);
        postProof(terms, 1 hours + ANSWER_SECONDS);
    }

    function test_RevertWhen_ClaimCountsWhatALateAnswerLost() external {
        skip(1 hours);
        _postOrder("order");
        skip(ANSWER_SECONDS + 17);
        vm.prank(WORKER);
        amendments.answerOrder(terms, "order", true, "");
        skip(1 hours);
        _expectOutOfRange(0, 2 hours + ANSWER_SECONDS, 2 hours + ANSWER_SECONDS + 1);
        postProof(terms, 2 hours + ANSWER_SECONDS);
    }

    function test_RevertWhen_ProofIsPostedAfterAnExtendedLastPost() external {
        skipTo(uint256(terms.end) + PROOF_GRACE_SECONDS);
        postProof(terms, 9 hours);
        openDispute(terms);
        skip(1 days);
        endDispute(terms);
        uint256 lastPost = vm.getBlockTimestamp() + PROOF_GRACE_SECONDS;
        market.settle(terms);
        skipTo(lastPost + 1);
        _expectRevertOf(
            proofOf(terms, 10 hours),
            abi.encodeWithSelector(ILeaseBook.ProofAfterLastPost.selector, lastPost, lastPost + 1)
        );
        vm.warp(lastPost);
        postProof(terms, 10 hours);
    }

    function _postOrder(bytes32 orderDigest) private {
        vm.prank(RENTER);
        amendments.postOrder(terms, orderDigest);
    }

    function _signed(uint32 provenSeconds) private view returns (CompletionProof memory proof, bytes32) {
        proof = proofOf(terms, provenSeconds);
        return (proof, digests.hashCompletionProof(proof));
    }

    function _expectSignatureInvalid(
        address worker,
        CompletionProof memory proof,
        bytes32 proofHash,
        bytes memory signature
    ) private {
        bytes32 digest = digestOf(proofHash);
        vm.expectRevert(abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, worker, digest));
        vm.prank(STRANGER);
        market.postProof(terms, proof, signature);
    }

    function _rotate() private {
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, STRANGER, bytes32(0));
    }

    function _expectOutOfRange(uint32 settled, uint256 scheduled, uint32 claimed) private {
        _expectRevertOf(
            proofOf(terms, claimed),
            abi.encodeWithSelector(ILeaseBook.ProvenSecondsOutOfRange.selector, settled, scheduled, claimed)
        );
    }

    function _expectRevertOf(CompletionProof memory proof, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(WORKER);
        market.postProof(terms, proof, "");
    }
}
