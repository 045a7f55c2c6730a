// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import {
    LeaseFlags,
    LeaseStatus,
    OrderAcknowledgement,
    PostedOrder,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";

contract OrdersTest is Base {
    bytes32 private constant ORDER = "order";

    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
    }

    function test_RevertWhen_LeaseIsNotOpen() external {
        skip(1 hours);
        postProof(terms, 0);
        breach(terms);
        _expectPost(RENTER, ORDER, leaseNotOpen(leaseId, LeaseStatus.BREACHED));
        closeAs(KEEPER, terms);
        _expectPost(RENTER, ORDER, leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        terms.salt = 2;
        _expectPost(RENTER, ORDER, leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
    }

    function test_RevertWhen_CallerIsNotRenter() external {
        address[4] memory others = [PROVIDER, WORKER, OWNER, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            _expectPost(
                others[i], ORDER, abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, RENTER, others[i])
            );
        }
    }

    function test_RevertWhen_RenterBeforeATransferPosts() external {
        transferLease(terms, STRANGER, STRANGER_KEY);
        _expectPost(RENTER, ORDER, abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, STRANGER, RENTER));
        vm.prank(STRANGER);
        amendments.postOrder(terms, ORDER);
    }

    function test_RevertWhen_LeaseHasEnded() external {
        skipTo(terms.end);
        _expectPost(
            RENTER, ORDER, abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end)
        );
    }

    function test_RevertWhen_AnotherOrderWaits() external {
        _post(ORDER);
        _expectPost(RENTER, "next", abi.encodeWithSelector(ILeaseBook.OrderUnanswered.selector, ORDER));
        _expectPost(RENTER, ORDER, abi.encodeWithSelector(ILeaseBook.OrderUnanswered.selector, ORDER));
        skip(1 hours);
        _expectPost(RENTER, "next", abi.encodeWithSelector(ILeaseBook.OrderUnanswered.selector, ORDER));
    }

    function test_RevertWhen_OrderIsZero() external {
        _expectPost(
            RENTER,
            bytes32(0),
            abi.encodeWithSelector(ILeaseBook.OrderNotPosted.selector, bytes32(0), bytes32(0))
        );
    }

    function test_WhenRenterPosts() external {
        skip(1 hours);
        uint32 answerWithin = 1 hours + ANSWER_SECONDS;
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderPosted(leaseId, ORDER, answerWithin);
        _post(ORDER);
        _assertOrder(ORDER, answerWithin, 0);
        assertEq(market.leaseState(leaseId).flags, LeaseFlags.ORDERED);
    }

    function test_WhenRenterPostsBeforeTheStart() external {
        terms = termsOfAnotherUnit("second");
        terms.start += 3 hours;
        leaseId = openLease(terms);
        _post(ORDER);
        _assertOrder(ORDER, ANSWER_SECONDS, 0);
        skipTo(terms.start + ANSWER_SECONDS);
        _answer(ORDER, true);
        _assertOrder(0, 0, 0);
    }

    function test_RevertWhen_NoOrderWaits() external {
        _expectAnswer(ORDER, bytes32(0));
        _expectAnswer(bytes32(0), bytes32(0));
    }

    function test_RevertWhen_AnotherOrderIsAnswered() external {
        _post(ORDER);
        _expectAnswer("another", ORDER);
        _expectAnswer(bytes32(0), ORDER);
    }

    function test_RevertWhen_OrderIsAnsweredAlready() external {
        _post(ORDER);
        _answer(ORDER, true);
        _expectAnswer(ORDER, bytes32(0));
    }

    function test_RevertWhen_AnotherAnswers() external {
        _post(ORDER);
        address[3] memory others = [PROVIDER, RENTER, STRANGER];
        bytes32 digest = digestOf(_answerHash(true));
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, WORKER, digest));
            vm.prank(others[i]);
            amendments.answerOrder(terms, ORDER, true, "");
        }
    }

    function test_RevertWhen_AnotherSigned() external {
        _post(ORDER);
        _expectSignatureInvalid(WORKER, true, signAs(PROVIDER_KEY, _answerHash(true)));
    }

    function test_RevertWhen_SignedAnswerIsTurnedOver() external {
        _post(ORDER);
        _expectSignatureInvalid(WORKER, false, signAs(WORKER_KEY, _answerHash(true)));
        _expectSignatureInvalid(WORKER, true, signAs(WORKER_KEY, _answerHash(false)));
    }

    function test_RevertWhen_TheWorkerBeforeAnswers() external {
        _post(ORDER);
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, STRANGER, bytes32(0));
        _expectSignatureInvalid(STRANGER, true, signAs(WORKER_KEY, _answerHash(true)));
        vm.prank(STRANGER);
        amendments.answerOrder(terms, ORDER, true, "");
    }

    function test_RevertWhen_LeaseIsNotOpenToTheAnswer() external {
        _post(ORDER);
        skip(1 hours);
        postProof(terms, 0);
        breach(terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.BREACHED));
        _answer(ORDER, true);
    }

    function test_WhenWorkerAcceptsInTime() external {
        skip(1 hours);
        _post(ORDER);
        skip(ANSWER_SECONDS);
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, ORDER, true, 0);
        _answer(ORDER, true);
        _assertOrder(0, 0, 0);
        skip(1 hours);
        postProof(terms, 2 hours + ANSWER_SECONDS);
    }

    function test_WhenWorkerRefuses() external {
        _post(ORDER);
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, ORDER, false, 0);
        _answer(ORDER, false);
        _assertOrder(0, 0, 0);
    }

    function test_WhenAnyoneBringsTheWorkersSignature() external {
        _post(ORDER);
        bytes memory signature = signAs(WORKER_KEY, _answerHash(false));
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, ORDER, false, 0);
        vm.prank(STRANGER);
        amendments.answerOrder(terms, ORDER, false, signature);
    }

    function test_WhenAContractIsTheWorker() external {
        SmartAccount account = new SmartAccount(WORKER);
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, address(account), bytes32(0));
        _post(ORDER);
        bytes memory signature = signAs(WORKER_KEY, _answerHash(true));
        amendments.answerOrder(terms, ORDER, true, signature);
        _assertOrder(0, 0, 0);
    }

    function test_WhenWorkerIsOneSecondLate() external {
        _post(ORDER);
        skip(ANSWER_SECONDS + 1);
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, ORDER, true, 1);
        _answer(ORDER, true);
        _assertOrder(0, 0, 1);
    }

    function test_WhenWorkerIsLateTwice() external {
        _post(ORDER);
        skip(ANSWER_SECONDS + 17);
        _answer(ORDER, true);
        skip(1 hours);
        _post("next");
        _assertOrder("next", 1 hours + 2 * ANSWER_SECONDS + 17, 17);
        skip(ANSWER_SECONDS + 4);
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, "next", false, 21);
        _answer("next", false);
    }

    function test_WhenWorkerAnswersAfterTheEnd() external {
        skipTo(terms.end - ANSWER_SECONDS - 100);
        _post(ORDER);
        skipTo(terms.end + 1 hours);
        _answer(ORDER, true);
        _assertOrder(0, 0, 100);
    }

    function test_WhenAnswerIsDueAfterTheEnd() external {
        skipTo(terms.end - 1);
        _post(ORDER);
        skipTo(terms.end + 1 hours);
        postProof(terms, 10 hours);
        _answer(ORDER, true);
        _assertOrder(0, 0, 0);
    }

    function test_WhenHoursInBetweenAreNotScheduled() external {
        terms = termsOfAnotherUnit("masked");
        terms.weeklyHours = 0x05;
        leaseId = openLease(terms);
        skip(1 hours - ANSWER_SECONDS - 10);
        _post(ORDER);
        // Ten seconds of the first hour, none of the second, twenty of the third.
        skipTo(MONDAY + 2 hours + 20);
        _answer(ORDER, true);
        _assertOrder(0, 0, 30);
    }

    function test_WhenOrderIsPostedOutsideTheHours() external {
        terms = termsOfAnotherUnit("masked");
        terms.weeklyHours = 0x05;
        leaseId = openLease(terms);
        skip(1 hours + 10 minutes);
        _post(ORDER);
        // The worker is there from the third hour on.
        skipTo(MONDAY + 2 hours + ANSWER_SECONDS);
        _answer(ORDER, true);
        _assertOrder(0, 0, 0);
    }

    function test_WhenOrderIsNeverAnswered() external {
        skip(1 hours);
        _post(ORDER);
        skipTo(terms.end);
        prove(terms, 1 hours + ANSWER_SECONDS);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 3.9e6);
        assertEq(creditOf(RENTER), 32.1e6);
        // What was not served is owed out of the bond too.
        assertEq(registry.compensationOf(RENTER), uint256(BOND) * (9 hours - ANSWER_SECONDS) / 10 hours);
    }

    function test_WhenLeaseIsTransferred() external {
        _post(ORDER);
        skip(ANSWER_SECONDS + 5);
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, ORDER, false, 5);
        transferLease(terms, STRANGER, STRANGER_KEY);
        _assertOrder(0, 0, 5);
    }

    function testFuzz_LateAnswersLoseJustTheScheduledSeconds(uint168 mask, uint256 seed) external {
        terms = termsOfAnotherUnit("masked");
        terms.weeklyHours = mask | 1;
        terms.end = terms.start + 29 days;
        terms.maxEnd = terms.end;
        leaseId = openLease(terms);
        uint256 lost = 0;
        for (uint256 i = 0; i < 4; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            skip(seed % 4 days);
            _post(bytes32(seed));
            uint256 answerWithin = _scheduledSoFar() + ANSWER_SECONDS;
            skip((seed >> 128) % (i == 3 ? 30 days : 3 days));
            uint256 inTime = _scheduledSoFar() < answerWithin ? _scheduledSoFar() : answerWithin;
            _expectLimit(inTime - lost);
            _answer(bytes32(seed), true);
            lost += _scheduledSoFar() - inTime;
            assertEq(market.postedOrderOf(leaseId).lostSeconds, lost);
            _expectLimit(_scheduledSoFar() - lost);
            if (vm.getBlockTimestamp() >= terms.end) return;
        }
    }

    /// One second more than `claimable` cannot be proven.
    function _expectLimit(uint256 claimable) private {
        uint32 claimed = uint32(claimable + 1);
        if (vm.getBlockTimestamp() > uint256(terms.end) + PROOF_GRACE_SECONDS) return;
        bytes memory call_ = abi.encodeCall(market.postProof, (terms, proofOf(terms, claimed), ""));
        vm.prank(WORKER);
        (bool ok, bytes memory result) = address(market).call(call_);
        assertFalse(ok);
        assertEq(
            result, abi.encodeWithSelector(ILeaseBook.ProvenSecondsOutOfRange.selector, 0, claimable, claimed)
        );
    }

    function _scheduledSoFar() private view returns (uint256) {
        uint40 until = uint40(vm.getBlockTimestamp());
        return market.scheduledSeconds(terms.weeklyHours, terms.start, until < terms.end ? until : terms.end);
    }

    function _post(bytes32 orderDigest) private {
        vm.prank(RENTER);
        amendments.postOrder(terms, orderDigest);
    }

    function _answer(bytes32 orderDigest, bool accepted) private {
        vm.prank(WORKER);
        amendments.answerOrder(terms, orderDigest, accepted, "");
    }

    function _answerHash(bool accepted) private view returns (bytes32) {
        return digests.hashOrderAcknowledgement(OrderAcknowledgement(leaseId, ORDER, accepted));
    }

    function _assertOrder(bytes32 orderDigest, uint32 answerWithin, uint32 lostSeconds) private view {
        PostedOrder memory order = market.postedOrderOf(leaseId);
        assertEq(order.orderDigest, orderDigest, "order");
        assertEq(order.answerWithin, answerWithin, "answerWithin");
        assertEq(order.lostSeconds, lostSeconds, "lostSeconds");
    }

    function _expectPost(address caller, bytes32 orderDigest, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(caller);
        amendments.postOrder(terms, orderDigest);
    }

    function _expectAnswer(bytes32 orderDigest, bytes32 posted) private {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OrderNotPosted.selector, posted, orderDigest));
        _answer(orderDigest, true);
    }

    function _expectSignatureInvalid(address worker, bool accepted, bytes memory signature) private {
        bytes32 digest = digestOf(_answerHash(accepted));
        vm.expectRevert(abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, worker, digest));
        amendments.answerOrder(terms, ORDER, accepted, signature);
    }
}
