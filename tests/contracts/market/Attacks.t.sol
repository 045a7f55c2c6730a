// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import {
    AllowedProvider,
    CompletionProof,
    FailoverPolicy,
    LeaseStatus,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// The attacks that stand in brackets in PROTOCOL.md, each tried in full, and what it gains.
contract AttacksTest is Base {
    function test_Attack_OneNodeIsSoldTwice() external {
        // Eight GPUs are one unit; four of them shall be another.
        bytes32[] memory eight = gpuIdsOf("host", 8);
        bytes32 whole = registerUnitAs(PROVIDER, WORKER, "host", eight);
        bytes32[] memory four = new bytes32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            four[i] = eight[2 * i];
        }
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuTaken.selector, four[0], whole));
        registerUnitAs(PROVIDER, WORKER, "host", four);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuTaken.selector, four[0], whole));
        registerUnitAs(PROVIDER, WORKER, "another name", four);
        // Nor may the unit be taken apart while somebody rents it.
        Terms memory terms = defaultTerms();
        terms.offer.unitId = whole;
        terms.offer.gpuCount = 8;
        terms.weeklyHours = 0x3ff;
        openLease(terms);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.UnitBooked.selector, whole, 0x3ff));
        vm.prank(PROVIDER);
        registry.retireUnit(whole, eight);
        // Nor may the same hours be sold again.
        terms.salt = 2;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.HoursTaken.selector, whole, 0x3ff, 0x3ff));
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }

    function test_Attack_AnHoursDepositBooksAYearAndTakesTheBond() external {
        Terms memory terms = defaultTerms();
        terms.offer.minSeconds = 1 hours;
        terms.end = terms.start + 1 hours;
        terms.maxEnd = terms.start + 30 days;
        vm.prank(RENTER);
        token.approve(address(market), 3.6e6);
        bytes32 leaseId = openLease(terms);
        assertEq(market.leaseState(leaseId).deposit, 3.6e6);
        // The end is where the money ends; nobody moves it for nothing.
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 0, 1000)
        );
        vm.prank(RENTER);
        market.topUp(terms, terms.end + 1);
        skipTo(terms.end);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end));
        vm.prank(RENTER);
        amendments.extend(terms, terms.maxEnd);
        // The provider owes no second after it: the bond comes back whole and the hours are free.
        prove(terms, 1 hours);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), 0);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE);
        assertEq(bookedHoursOf(unitId), 0);
    }

    function test_Attack_ProviderHeartbeatsAndIgnoresTheWork() external {
        (Terms memory terms,) = openDefault();
        vm.prank(RENTER);
        amendments.postOrder(terms, "order");
        skipTo(terms.end);
        // The GPUs were at the renter's disposal all along, says the worker, which has not looked at the order.
        CompletionProof memory proof = proofOf(terms, 10 hours);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.ProvenSecondsOutOfRange.selector, 0, ANSWER_SECONDS, 10 hours)
        );
        vm.prank(WORKER);
        market.postProof(terms, proof, "");
        // An answer after the fact brings nothing back.
        vm.prank(WORKER);
        amendments.answerOrder(terms, "order", true, "");
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.ProvenSecondsOutOfRange.selector, 0, ANSWER_SECONDS, 10 hours)
        );
        vm.prank(WORKER);
        market.postProof(terms, proof, "");
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6);
        assertEq(registry.compensationOf(RENTER), BOND);
    }

    function test_Attack_APendingProofIsSwappedWhenItsAuditIsDrawn() external {
        (Terms memory terms, bytes32 leaseId) = openDefault();
        skip(2 hours);
        bytes32 bad = postProof(terms, 2 hours);
        CompletionProof memory good = proofOf(terms, 1 hours);
        bytes32 goodHash = digests.hashCompletionProof(good);
        bytes memory signature = signAs(WORKER_KEY, goodHash);
        bytes memory pending = abi.encodeWithSelector(
            ILeaseBook.ProofPending.selector, MONDAY + 2 hours + CHALLENGE_SECONDS, MONDAY + 2 hours
        );
        vm.expectRevert(pending);
        market.postProof(terms, good, signature);
        good.previousProof = 0;
        vm.expectRevert(pending);
        vm.prank(WORKER);
        market.postProof(terms, good, "");
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, 1));
        vm.prank(WORKER);
        market.postProof(terms, good, "");
        assertEq(market.leaseState(leaseId).proofHash, bad);
        assertEq(market.leaseState(leaseId).pendingSeconds, 2 hours);
    }

    function test_Attack_AFriendsLostChallengeShieldsABadProof() external {
        (Terms memory terms, bytes32 leaseId) = openDefault();
        skip(2 hours);
        bytes32 proofHash = postProof(terms, 2 hours);
        // A friend challenges a good segment first. That does not keep others from challenging the bad one,
        openDispute(terms);
        openDispute(terms);
        // and when the friend has lost, the other dispute still holds the pay and can still breach the lease.
        skip(CHALLENGE_SECONDS);
        endDispute(terms);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 0);
        vm.prank(COURT);
        amendments.breach(terms, proofHash, BOND / 4, BOND / 4);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER), 0);
        assertEq(creditOf(RENTER), 36e6);
    }

    function test_Attack_ASignedOpeningIsReplayed() external {
        // The renter cancels in time and closes at the start; whoever saw the opening sends it again, since the renter's
        // allowance would let a replay take the deposit once more.
        Terms memory terms = defaultTerms();
        terms.start += 2 hours;
        terms.end += 2 hours;
        bytes memory signature = signOffer(terms.offer);
        bytes memory opening = abi.encodeCall(market.open, (terms, signature));
        vm.prank(RENTER);
        (bool ok,) = address(market).call(opening);
        assertTrue(ok);
        giveNoticeAs(RENTER, terms);
        skipTo(terms.start);
        closeAs(KEEPER, terms);
        bytes32 leaseId = market.leaseIdOf(terms);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, leaseId));
        vm.prank(RENTER);
        market.open(terms, signature);
        assertEq(creditOf(RENTER), 36e6);
    }

    function test_Attack_TheDelegateMovesTheMoneyToAFriend() external {
        FailoverPolicy memory policy = FailoverPolicy({
            delegate: STRANGER,
            maxPricePerHour: 3.6e6,
            gpuClass: "RTX 4090",
            minBond: 0,
            allowedProvidersRoot: 0,
            allowedProvidersCount: 0,
            maxHops: 3,
            deadline: MONDAY + 30 days
        });
        Terms memory terms = defaultTerms();
        terms.policyHash = digests.hashFailoverPolicy(policy);
        bytes32 leaseId = openLease(terms);
        Terms memory next = termsOfAnotherUnit("friend's");
        next.start += 1 hours;
        next.end = next.start + 5 hours;
        next.maxEnd = next.end;
        next.policyHash = terms.policyHash;
        next.previousLeaseId = leaseId;
        listOffer(next.offer);
        vm.mockCall(
            address(quorum),
            abi.encodeCall(quorum.findingOf, (next.offer.unitId)),
            abi.encode(IOracleQuorum.Finding("RTX 4090", 1, 24_564, MONDAY + 30 days))
        );
        skip(1 hours);
        // The provider serves as it should: whatever the renter or the delegate does, the money stays.
        _expectNotFailed(terms, policy, next);
        giveNoticeAs(RENTER, terms);
        _expectNotFailed(terms, policy, next);
        giveNoticeAs(PROVIDER, terms);
        FailureProof memory none;
        vm.prank(STRANGER);
        succession.failover(terms, policy, next, LISTED, AllowedProvider(0, new bytes32[](0)), none);
        assertEq(market.leaseState(market.leaseIdOf(next)).deposit, 18e6);
    }

    function test_Attack_ARevertingPayeeBlocksTheOthers() external {
        (Terms memory terms,) = openDefault();
        skipTo(terms.end);
        prove(terms, 5 hours);
        address[3] memory payees = [PROVIDER, RENTER, TREASURY];
        for (uint256 i = 0; i < payees.length; ++i) {
            vm.mockCallRevert(
                address(token), abi.encodeWithSelector(token.transfer.selector, payees[i]), "blocked"
            );
        }
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER), 17_640_000);
        assertEq(creditOf(RENTER), 18e6);
        assertEq(feesKept(), 360_000);
        vm.prank(RENTER);
        market.withdraw(address(token), STRANGER);
        assertEq(token.balanceOf(STRANGER), 18e6);
    }

    function test_Attack_AFrontRunPermitBreaksTheOpening() external {
        Terms memory terms = defaultTerms();
        listOffer(terms.offer);
        vm.prank(RENTER);
        token.approve(address(market), 0);
        (uint8 v, bytes32 r, bytes32 s) = signPermit(token, address(market), 36e6);
        vm.prank(STRANGER);
        token.permit(RENTER, address(market), 36e6, block.timestamp, v, r, s);
        vm.startPrank(RENTER);
        amendments.usePermit(address(token), 36e6, block.timestamp, v, r, s);
        market.open(terms, LISTED);
        vm.stopPrank();
        assertEq(token.balanceOf(address(market)), 36e6);
    }

    function test_Attack_RentersCloseErasesWhatTheProviderCutOff() external {
        (Terms memory terms, bytes32 leaseId) = openDefault();
        skip(4 hours);
        giveNoticeAs(PROVIDER, terms);
        assertEq(market.leaseState(leaseId).penaltySeconds, 5 hours);
        giveNoticeAs(RENTER, terms);
        assertEq(market.leaseState(leaseId).penaltySeconds, 5 hours);
        // Nor does the renter's close widen what the provider owes.
        assertEq(market.leaseState(leaseId).endOffset, 5 hours);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), BOND);
    }

    function test_Attack_TheBondIsTakenThreeTimes() external {
        (Terms memory terms,) = openDefault();
        Terms memory beside = termsOfAnotherUnit("beside");
        openLease(beside);
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        openDispute(terms);
        openDispute(terms);
        vm.startPrank(COURT);
        amendments.slashBond(terms, BOND / 4, BOND / 4);
        amendments.breach(terms, proofHash, BOND / 4, BOND / 4);
        vm.stopPrank();
        closeAs(KEEPER, terms);
        // The other lease's bond is whole.
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, BOND);
        assertEq(registry.compensationOf(RENTER), BOND / 4);
    }

    function _expectNotFailed(Terms memory terms, FailoverPolicy memory policy, Terms memory next) private {
        FailureProof memory none;
        bytes memory reason =
            abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, market.leaseIdOf(terms));
        vm.expectRevert(reason);
        vm.prank(STRANGER);
        succession.failover(terms, policy, next, LISTED, AllowedProvider(0, new bytes32[](0)), none);
    }
}
