// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { LeaseState, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract ExtendTest is Base {
    Terms private terms;
    bytes32 private leaseId;

    /// A lease of ten hours that may be topped up to twenty, on an offer of at most thirty days.
    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
        token.mint(STRANGER, 1e15);
        vm.prank(STRANGER);
        token.approve(address(market), type(uint256).max);
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        _expectBoth(terms.maxEnd, leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        _expectBoth(terms.maxEnd, leaseNotOpen(leaseId, LeaseStatus.CLOSED));
    }

    function test_RevertWhen_LeaseIsBreached() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        breach(terms);
        _expectBoth(terms.maxEnd, leaseNotOpen(leaseId, LeaseStatus.BREACHED));
    }

    function test_RevertWhen_LeaseHasEnded() external {
        skipTo(terms.end);
        _expectBoth(
            terms.maxEnd, abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end)
        );
    }

    function test_RevertWhen_RenterHasGivenNotice() external {
        skip(3 hours);
        giveNoticeAs(RENTER, terms);
        _expectBoth(terms.maxEnd, abi.encodeWithSelector(ILeaseBook.LeaseClosing.selector, leaseId));
    }

    function test_RevertWhen_ProviderHasGivenNotice() external {
        // Too late to matter, but the end moves away no more.
        skipTo(terms.end - 1);
        giveNoticeAs(PROVIDER, terms);
        assertEq(endOf(terms), terms.end);
        _expectBoth(terms.maxEnd, abi.encodeWithSelector(ILeaseBook.LeaseClosing.selector, leaseId));
    }

    function test_RevertWhen_NewEndIsNotLater() external {
        _expectTopUp(
            terms.end,
            abi.encodeWithSelector(ILeaseBook.EndOutOfRange.selector, terms.end + 1, terms.maxEnd, terms.end)
        );
        _expectExtend(
            terms.end,
            abi.encodeWithSelector(
                ILeaseBook.EndOutOfRange.selector, terms.end + 1, MONDAY + 30 days, terms.end
            )
        );
    }

    function test_RevertWhen_TopUpPassesMaxEnd() external {
        _expectTopUp(
            terms.maxEnd + 1,
            abi.encodeWithSelector(
                ILeaseBook.EndOutOfRange.selector, terms.end + 1, terms.maxEnd, terms.maxEnd + 1
            )
        );
    }

    function test_RevertWhen_PayersAllowanceIsMissing() external {
        vm.prank(STRANGER);
        token.approve(address(market), 36e6 - 1);
        _expectTopUp(
            terms.maxEnd,
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 36e6 - 1, 36e6
            )
        );
    }

    function test_WhenAnyoneTopsUp() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseExtended(leaseId, STRANGER, terms.end + 1 hours, 39.6e6);
        _topUp(terms.end + 1 hours);
        LeaseState memory state = market.leaseState(leaseId);
        assertEq(state.deposit, 39.6e6);
        assertEq(state.endOffset, 11 hours);
        assertEq(token.balanceOf(STRANGER), 1e15 - 3.6e6);
        assertEq(token.balanceOf(address(market)), 39.6e6);
        assertEq(market.leaseIdOf(terms), leaseId, "the terms stay as they were opened");
        // Their end counts no more: a new second can be proven and is paid.
        skipTo(terms.end + 1 hours);
        (uint96 pay, uint96 fee) = prove(terms, 11 hours);
        assertEq(uint256(pay) + fee, 39.6e6);
        closeAs(KEEPER, terms);
    }

    function test_WhenToppedUpToMaxEnd() external {
        skipTo(terms.end - 1);
        _topUp(terms.maxEnd);
        assertEq(endOf(terms), terms.maxEnd);
    }

    function test_WhenAProofHasMatured() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        _topUp(terms.maxEnd);
        assertEq(market.leaseState(leaseId).settledSeconds, 1 hours);
        assertEq(creditOf(PROVIDER), 3_528_000);
    }

    function test_WhenADisputeIsOpen() external {
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        _topUp(terms.maxEnd);
        LeaseState memory state = market.leaseState(leaseId);
        assertEq(state.settledSeconds, 0);
        assertEq(state.pendingSeconds, 1 hours);
        assertEq(state.proofHash, proofHash);
    }

    function test_WhenNothingMoreIsScheduled() external {
        Terms memory masked = termsOfAnotherUnit("masked");
        masked.weeklyHours = 0x3ff;
        openLease(masked);
        vm.prank(STRANGER);
        market.topUp(masked, masked.maxEnd);
        LeaseState memory state = stateOf(masked);
        assertEq(state.endOffset, 20 hours);
        assertEq(state.deposit, 36e6);
        assertEq(token.balanceOf(STRANGER), 1e15);
    }

    function test_RevertWhen_AnotherExtends() external {
        address[4] memory others = [PROVIDER, WORKER, OWNER, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, RENTER, others[i]));
            vm.prank(others[i]);
            amendments.extend(terms, terms.maxEnd);
        }
    }

    function test_RevertWhen_RenterBeforeATransferExtends() external {
        transferLease(terms, STRANGER, STRANGER_KEY);
        _expectExtend(terms.maxEnd, abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, STRANGER, RENTER));
    }

    function test_RevertWhen_ExtensionPassesTheGreatestDuration() external {
        _expectExtend(
            MONDAY + 30 days + 1,
            abi.encodeWithSelector(
                ILeaseBook.EndOutOfRange.selector, terms.end + 1, MONDAY + 30 days, MONDAY + 30 days + 1
            )
        );
    }

    function test_RevertWhen_ExtensionPassesTheHorizon() external {
        terms = termsOfAnotherUnit("long");
        terms.offer.maxSeconds = 500 days;
        bytes memory signature = signOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, signature);
        _expectExtend(
            MONDAY + 400 days + 1,
            abi.encodeWithSelector(
                ILeaseBook.EndOutOfRange.selector, terms.end + 1, MONDAY + 400 days, MONDAY + 400 days + 1
            )
        );
        _extend(RENTER, MONDAY + 400 days);
    }

    function test_WhenRenterExtendsBeyondMaxEnd() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseExtended(leaseId, RENTER, MONDAY + 30 days, 2592e6);
        _extend(RENTER, MONDAY + 30 days);
        assertEq(endOf(terms), MONDAY + 30 days);
        assertEq(token.balanceOf(RENTER), 1e15 - 2592e6);
        // What anybody may top up has not grown with it.
        _expectTopUp(
            MONDAY + 30 days,
            abi.encodeWithSelector(
                ILeaseBook.EndOutOfRange.selector, MONDAY + 30 days + 1, terms.maxEnd, MONDAY + 30 days
            )
        );
    }

    function test_WhenRenterAfterATransferExtends() external {
        transferLease(terms, STRANGER, STRANGER_KEY);
        _extend(STRANGER, terms.maxEnd + 1);
        assertEq(endOf(terms), terms.maxEnd + 1);
    }

    function test_WhenFeeAndTokenHaveChanged() external {
        vm.prank(OWNER);
        amendments.setToken(address(token), false, 300);
        _extend(RENTER, terms.maxEnd);
        skip(1 hours);
        (, uint96 fee) = prove(terms, 1 hours);
        assertEq(fee, 72_000);
    }

    function testFuzz_ManyStepsCostAsMuchAsOne(uint96 price, uint168 mask, uint256 seed) external {
        Terms memory stepwise = termsOfAnotherUnit("stepwise");
        stepwise.offer.pricePerHour = price % 1e24;
        stepwise.offer.minSeconds = 1;
        stepwise.weeklyHours = mask | 1;
        stepwise.end = stepwise.start + 1;
        stepwise.maxEnd = stepwise.start + 30 days;
        token.mint(RENTER, 1e28);
        bytes32 id = openLease(stepwise);
        uint256 balance = token.balanceOf(RENTER) + market.leaseState(id).deposit;
        for (uint256 i = 0; i < 5; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 end = endOf(stepwise) + 1 + seed % 6 days;
            vm.prank(RENTER);
            market.topUp(stepwise, uint40(end > stepwise.maxEnd ? stepwise.maxEnd : end));
            uint256 deposit = market.leaseState(id).deposit;
            uint256 scheduled =
                market.scheduledSeconds(stepwise.weeklyHours, stepwise.start, uint40(endOf(stepwise)));
            uint256 due = scheduled * stepwise.offer.pricePerHour;
            assertEq(deposit, (due + 3599) / 3600);
            assertEq(token.balanceOf(RENTER), balance - deposit);
            if (endOf(stepwise) == stepwise.maxEnd) return;
        }
    }

    function _topUp(uint40 end) private {
        vm.prank(STRANGER);
        market.topUp(terms, end);
    }

    function _extend(address renter, uint40 end) private {
        vm.prank(renter);
        amendments.extend(terms, end);
    }

    function _expectTopUp(uint40 end, bytes memory reason) private {
        vm.expectRevert(reason);
        _topUp(end);
    }

    function _expectExtend(uint40 end, bytes memory reason) private {
        vm.expectRevert(reason);
        _extend(RENTER, end);
    }

    function _expectBoth(uint40 end, bytes memory reason) private {
        _expectTopUp(end, reason);
        _expectExtend(end, reason);
    }
}
