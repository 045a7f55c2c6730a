// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import { IOracleQuorum, QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import {
    AllowedProvider,
    FailoverPolicy,
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    LeaseTransfer,
    OfferKind,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { QuorumBase } from "./QuorumBase.sol";

/// A lease of ten hours at a thousand units a second, three hours and ten minutes after its start.
contract FailoverTest is QuorumBase {
    uint96 private constant PRICE = 3.6e6;
    uint32 private constant SERVED = 11_400;
    uint32 private constant SETTLED = 7200;
    /// The next lease's six hours.
    uint96 private constant MOVED = 21.6e6;

    Terms private terms;
    Terms private next;
    FailoverPolicy private policy;
    AllowedProvider private allowed;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        bytes32[] memory leaves = _allowedLeaves();
        policy = FailoverPolicy({
            delegate: DELEGATE,
            maxPricePerHour: PRICE,
            gpuClass: "RTX 4090",
            minBond: BOND,
            allowedProvidersRoot: digests.merkleRoot(_allowedLeaves()),
            allowedProvidersCount: 3,
            maxHops: 1,
            deadline: uint40(vm.getBlockTimestamp()) + 5 hours
        });
        allowed.index = 1;
        allowed.branch = new bytes32[](2);
        allowed.branch[0] = leaves[0];
        allowed.branch[1] = leaves[2];
        terms = currentTerms();
        terms.offer.noticeSeconds = 0;
        _begin();
    }

    function test_RevertWhen_LeaseIsNotOpen() external {
        next.offer.bond = BOND;
        terms.salt = 77;
        bytes32 unknown = market.leaseIdOf(terms);
        _expectRevertOf(leaseNotOpen(unknown, LeaseStatus.NONE));
    }

    function test_RevertWhen_LeaseIsBreached() external {
        postProof(terms, SERVED);
        breach(terms);
        _expectRevertOf(leaseNotOpen(leaseId, LeaseStatus.BREACHED));
    }

    function test_RevertWhen_LeaseHasEnded() external {
        skipTo(terms.end);
        policy.deadline += 1 days;
        terms = _anotherLease(digests.hashFailoverPolicy(policy));
        leaseId = market.leaseIdOf(terms);
        next.policyHash = terms.policyHash;
        next.previousLeaseId = leaseId;
        skipTo(terms.end);
        FailureProof memory failure = outageProof(leaseId, terms.end - 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end));
        _failover(failure);
    }

    function test_RevertWhen_PolicyIsNotTheLeases() external {
        giveNoticeAs(PROVIDER, terms);
        policy.maxPricePerHour += 1;
        bytes32 policyHash = digests.hashFailoverPolicy(policy);
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.PolicyMismatch.selector, terms.policyHash, policyHash)
        );
    }

    function test_RevertWhen_LeaseHasNoPolicy() external {
        bytes32 policyHash = terms.policyHash;
        terms = _anotherLease(bytes32(0));
        giveNoticeAs(PROVIDER, terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.PolicyMismatch.selector, bytes32(0), policyHash));
    }

    function test_RevertWhen_CallerIsNotTheDelegate() external {
        giveNoticeAs(PROVIDER, terms);
        address[3] memory callers = [RENTER, PROVIDER, NEXT_PROVIDER];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyDelegate.selector, DELEGATE, callers[i]));
            _failoverAs(callers[i], noProof());
        }
    }

    function test_RevertWhen_DeadlineHasPassed() external {
        skipTo(policy.deadline - 1 hours + 1);
        giveNoticeAs(PROVIDER, terms);
        skipTo(policy.deadline + 1);
        _setNextNow();
        _expectRevertOf(
            abi.encodeWithSelector(
                IRelayedContext.SignatureExpired.selector, policy.deadline, uint256(policy.deadline) + 1
            )
        );
    }

    function test_WhenDeadlineIsNow() external {
        skipTo(policy.deadline);
        giveNoticeAs(PROVIDER, terms);
        _setNextNow();
        next.end = next.start + 2 hours;
        _failover(noProof());
        assertEq(uint8(stateOf(next).status), uint8(LeaseStatus.OPEN));
    }

    function test_RevertWhen_LeaseWasTransferred() external {
        _transferToStranger();
        giveNoticeAs(PROVIDER, terms);
        _expectForbidden("transfer");
    }

    function test_RevertWhen_MaxHopsIsZero() external {
        policy.maxHops = 0;
        terms = _anotherLease(digests.hashFailoverPolicy(policy));
        next.previousLeaseId = market.leaseIdOf(terms);
        next.policyHash = terms.policyHash;
        giveNoticeAs(PROVIDER, terms);
        _expectForbidden("maxHops");
    }

    function test_RevertWhen_HopsAreUsedUp() external {
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());
        giveNoticeAs(NEXT_PROVIDER, next);
        terms = next;
        _expectForbidden("maxHops");
    }

    function test_RevertWhen_LeaseFailedOverBefore() external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp());
        next.end = next.start + 2 hours;
        _failover(failure);
        _setSecondNext();
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("failover")));
        _failover(failure);
        _expectForbidden("failover");
    }

    function test_RevertWhen_UnstartedLeaseFailedOverBefore() external {
        terms = _anotherLease(terms.policyHash, uint40(vm.getBlockTimestamp()) + 1 hours);
        next.previousLeaseId = market.leaseIdOf(terms);
        next.end = next.start + 2 hours;
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());
        _setSecondNext();
        _expectForbidden("failover");
    }

    function test_RevertWhen_NextNamesAnotherPredecessor() external {
        giveNoticeAs(PROVIDER, terms);
        next.previousLeaseId = "another";
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.LeaseMismatch.selector, leaseId, bytes32("another"))
        );
    }

    function test_RevertWhen_NextIsAnotherRenters() external {
        giveNoticeAs(PROVIDER, terms);
        next.renter = DELEGATE;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, RENTER, DELEGATE));
    }

    function test_RevertWhen_NextHasAnotherPolicy() external {
        giveNoticeAs(PROVIDER, terms);
        next.policyHash = 0;
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.PolicyMismatch.selector, terms.policyHash, bytes32(0))
        );
    }

    function test_RevertWhen_NextHasAnotherFirstOrder() external {
        giveNoticeAs(PROVIDER, terms);
        next.firstOrder = "another";
        _expectForbidden("firstOrder");
    }

    function test_RevertWhen_NextIsInAnotherToken() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.token = address(wrapped);
        _expectForbidden("token");
    }

    function test_RevertWhen_NextIsTooDear() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.pricePerHour = PRICE + 1;
        _expectForbidden("maxPricePerHour");
    }

    function test_RevertWhen_NextBondIsTooSmall() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.bond = BOND - 1;
        _expectForbidden("minBond");
    }

    function test_RevertWhen_NextIsOfAnotherClass() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.gpuClass = "RTX 3060";
        _expectForbidden("gpuClass");
    }

    function test_RevertWhen_NextUnitIsNotAttested() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.unitId = registerUnitAs(NEXT_PROVIDER, NEXT_WORKER, "unseen", gpuIdsOf("unseen", 2));
        _expectForbidden("gpuClass");
    }

    function test_RevertWhen_NextUnitIsAttestedAsAnotherClass() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.unitId = registerUnitAs(NEXT_PROVIDER, NEXT_WORKER, "fake", gpuIdsOf("fake", 2));
        attest(NEXT_PROVIDER, "fake", gpuIdsOf("fake", 2), "RTX 3060");
        _expectForbidden("gpuClass");
    }

    function test_RevertWhen_AttestationHasExpired() external {
        skip(5 days);
        policy.deadline = uint40(vm.getBlockTimestamp()) + 10 days;
        terms = _anotherLease(digests.hashFailoverPolicy(policy));
        _setNextNow();
        next.previousLeaseId = market.leaseIdOf(terms);
        next.policyHash = terms.policyHash;
        next.offer.validUntil += 10 days;
        listOffer(next.offer);
        skip(2 days);
        terms = _anotherLease(terms.policyHash);
        next.previousLeaseId = market.leaseIdOf(terms);
        giveNoticeAs(PROVIDER, terms);
        _expectForbidden("gpuClass");
    }

    function test_RevertWhen_NextProviderIsNotAllowed() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.provider = STRANGER;
        _expectForbidden("allowedProvidersRoot");
    }

    function test_RevertWhen_BranchLeadsToAnotherPlace() external {
        giveNoticeAs(PROVIDER, terms);
        allowed.index = 0;
        _expectForbidden("allowedProvidersRoot");
        allowed.index = 1;
        allowed.branch[1] = 0;
        _expectForbidden("allowedProvidersRoot");
        delete allowed.branch;
        _expectForbidden("allowedProvidersRoot");
    }

    function test_WhenAnyProviderIsAllowed() external {
        policy.allowedProvidersRoot = 0;
        terms = _anotherLease(digests.hashFailoverPolicy(policy));
        next.previousLeaseId = market.leaseIdOf(terms);
        next.policyHash = terms.policyHash;
        delete allowed;
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());
        assertEq(uint8(stateOf(next).status), uint8(LeaseStatus.OPEN));
    }

    function test_RevertWhen_OnlyTheRenterGaveNotice() external {
        giveNoticeAs(RENTER, terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
    }

    function test_RevertWhen_YieldIsOfAReservedLease() external {
        FailureProof memory failure = yieldProof(leaseId, vm.getBlockTimestamp());
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
        _failover(failure);
    }

    function test_RevertWhen_YieldIsOfAnotherLease() external {
        _makeIdle();
        FailureProof memory failure = yieldProof("another", vm.getBlockTimestamp());
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.LeaseMismatch.selector, leaseId, bytes32("another"))
        );
        _failover(failure);
    }

    function test_RevertWhen_YieldIsOfMoreThanADayAgo() external {
        _makeIdle();
        FailureProof memory failure = yieldProof(leaseId, vm.getBlockTimestamp() - 1 days - 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
        _failover(failure);
    }

    function test_WhenYieldIsADayOld() external {
        _makeIdle();
        _failover(yieldProof(leaseId, vm.getBlockTimestamp() - 1 days));
        assertGt(stateOf(terms).flags & LeaseFlags.FAILED_OVER, 0);
    }

    function test_RevertWhen_YieldIsOfTheFuture() external {
        _makeIdle();
        FailureProof memory failure = yieldProof(leaseId, vm.getBlockTimestamp() + 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
        _failover(failure);
    }

    function test_RevertWhen_YieldIsNotTheWorkers() external {
        _makeIdle();
        FailureProof memory failure = yieldProof(leaseId, vm.getBlockTimestamp());
        bytes32 structHash = digests.hashYield(failure.yielded);
        failure.workerSignature = signAs(PROVIDER_KEY, structHash);
        vm.expectRevert(
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, WORKER, digestOf(structHash))
        );
        _failover(failure);
    }

    function test_RevertWhen_YieldIsARotatedWorkers() external {
        _makeIdle();
        FailureProof memory failure = yieldProof(leaseId, vm.getBlockTimestamp());
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, NEXT_WORKER, bytes32("key"));
        bytes32 digest = digestOf(digests.hashYield(failure.yielded));
        vm.expectRevert(
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, NEXT_WORKER, digest)
        );
        _failover(failure);
    }

    function test_RevertWhen_OutageIsOfAnotherLease() external {
        FailureProof memory failure = outageProof("another", vm.getBlockTimestamp());
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.LeaseMismatch.selector, leaseId, bytes32("another"))
        );
        _failover(failure);
    }

    function test_RevertWhen_OutageIsOfMoreThanADayAgo() external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp() - 1 days - 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
        _failover(failure);
    }

    function test_WhenOutageIsADayOld() external {
        _failover(outageProof(leaseId, vm.getBlockTimestamp() - 1 days));
        assertGt(stateOf(terms).flags & LeaseFlags.FAILED_OVER, 0);
    }

    function test_RevertWhen_OutageIsOfTheFuture() external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp() + 1);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
        _failover(failure);
    }

    function test_RevertWhen_OutageHasTooFewSignatures() external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp());
        QuorumSignature[] memory one = new QuorumSignature[](1);
        one[0] = failure.quorumSignatures[0];
        failure.quorumSignatures = one;
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.TooFewSignatures.selector, 2, 1));
        _failover(failure);
    }

    function test_RevertWhen_OneMemberSignsAnOutageTwice() external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp());
        failure.quorumSignatures[1] = failure.quorumSignatures[0];
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.SignaturesNotAscending.selector, 0, 0));
        _failover(failure);
    }

    function test_RevertWhen_OutageIsSignedForTheMarket() external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp());
        failure.quorumSignatures[0].signature = signAs(memberKeys[0], digests.hashOutage(failure.outage));
        vm.expectRevert(
            abi.encodeWithSelector(IOracleQuorum.SignatureInvalid.selector, 0, vm.addr(memberKeys[0]))
        );
        _failover(failure);
    }

    function test_RevertWhen_NextCostsMoreThanIsLeft() external {
        giveNoticeAs(PROVIDER, terms);
        next.end = terms.end + 1;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.DepositTooSmall.selector, 36_001_000, 36_000_000));
        next.end = terms.end;
        _failover(noProof());
        assertEq(stateOf(terms).deposit, SERVED * 1000);
        assertEq(stateOf(next).deposit, 36e6 - SERVED * 1000);
    }

    function test_RevertWhen_NextHasFewerGpus() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.gpuCount = 1;
        _expectForbidden("gpuCount");
    }

    function test_RevertWhen_NextIsIdleAfterAReservedOne() external {
        giveNoticeAs(PROVIDER, terms);
        next.offer.kind = OfferKind.IDLE;
        _expectForbidden("kind");
    }

    function test_RevertWhen_NextNamesAGang() external {
        giveNoticeAs(PROVIDER, terms);
        next.gangId = "gang";
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseIsInGang.selector, bytes32("gang")));
    }

    function test_RevertWhen_NextUnitIsBooked() external {
        Terms memory other = next;
        other.previousLeaseId = 0;
        openLease(other);
        giveNoticeAs(PROVIDER, terms);
        vm.expectRevert();
        _failover(noProof());
        assertEq(stateOf(terms).deposit, 36e6);
    }

    function test_WhenProviderGaveNotice() external {
        giveNoticeAs(PROVIDER, terms);
        assertEq(stateOf(terms).penaltySeconds, 36_000 - SERVED);
        uint256 held = token.balanceOf(address(market));
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseOpened(
            market.leaseIdOf(next),
            RENTER,
            NEXT_PROVIDER,
            digests.hashOffer(next.offer),
            leaseTermsOf(next),
            MOVED
        );
        vm.expectEmit(address(market));
        emit ILeaseBook.FailedOver(
            leaseId, market.leaseIdOf(next), MOVED, uint40(vm.getBlockTimestamp()), 36_000 - SERVED, 1
        );
        bytes32 nextLeaseId = _failover(noProof());

        assertEq(nextLeaseId, market.leaseIdOf(next));
        LeaseState memory old = stateOf(terms);
        assertEq(old.deposit, 36e6 - MOVED);
        assertEq(endOf(terms), vm.getBlockTimestamp());
        assertEq(old.penaltySeconds, 36_000 - SERVED);
        LeaseState memory opened = stateOf(next);
        assertEq(opened.deposit, MOVED);
        assertEq(opened.hops, 1);
        assertEq(opened.flags, LeaseFlags.AMENDED);
        assertEq(token.balanceOf(address(market)), held, "nothing came, nothing went");
        // What was served stays the old provider's: it proves it afterwards.
        _finishOld(36_000 - SERVED);
        _finishNext();
    }

    function test_WhenTheProvidersNoticeRuns() external {
        terms.offer.noticeSeconds = 1 hours;
        terms = _anotherLease(terms.policyHash);
        leaseId = market.leaseIdOf(terms);
        next.previousLeaseId = leaseId;
        next.end = next.start + 2 hours;
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());
        assertEq(endOf(terms), terms.start + 1 hours, "it serves as long as it said");
        assertEq(stateOf(terms).penaltySeconds, 9 hours);
        skip(1 hours);
        prove(terms, 1 hours);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), uint256(BOND) * 9 / 10, "as if nobody had left");
    }

    function test_WhenTheProvidersNoticeHasRunOut() external {
        giveNoticeAs(PROVIDER, terms);
        skipTo(endOf(terms) + 30 minutes);
        uint256 end = endOf(terms);
        _setNextNow();
        next.end = next.start + 36_000 - SERVED;
        _failover(noProof());
        assertEq(endOf(terms), end, "its notice is served to the end");
        assertEq(stateOf(terms).deposit, SERVED * 1000);
        assertEq(stateOf(terms).penaltySeconds, 36_000 - SERVED);
        prove(terms, SERVED);
        assertEq(creditOf(PROVIDER), uint256(SERVED) * 980);
    }

    function test_WhenTheWorkerYielded() external {
        _makeIdle();
        _failover(yieldProof(leaseId, vm.getBlockTimestamp() - 600));
        assertEq(stateOf(terms).penaltySeconds, 0);
        assertEq(stateOf(terms).flags & LeaseFlags.PROVIDER_FAILED, 0);
        _finishOld(0);
        _finishNext();
    }

    function test_WhenTheQuorumFoundAnOutage() external {
        _failover(outageProof(leaseId, vm.getBlockTimestamp() - 600));
        assertEq(stateOf(terms).penaltySeconds, 36_000 - SERVED, "every second cut off stays owed");
        assertTrue(stateOf(terms).flags & LeaseFlags.PROVIDER_FAILED != 0);
        _finishOld(36_000 - SERVED);
        _finishNext();
    }

    function test_WhenTheOutageIsOfAnIdleLease() external {
        _makeIdle();
        _failover(outageProof(leaseId, vm.getBlockTimestamp()));
        assertEq(stateOf(terms).penaltySeconds, 0);
        assertTrue(stateOf(terms).flags & LeaseFlags.PROVIDER_FAILED != 0);
        _finishOld(0);
        _finishNext();
    }

    function test_WhenAProofIsPending() external {
        postProof(terms, SERVED);
        _failover(outageProof(leaseId, vm.getBlockTimestamp()));
        assertEq(stateOf(terms).pendingSeconds, SERVED);
        skip(CHALLENGE_SECONDS);
        (uint96 pay, uint96 fee) = market.settle(terms);
        assertEq(pay + fee, (SERVED - SETTLED) * 1000);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6 - MOVED - SERVED * 1000);
    }

    function test_WhenAMaturedProofWaits() external {
        postProof(terms, SERVED);
        skip(CHALLENGE_SECONDS);
        _setNextNow();
        next.end = next.start + 2 hours;
        uint256 credit = creditOf(PROVIDER);
        _failover(outageProof(leaseId, vm.getBlockTimestamp()));
        assertEq(stateOf(terms).settledSeconds, SERVED);
        assertEq(creditOf(PROVIDER) - credit, uint256(SERVED - SETTLED) * 980);
    }

    function test_WhenADisputeIsOpen() external {
        postProof(terms, SERVED);
        bytes32 proofHash = openDispute(terms);
        _failover(outageProof(leaseId, vm.getBlockTimestamp()));
        assertEq(stateOf(terms).openDisputes, 1);
        assertEq(stateOf(terms).deposit, 36e6 - MOVED);
        vm.prank(COURT);
        assertEq(amendments.breach(terms, proofHash, 0, 0), BOND);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6 - MOVED - SETTLED * 1000, "disputed pay goes back");
        _finishNext();
    }

    function test_WhenADisputedProofStands() external {
        postProof(terms, SERVED);
        openDispute(terms);
        _failover(outageProof(leaseId, vm.getBlockTimestamp()));
        skip(1 days);
        endDispute(terms);
        market.settle(terms);
        assertEq(creditOf(PROVIDER), uint256(SERVED) * 980);
    }

    function test_WhenTheLeaseHasNotStarted() external {
        terms = _anotherLease(terms.policyHash, uint40(vm.getBlockTimestamp()) + 4 hours);
        next.previousLeaseId = market.leaseIdOf(terms);
        next.end = next.start + 10 hours;
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());
        assertEq(stateOf(terms).deposit, 0);
        assertEq(stateOf(next).deposit, 36e6);
        assertEq(endOf(terms), terms.start);
        skipTo(terms.start);
        uint96 bond = terms.offer.bond;
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(market.leaseIdOf(terms), 0, 0, bond);
        closeAs(KEEPER, terms);
    }

    function test_WhenTheNextFailsToo() external {
        policy.maxHops = 2;
        terms = _anotherLease(digests.hashFailoverPolicy(policy));
        next.previousLeaseId = market.leaseIdOf(terms);
        next.policyHash = terms.policyHash;
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());

        skip(30 minutes);
        giveNoticeAs(NEXT_PROVIDER, next);
        terms = next;
        bytes32[] memory gpuIds = gpuIdsOf("third", 2);
        next.offer.unitId = registerUnitAs(NEXT_PROVIDER, NEXT_WORKER, "third", gpuIds);
        attest(NEXT_PROVIDER, "third", gpuIds, "RTX 4090");
        next.previousLeaseId = market.leaseIdOf(terms);
        _setNextNow();
        listOffer(next.offer);
        next.end = next.start + 3 hours;
        _failover(noProof());
        assertEq(stateOf(next).hops, 2);
        assertEq(stateOf(next).deposit, 10.8e6);
        assertEq(stateOf(terms).deposit, MOVED - 10.8e6);
    }

    function test_WhenTheNextOfferIsOnlySigned() external {
        giveNoticeAs(PROVIDER, terms);
        bytes32 offerHash = digests.hashOffer(next.offer);
        vm.prank(NEXT_PROVIDER);
        market.unlist(offerHash);
        bytes memory signature = signAs(NEXT_PROVIDER_KEY, offerHash);
        vm.prank(DELEGATE);
        bytes32 nextLeaseId = succession.failover(terms, policy, next, signature, allowed, noProof());
        assertEq(uint8(market.leaseState(nextLeaseId).status), uint8(LeaseStatus.OPEN));
    }

    function test_WhenTheNextIsToppedUp() external {
        giveNoticeAs(PROVIDER, terms);
        _failover(noProof());
        vm.prank(RENTER);
        market.topUp(next, next.maxEnd);
        assertEq(endOf(next), next.maxEnd);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, endOf(terms), endOf(terms)));
        vm.prank(RENTER);
        market.topUp(terms, terms.maxEnd);
    }

    function test_Attack_DelegateMovesTheMoneyOfAProviderThatServes() external {
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProviderHasNotFailed.selector, leaseId));
    }

    /// forge-config: default.fuzz.runs = 128
    function testFuzz_MoneyMovedAndKept(
        uint96 price,
        uint96 nextPrice,
        uint32 failsAfter,
        uint32 proven,
        uint32 nextSeconds
    ) external {
        terms.offer.pricePerHour = uint96(bound(price, 0, 1e12));
        next.offer.pricePerHour = uint96(bound(nextPrice, 0, 1e12));
        policy.maxPricePerHour = next.offer.pricePerHour;
        policy.deadline += 1 days;
        token.mint(RENTER, 1e14);
        terms = _anotherLease(digests.hashFailoverPolicy(policy));
        uint256 deposit = stateOf(terms).deposit;
        uint256 held = token.balanceOf(address(market));
        skip(bound(failsAfter, 1, 10 hours - 1));
        uint40 failedAt = uint40(vm.getBlockTimestamp());
        next.policyHash = terms.policyHash;
        next.previousLeaseId = market.leaseIdOf(terms);
        _setNextNow();
        next.offer.validUntil += 1 days;
        next.end = next.start + uint40(bound(nextSeconds, 1 hours, 20 hours));
        listOffer(next.offer);
        uint256 needed = _ceilPay(terms.offer.pricePerHour, failedAt - terms.start);
        uint256 moved = _ceilPay(next.offer.pricePerHour, next.end - next.start);
        FailureProof memory failure = outageProof(market.leaseIdOf(terms), failedAt);
        if (needed + moved > deposit) {
            vm.expectRevert(
                abi.encodeWithSelector(ILeaseBook.DepositTooSmall.selector, needed + moved, deposit)
            );
            _failover(failure);
            return;
        }
        _failover(failure);
        assertEq(stateOf(terms).deposit, deposit - moved);
        assertEq(stateOf(next).deposit, moved);
        assertEq(token.balanceOf(address(market)), held);
        uint256 credits = creditOf(PROVIDER) + creditOf(RENTER) + feesKept();
        uint32 served = uint32(bound(proven, 0, failedAt - terms.start));
        prove(terms, served);
        skipPastLastPost(next);
        closeAs(KEEPER, terms);
        closeAs(KEEPER, next);
        uint256 after_ = creditOf(PROVIDER) + creditOf(RENTER) + feesKept();
        assertEq(after_ - credits, deposit, "paid, kept as a fee or refunded: to the unit");
    }

    function _ceilPay(uint256 price, uint256 seconds_) private pure returns (uint256) {
        return (price * seconds_ + 3599) / 3600;
    }

    /// The old lease to its end: what was served is paid, the rest refunded, and the bond answers for the penalty.
    function _finishOld(uint256 penaltySeconds) private {
        prove(terms, SERVED);
        assertEq(creditOf(PROVIDER), uint256(SERVED) * 980);
        assertEq(feesKept(), uint256(SERVED) * 20);
        uint256 compensation =
            penaltySeconds == 0 ? 0 : uint256(BOND) * penaltySeconds / (SERVED + penaltySeconds);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, SERVED, 36e6 - MOVED - SERVED * 1000, uint96(compensation));
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6 - MOVED - SERVED * 1000);
        assertEq(registry.compensationOf(RENTER), compensation);
    }

    /// Nothing of the next one is served: all of it comes back.
    function _finishNext() private {
        uint256 refunded = creditOf(RENTER);
        skipPastLastPost(next);
        closeAs(KEEPER, next);
        assertEq(creditOf(RENTER) - refunded, MOVED);
        assertEq(
            token.balanceOf(address(market)),
            creditOf(RENTER) + creditOf(PROVIDER) + feesKept(),
            "all is told"
        );
    }

    /// Opens the lease, proves two hours of it, and waits.
    function _begin() private {
        terms.policyHash = digests.hashFailoverPolicy(policy);
        terms.maxEnd = terms.end;
        leaseId = openLease(terms);
        skip(2 hours);
        prove(terms, SETTLED);
        skipTo(terms.start + SERVED);
        next = currentTerms();
        next.offer.provider = NEXT_PROVIDER;
        next.offer.unitId = nextUnitId;
        next.offer.minSeconds = 1 hours;
        next.policyHash = terms.policyHash;
        next.previousLeaseId = leaseId;
        _setNextNow();
        listOffer(next.offer);
    }

    /// The lease anew, as an IDLE one.
    function _makeIdle() private {
        giveNoticeAs(RENTER, terms);
        skipTo(endOf(terms));
        uint32 served = uint32(vm.getBlockTimestamp() - terms.start);
        prove(terms, served);
        closeAs(KEEPER, terms);
        _emptyAccount(PROVIDER);
        _emptyAccount(RENTER);
        amendments.withdrawFees(address(token));
        terms = currentTerms();
        terms.offer.kind = OfferKind.IDLE;
        policy.deadline += 1 days;
        _begin();
    }

    function _emptyAccount(address account) private {
        vm.prank(account);
        market.withdraw(address(token), account);
    }

    function _anotherLease(bytes32 policyHash) private returns (Terms memory) {
        return _anotherLease(policyHash, uint40(vm.getBlockTimestamp()));
    }

    /// Of a further unit, with another policy or start.
    function _anotherLease(bytes32 policyHash, uint40 start) private returns (Terms memory other) {
        string memory host = vm.toString(start);
        other = currentTerms();
        other.offer.unitId = registerUnitAs(PROVIDER, WORKER, bytes32(bytes(host)), gpuIdsOf(host, 2));
        other.offer.pricePerHour = terms.offer.pricePerHour;
        other.offer.noticeSeconds = terms.offer.noticeSeconds;
        other.policyHash = policyHash;
        other.start = start;
        other.end = start + 10 hours;
        other.maxEnd = other.end;
        openLease(other);
    }

    function _setNextNow() private {
        next.start = uint40(vm.getBlockTimestamp());
        next.end = next.start + 6 hours;
        next.maxEnd = next.start + 20 hours;
    }

    function _setSecondNext() private {
        bytes32[] memory gpuIds = gpuIdsOf("second", 2);
        next.offer.unitId = registerUnitAs(NEXT_PROVIDER, NEXT_WORKER, "second", gpuIds);
        attest(NEXT_PROVIDER, "second", gpuIds, "RTX 4090");
        listOffer(next.offer);
    }

    function _allowedLeaves() private view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](3);
        leaves[0] = keccak256(abi.encodePacked(hex"00", abi.encode(_addressOf("first"))));
        leaves[1] = keccak256(abi.encodePacked(hex"00", abi.encode(NEXT_PROVIDER)));
        leaves[2] = keccak256(abi.encodePacked(hex"00", abi.encode(_addressOf("third"))));
    }

    function _addressOf(string memory name) private pure returns (address) {
        return vm.addr(uint256(keccak256(bytes(name))));
    }

    function _transferToStranger() private {
        LeaseState memory state = stateOf(terms);
        LeaseTransfer memory deal = LeaseTransfer({
            leaseId: leaseId,
            from: RENTER,
            to: STRANGER,
            price: 0,
            deposit: state.deposit,
            end: uint40(endOf(terms)),
            settledSeconds: state.settledSeconds,
            transfers: 0,
            deadline: uint40(vm.getBlockTimestamp())
        });
        bytes32 dealHash = digests.hashLeaseTransfer(deal);
        succession.transfer(terms, deal, signAs(RENTER_KEY, dealHash), signAs(STRANGER_KEY, dealHash));
    }

    function _failover(FailureProof memory failure) private returns (bytes32) {
        return _failoverAs(DELEGATE, failure);
    }

    function _failoverAs(address caller, FailureProof memory failure) private returns (bytes32) {
        vm.prank(caller);
        return succession.failover(terms, policy, next, LISTED, allowed, failure);
    }

    function _expectForbidden(bytes32 field) private {
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, field));
    }

    /// Without a proof of failure: the provider's notice, if it gave one, is enough.
    function _expectRevertOf(bytes memory reason) private {
        vm.expectRevert(reason);
        _failover(noProof());
    }
}
