// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import {
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    NoticeReason,
    OfferKind,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract GiveNoticeTest is Base {
    Terms private terms;
    bytes32 private leaseId;

    /// A lease of ten hours that starts in three, with a notice of one and at least two.
    function setUp() public override {
        super.setUp();
        terms = defaultTerms();
        terms.start = MONDAY + 3 hours;
        terms.end = terms.start + 10 hours;
        terms.maxEnd = terms.end;
        leaseId = openLease(terms);
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        vm.expectRevert(leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
        giveNoticeAs(RENTER, terms);
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        giveNoticeAs(RENTER, terms);
    }

    function test_RevertWhen_LeaseIsBreached() external {
        skipTo(terms.start + 1 hours);
        postProof(terms, 1 hours);
        breach(terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.BREACHED));
        giveNoticeAs(RENTER, terms);
    }

    function test_RevertWhen_CallerIsNoParty() external {
        address[4] memory others = [WORKER, OWNER, TREASURY, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(ILeaseBook.OnlyParty.selector, RENTER, PROVIDER, others[i])
            );
            giveNoticeAs(others[i], terms);
        }
    }

    function test_RevertWhen_LeaseHasEnded() external {
        skipTo(terms.end);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end));
        giveNoticeAs(RENTER, terms);
    }

    function test_WhenProviderGivesNotice() external {
        skipTo(terms.start + 4 hours);
        vm.expectEmit(address(market));
        emit ILeaseBook.NoticeGiven(
            leaseId, PROVIDER, terms.start + 5 hours, 5 hours, NoticeReason.OWNER_RETURNS, "evidence"
        );
        vm.prank(PROVIDER);
        amendments.giveNotice(terms, NoticeReason.OWNER_RETURNS, "evidence");
        _assertEnd(terms.start + 5 hours, 5 hours);
    }

    function test_WhenProviderGivesNoticeBeforeTheStart() external {
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start, 10 hours);
        _closeAtEnd();
        assertEq(creditOf(RENTER), 36e6);
        assertEq(registry.compensationOf(RENTER), BOND);
    }

    function test_WhenProviderGivesNoticeTooLateToMatter() external {
        skipTo(terms.end - 30 minutes);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.end, 0);
    }

    function test_WhenProviderOfAnIdleLeaseGivesNotice() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        terms = defaultTerms();
        terms.offer.kind = OfferKind.IDLE;
        terms.offer.validUntil = terms.end;
        leaseId = openLease(terms);
        skip(1 hours);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start + 2 hours, 0);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenProviderCutsOffHoursNotScheduled() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        skipTo(MONDAY + 7 days);
        terms = defaultTerms();
        terms.weeklyHours = 0x2aa; // hours 1, 3, 5, 7, 9
        terms.offer.validUntil = terms.end;
        leaseId = openLease(terms);
        skip(3 hours + 30 minutes);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start + 4 hours + 30 minutes, 3 hours);
    }

    function test_WhenProviderGivesNoticeTwice() external {
        skipTo(terms.start + 4 hours);
        giveNoticeAs(PROVIDER, terms);
        skip(30 minutes);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start + 5 hours, 5 hours);
    }

    function test_WhenRenterGivesNotice() external {
        skipTo(terms.start + 4 hours);
        vm.expectEmit(address(market));
        emit ILeaseBook.NoticeGiven(
            leaseId, RENTER, terms.start + 5 hours, 0, NoticeReason.WORK_DONE, bytes32(0)
        );
        giveNoticeAs(RENTER, terms);
        _assertEnd(terms.start + 5 hours, 0);
        skipTo(terms.start + 5 hours);
        prove(terms, 5 hours);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 18e6);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenRenterGivesNoticeBeforeTheLeastDuration() external {
        skipTo(terms.start + 10 minutes);
        giveNoticeAs(RENTER, terms);
        _assertEnd(terms.start + 2 hours, 0);
    }

    function test_WhenRenterGivesNoticeBeforeStartLessNotice() external {
        skipTo(terms.start - 1 hours - 1);
        giveNoticeAs(RENTER, terms);
        _assertEnd(terms.start, 0);
        _closeAtEnd();
        assertEq(creditOf(RENTER), 36e6);
        assertEq(registry.compensationOf(RENTER), 0);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE);
        assertEq(locked, 0);
    }

    function test_WhenRenterGivesNoticeJustTooLateForThat() external {
        skipTo(terms.start - 1 hours);
        giveNoticeAs(RENTER, terms);
        _assertEnd(terms.start + 2 hours, 0);
    }

    function test_WhenRenterFollowsTheProvider() external {
        skipTo(terms.start + 4 hours);
        giveNoticeAs(PROVIDER, terms);
        giveNoticeAs(RENTER, terms);
        _assertEnd(terms.start + 5 hours, 5 hours);
        skipTo(terms.start + 5 hours);
        prove(terms, 5 hours);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), BOND / 2);
    }

    function test_WhenProviderFollowsTheRenter() external {
        skipTo(terms.start + 10 minutes);
        giveNoticeAs(RENTER, terms);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start + 1 hours + 10 minutes, 50 minutes);
    }

    function test_WhenAProofHasMatured() external {
        skipTo(terms.start + 4 hours);
        bytes32 proofHash = postProof(terms, 4 hours);
        skip(CHALLENGE_SECONDS);
        vm.expectEmit(address(market));
        emit ILeaseBook.Settled(leaseId, 4 hours, 14_112_000, 288_000);
        giveNoticeAs(RENTER, terms);
        assertEq(market.leaseState(leaseId).settledSeconds, 4 hours);
    }

    function test_WhenEndIsNearer() external {
        skipTo(terms.start + 4 hours);
        giveNoticeAs(PROVIDER, terms);
        skip(59 minutes);
        giveNoticeAs(RENTER, terms);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start + 5 hours, 5 hours);
    }

    function test_WhenProviderRentsFromItself() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        token.mint(PROVIDER, 36e6);
        vm.prank(PROVIDER);
        token.approve(address(market), 36e6);
        terms = defaultTerms();
        terms.renter = PROVIDER;
        terms.offer.validUntil = terms.end;
        leaseId = openLease(terms);
        giveNoticeAs(PROVIDER, terms);
        _assertEnd(terms.start + 1 hours, 9 hours);
    }

    function test_WhenADisputeIsOpen() external {
        skipTo(terms.start + 4 hours);
        postProof(terms, 4 hours);
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        giveNoticeAs(PROVIDER, terms);
        LeaseState memory state = market.leaseState(leaseId);
        assertEq(state.pendingSeconds, 4 hours);
        assertEq(state.settledSeconds, 0);
        assertEq(state.openDisputes, 1);
        _assertEnd(terms.start + 5 hours + CHALLENGE_SECONDS, 5 hours - CHALLENGE_SECONDS);
    }

    function test_WhenNoticeIsGiven() external {
        giveNoticeAs(RENTER, terms);
        assertEq(market.leaseState(leaseId).flags, LeaseFlags.CLOSING);
        giveNoticeAs(PROVIDER, terms);
        assertEq(market.leaseState(leaseId).flags, LeaseFlags.CLOSING | LeaseFlags.PROVIDER_FAILED);
    }

    function testFuzz_EndNeverMovesAwayAndStaysFunded(uint256 seed) external {
        uint256 end = terms.end;
        uint256 owed = 10 hours;
        for (uint256 i = 0; i < 6; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            skip(seed % 4 hours);
            bool byProvider = (seed >> 128) % 2 == 0;
            if (vm.getBlockTimestamp() >= end) break;
            giveNoticeAs(byProvider ? PROVIDER : RENTER, terms);
            uint256 newEnd = endOf(terms);
            LeaseState memory state = market.leaseState(leaseId);
            assertLe(newEnd, end);
            assertGe(newEnd, terms.start);
            assertGe(uint256(state.deposit) * 3600, uint256(terms.offer.pricePerHour) * state.endOffset);
            uint256 newOwed = uint256(state.endOffset) + state.penaltySeconds;
            if (byProvider) assertEq(newOwed, owed, "the provider's own cut stays owed");
            else assertLe(newOwed, owed);
            (end, owed) = (newEnd, newOwed);
        }
    }

    function testFuzz_ANoticeOfTheRenterNeverChangesWhatIsOwedAfterOneOfTheProvider(
        uint32 first,
        uint32 second
    ) external {
        skip(first % 13 hours);
        giveNoticeAs(PROVIDER, terms);
        LeaseState memory before = market.leaseState(leaseId);
        skip(second % 13 hours);
        if (vm.getBlockTimestamp() >= endOf(terms)) return;
        giveNoticeAs(RENTER, terms);
        LeaseState memory state = market.leaseState(leaseId);
        if (before.penaltySeconds != 0) assertEq(state.endOffset, before.endOffset);
        assertEq(state.penaltySeconds, before.penaltySeconds);
    }

    function _assertEnd(uint256 end, uint32 penaltySeconds) private view {
        assertEq(endOf(terms), end, "end");
        assertEq(market.leaseState(leaseId).penaltySeconds, penaltySeconds, "penalty");
    }

    function _closeAtEnd() private {
        uint256 end = endOf(terms);
        skipTo(end - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILeaseBook.LeaseNotClosable.selector, end + PROOF_GRACE_SECONDS + 1, end - 1
            )
        );
        closeAs(KEEPER, terms);
        skip(1);
        closeAs(KEEPER, terms);
    }
}
