// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { LeaseFlags, LeaseState, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// What the court may do to a lease, the court being a plain account here.
contract DisputesTest is Base {
    uint96 private constant RESTITUTION = BOND * 30 / 100;
    uint96 private constant REWARD = BOND * 40 / 100;

    Terms private terms;
    bytes32 private leaseId;
    bytes32 private proofHash;
    uint256 private maturesAt;

    /// One hour is settled, the second one is claimed and can be disputed.
    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
        skipTo(MONDAY + 1 hours);
        prove(terms, 1 hours);
        skipTo(MONDAY + 2 hours);
        proofHash = postProof(terms, 2 hours);
        maturesAt = vm.getBlockTimestamp() + CHALLENGE_SECONDS;
    }

    function test_RevertWhen_AnotherThanTheCourtCalls() external {
        openDispute(terms);
        address[5] memory others = [RENTER, PROVIDER, WORKER, OWNER, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(ILeaseBook.OnlyCourt.selector, COURT, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(reason);
            market.openDispute(terms, proofHash);
            vm.expectRevert(reason);
            amendments.endDispute(terms, proofHash, 0);
            vm.expectRevert(reason);
            amendments.breach(terms, proofHash, 0, 0);
            vm.expectRevert(reason);
            amendments.slashBond(terms, 0, 0);
            vm.stopPrank();
        }
    }

    function test_RevertWhen_DisputedLeaseIsNotOpen() external {
        breach(terms);
        _expectOpen(proofHash, leaseNotOpen(leaseId, LeaseStatus.BREACHED));
        closeAs(KEEPER, terms);
        _expectOpen(proofHash, leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        terms.salt = 2;
        _expectOpen(proofHash, leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
    }

    function test_RevertWhen_AnotherProofIsPending() external {
        _expectOpen("another", _notPending("another"));
    }

    function test_RevertWhen_ProofHasMatured() external {
        skipTo(maturesAt);
        _expectOpen(proofHash, abi.encodeWithSelector(ILeaseBook.ProofMatured.selector, maturesAt, maturesAt));
    }

    function test_RevertWhen_ProofIsSettled() external {
        skipTo(maturesAt);
        market.settle(terms);
        _expectOpen(proofHash, _notPending(proofHash));
    }

    function test_RevertWhen_ProofIsAccepted() external {
        vm.prank(RENTER);
        amendments.accept(terms, proofHash, "");
        _expectOpen(proofHash, _notPending(proofHash));
    }

    function test_RevertWhen_NoProofWasPosted() external {
        terms = termsOfAnotherUnit("second");
        openLease(terms);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, bytes32(0), bytes32(0)));
        vm.prank(COURT);
        market.openDispute(terms, 0);
    }

    function test_WhenProofIsDisputedInItsLastSecond() external {
        skipTo(maturesAt - 1);
        vm.expectEmit(address(market));
        emit ILeaseBook.DisputeOpened(leaseId, proofHash, 1);
        vm.prank(COURT);
        (bytes32 id, address renter, uint32 pending) = market.openDispute(terms, proofHash);
        assertEq(id, leaseId);
        assertEq(renter, RENTER);
        assertEq(pending, 2 hours);
        assertEq(market.leaseState(leaseId).openDisputes, 1);
    }

    function test_WhenLeaseWasTransferred() external {
        transferLease(terms, STRANGER, STRANGER_KEY);
        vm.prank(COURT);
        (, address renter,) = market.openDispute(terms, proofHash);
        assertEq(renter, STRANGER);
        vm.prank(COURT);
        amendments.breach(terms, proofHash, RESTITUTION, REWARD);
        assertEq(registry.compensationOf(STRANGER), RESTITUTION);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenLeaseIsClosing() external {
        giveNoticeAs(PROVIDER, terms);
        openDispute(terms);
        assertEq(market.leaseState(leaseId).openDisputes, 1);
    }

    function test_RevertWhen_NoDisputeIsOpen() external {
        _expectEnd(proofHash, _notPending(proofHash));
        _expectBreach(proofHash, _notPending(proofHash));
    }

    function test_RevertWhen_AnotherProofIsDisputed() external {
        openDispute(terms);
        _expectEnd("another", _notPending("another"));
        _expectBreach("another", _notPending("another"));
    }

    function test_RevertWhen_LeaseIsNotOpenToTheVerdict() external {
        breach(terms);
        bytes memory reason = leaseNotOpen(leaseId, LeaseStatus.BREACHED);
        _expectEnd(proofHash, reason);
        _expectBreach(proofHash, reason);
        vm.expectRevert(reason);
        vm.prank(COURT);
        amendments.slashBond(terms, 0, 0);
    }

    function test_WhenProofStandsBeforeItsMaturity() external {
        openDispute(terms);
        skip(1);
        vm.expectEmit(address(market));
        emit ILeaseBook.DisputeEnded(leaseId, proofHash, 0, 2 hours, uint40(terms.end + PROOF_GRACE_SECONDS));
        endDispute(terms);
        // The maturity of before is kept.
        skipTo(maturesAt - 1);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 0);
        skip(1);
        (pay,) = market.settle(terms);
        assertEq(pay, 3_528_000);
    }

    function test_WhenProofStandsAfterItsMaturity() external {
        openDispute(terms);
        skipTo(maturesAt + 1 hours);
        endDispute(terms);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 3_528_000);
    }

    function test_WhenClaimIsCut() external {
        openDispute(terms);
        _end(1.5 hours, 1.5 hours);
        skipTo(maturesAt);
        (uint96 pay, uint96 fee) = market.settle(terms);
        assertEq(uint256(pay) + fee, 1.8e6);
        assertEq(market.leaseState(leaseId).settledSeconds, 1.5 hours);
        // What was cut off may be claimed again, and disputed again.
        postProof(terms, 2 hours);
    }

    function test_WhenClaimIsCutBelowTheSettled() external {
        openDispute(terms);
        _end(10 minutes, 1 hours);
        skipTo(maturesAt);
        (uint96 pay, uint96 fee) = market.settle(terms);
        assertEq(uint256(pay) + fee, 0);
        assertEq(creditOf(PROVIDER) + feesKept(), 3.6e6);
    }

    function test_WhenVerdictExceedsTheClaim() external {
        openDispute(terms);
        _end(2 hours + 1, 2 hours);
    }

    function test_WhenSeveralDisputesCutTheClaim() external {
        openDispute(terms);
        openDispute(terms);
        openDispute(terms);
        assertEq(market.leaseState(leaseId).openDisputes, 3);
        skipTo(maturesAt);
        _end(1.5 hours, 1.5 hours);
        // A later verdict does not give back what an earlier one took.
        _end(1.75 hours, 1.5 hours);
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 0, "frozen to the last");
        _end(1.25 hours, 1.25 hours);
        (pay,) = market.settle(terms);
        assertEq(pay, 882_000);
    }

    function test_WhenLastPostIsStillFar() external {
        openDispute(terms);
        skipTo(terms.end);
        vm.expectEmit(address(market));
        emit ILeaseBook.DisputeEnded(leaseId, proofHash, 0, 2 hours, uint40(terms.end + PROOF_GRACE_SECONDS));
        endDispute(terms);
        assertEq(market.leaseState(leaseId).lastPostOffset, 0);
        assertEq(market.leaseState(leaseId).flags, 0);
    }

    function test_WhenLastPostMoves() external {
        openDispute(terms);
        skipTo(terms.end + 1);
        uint40 lastPost = terms.end + 1 + PROOF_GRACE_SECONDS;
        vm.expectEmit(address(market));
        emit ILeaseBook.DisputeEnded(leaseId, proofHash, 0, 2 hours, lastPost);
        endDispute(terms);
        LeaseState memory state = market.leaseState(leaseId);
        assertEq(state.lastPostOffset, lastPost - terms.start);
        assertEq(state.flags, LeaseFlags.AMENDED);
        skipTo(lastPost);
        postProof(terms, 10 hours);
        skip(CHALLENGE_SECONDS);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 36e6);
    }

    function test_WhenLastPostHasMovedAlready() external {
        openDispute(terms);
        skipTo(terms.end + 1);
        endDispute(terms);
        uint40 lastPost = terms.end + 1 + PROOF_GRACE_SECONDS;
        skipTo(lastPost);
        proofHash = postProof(terms, 10 hours);
        openDispute(terms);
        skip(10 days);
        vm.expectEmit(address(market));
        emit ILeaseBook.DisputeEnded(leaseId, proofHash, 0, 10 hours, lastPost);
        endDispute(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 36e6);
    }

    function test_WhenTwoDisputesOfAProofEndLate() external {
        openDispute(terms);
        openDispute(terms);
        skipTo(terms.end + 1);
        endDispute(terms);
        skip(10 days);
        _endAndClaimTheRest();
    }

    function test_WhenAProofPostedInTimeIsDisputedAgain() external {
        skipTo(terms.end + PROOF_GRACE_SECONDS);
        proofHash = postProof(terms, 2 hours);
        openDispute(terms);
        skip(1);
        endDispute(terms);
        openDispute(terms);
        skip(10 days);
        _endAndClaimTheRest();
    }

    function test_WhenResultIsLost() external {
        openDispute(terms);
        skip(1 hours);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseBreached(leaseId, proofHash, MONDAY + 3 hours, BOND);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.Slashed(PROVIDER, RENTER, RESTITUTION, REWARD, BOND - RESTITUTION - REWARD);
        assertEq(_breach(), BOND);

        LeaseState memory state;
        state.deposit = 36e6;
        state.endOffset = 3 hours;
        state.settledSeconds = 1 hours;
        state.status = LeaseStatus.BREACHED;
        state.flags = LeaseFlags.CLOSING | LeaseFlags.PROVIDER_FAILED | LeaseFlags.BOND_SLASHED;
        state.proofHash = proofHash;
        assertEq(abi.encode(market.leaseState(leaseId)), abi.encode(state));
        assertEq(registry.compensationOf(RENTER), RESTITUTION);
        assertEq(registry.compensationOf(COURT), REWARD);
        assertEq(registry.burned(), BOND - RESTITUTION - REWARD);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, 0);
        assertEq(creditOf(PROVIDER) + feesKept(), 3.6e6, "what was settled stays paid");
    }

    function test_WhenOtherDisputesAreOpenAtTheBreach() external {
        openDispute(terms);
        openDispute(terms);
        _breach();
        assertEq(market.leaseState(leaseId).openDisputes, 0);
        // They are moot: nothing holds the close up.
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 32.4e6);
    }

    function test_WhenLeaseHadEndedAtTheBreach() external {
        openDispute(terms);
        skipTo(terms.end + 5 hours);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseBreached(leaseId, proofHash, terms.end, BOND);
        _breach();
        assertEq(endOf(terms), terms.end);
    }

    function test_WhenBondWasSlashedBeforeTheBreach() external {
        vm.prank(COURT);
        amendments.slashBond(terms, RESTITUTION, REWARD);
        openDispute(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseBreached(leaseId, proofHash, uint40(vm.getBlockTimestamp()), 0);
        assertEq(_breach(), 0);
        assertEq(registry.compensationOf(RENTER), RESTITUTION);
        assertEq(registry.compensationOf(COURT), REWARD);
        (uint96 staked,) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
    }

    function test_WhenThereIsNoBond() external {
        terms = termsOfAnotherUnit("second");
        terms.offer.bond = 0;
        leaseId = openLease(terms);
        postProof(terms, 0);
        assertEq(breach(terms), 0);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.BREACHED));
        Terms memory third = termsOfAnotherUnit("third");
        third.offer.bond = 0;
        openLease(third);
        vm.prank(COURT);
        assertEq(amendments.slashBond(third, 0, 0), 0);
        assertEq(registry.burned(), 0);
    }

    function test_WhenBondAloneIsSlashed() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.BondSlashed(leaseId, BOND);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.Slashed(PROVIDER, RENTER, RESTITUTION, REWARD, BOND - RESTITUTION - REWARD);
        vm.prank(COURT);
        assertEq(amendments.slashBond(terms, RESTITUTION, REWARD), BOND);
        assertEq(market.leaseState(leaseId).flags, LeaseFlags.BOND_SLASHED);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, 0);
        // The lease goes on, and pays.
        skipTo(terms.end);
        prove(terms, 10 hours);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 36e6);
    }

    function test_WhenBondIsSlashedTwice() external {
        vm.startPrank(COURT);
        amendments.slashBond(terms, RESTITUTION, REWARD);
        assertEq(amendments.slashBond(terms, RESTITUTION, REWARD), 0);
        vm.stopPrank();
        assertEq(registry.compensationOf(RENTER), RESTITUTION);
        assertEq(registry.compensationOf(COURT), REWARD);
        (uint96 staked,) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
    }

    function testFuzz_WhateverTheVerdictsTheMoneyAddsUp(uint256 seed) external {
        uint256 disputes = 1 + seed % 3;
        for (uint256 i = 0; i < disputes; ++i) {
            openDispute(terms);
        }
        if ((seed >> 4) % 4 == 0) {
            skip((seed >> 8) % 12 hours);
            _giveNoticeIfRunning((seed >> 6) % 2 == 0 ? PROVIDER : RENTER);
        }
        bool breached = (seed >> 40) % 3 == 0;
        for (uint256 i = 0; i < disputes; ++i) {
            skip((seed >> (48 + 16 * i)) % 4 hours);
            if (breached && i == disputes - 1) {
                _breach();
            } else {
                vm.prank(COURT);
                amendments.endDispute(terms, proofHash, uint32((seed >> (96 + 16 * i)) % 3 hours));
            }
        }
        if (!breached) {
            skip(PROOF_GRACE_SECONDS + 1);
            if (vm.getBlockTimestamp() <= endOf(terms) + PROOF_GRACE_SECONDS) skipPastLastPost(terms);
        }
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept() + creditOf(RENTER), 36e6);
        assertGe(creditOf(PROVIDER) + feesKept(), 3.6e6, "the settled hour");
        assertLe(creditOf(PROVIDER) + feesKept(), 7.2e6, "the claimed hours");
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, 0);
        uint256 out =
            uint256(registry.compensationOf(RENTER)) + registry.compensationOf(COURT) + registry.burned();
        assertEq(uint256(STAKE) - staked, out);
        assertLe(out, BOND);
    }

    function _giveNoticeIfRunning(address by) private {
        if (vm.getBlockTimestamp() < endOf(terms)) giveNoticeAs(by, terms);
    }

    function _end(uint32 verdict, uint32 expected) private {
        vm.prank(COURT);
        amendments.endDispute(terms, proofHash, verdict);
        assertEq(market.leaseState(leaseId).pendingSeconds, expected);
    }

    function _breach() private returns (uint96) {
        vm.prank(COURT);
        return amendments.breach(terms, proofHash, RESTITUTION, REWARD);
    }

    function _notPending(bytes32 actual) private view returns (bytes memory) {
        return abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, proofHash, actual);
    }

    /// Nobody can post while a dispute is open: the last one that ends leaves time for the eight hours that follow.
    function _endAndClaimTheRest() private {
        uint40 lastPost = uint40(vm.getBlockTimestamp()) + PROOF_GRACE_SECONDS;
        vm.expectEmit(address(market));
        emit ILeaseBook.DisputeEnded(leaseId, proofHash, 0, 2 hours, lastPost);
        endDispute(terms);
        skipTo(lastPost);
        postProof(terms, 10 hours);
        skip(CHALLENGE_SECONDS);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 36e6);
    }

    function _expectOpen(bytes32 disputed, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(COURT);
        market.openDispute(terms, disputed);
    }

    function _expectEnd(bytes32 disputed, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(COURT);
        amendments.endDispute(terms, disputed, 0);
    }

    function _expectBreach(bytes32 disputed, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(COURT);
        amendments.breach(terms, disputed, 0, 0);
    }
}
