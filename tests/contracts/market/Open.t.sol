// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { LeaseState, LeaseStatus, Offer, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { HookToken } from "../mocks/HookToken.sol";

contract OpenTest is Base {
    Terms private terms;
    bytes32 private offerHash;

    function setUp() public override {
        super.setUp();
        terms = defaultTerms();
        offerHash = listOffer(terms.offer);
    }

    function test_RevertWhen_RenterIsZero() external {
        terms.renter = address(0);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ZeroAddress.selector));
    }

    function test_RevertWhen_TermsNameAGang() external {
        terms.gangId = "gang";
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseIsInGang.selector, bytes32("gang")));
    }

    function test_RevertWhen_TokenIsNoLongerAllowed() external {
        vm.prank(OWNER);
        amendments.setToken(address(token), false, FEE_BPS);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.TokenNotAllowed.selector, address(token)));
    }

    function test_RevertWhen_FeeIsNotOfToday() external {
        uint16[2] memory today = [FEE_BPS - 1, FEE_BPS + 1];
        for (uint256 i = 0; i < today.length; ++i) {
            vm.prank(OWNER);
            amendments.setToken(address(token), true, today[i]);
            _expectRevertOf(abi.encodeWithSelector(ILeaseBook.FeeMismatch.selector, today[i], FEE_BPS));
        }
    }

    function test_RevertWhen_OfferIsNotListed() external {
        vm.prank(PROVIDER);
        market.unlist(offerHash);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.OfferNotListed.selector, offerHash));
    }

    function test_RevertWhen_OneTermOfTheOfferDiffers() external {
        terms.offer.pricePerHour -= 1;
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.OfferNotListed.selector, digests.hashOffer(terms.offer))
        );
    }

    function test_RevertWhen_ProviderHasRaisedItsEpoch() external {
        vm.prank(PROVIDER);
        registry.raiseEpoch();
        _expectRevertOf(abi.encodeWithSelector(IProviderRegistry.EpochMismatch.selector, 1, 0));
        terms.offer.salt = uint256(1) << 232;
        listOffer(terms.offer);
        _open();
    }

    function test_RevertWhen_OfferHasExpired() external {
        skip(1 days + 1);
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.OfferExpired.selector, MONDAY + 1 days, MONDAY + 1 days + 1)
        );
    }

    function test_RevertWhen_StartHasPassed() external {
        skip(1);
        _expectRevertOf(
            abi.encodeWithSelector(
                ILeaseBook.StartOutOfRange.selector, MONDAY + 1, MONDAY + 1 + 7 days, MONDAY
            )
        );
    }

    function test_RevertWhen_StartIsMoreThanSevenDaysAhead() external {
        terms.start = MONDAY + 7 days + 1;
        terms.end = terms.start + 10 hours;
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.StartOutOfRange.selector, MONDAY, MONDAY + 7 days, terms.start)
        );
    }

    function test_RevertWhen_EndIsBeforeTheLeastDuration() external {
        terms.end = MONDAY + 2 hours - 1;
        _expectEndOutOfRange(MONDAY + 2 hours);
    }

    function test_RevertWhen_DurationIsZero() external {
        terms.offer.minSeconds = 0;
        listOffer(terms.offer);
        terms.end = MONDAY;
        _expectEndOutOfRange(MONDAY + 1);
    }

    function test_RevertWhen_EndIsAfterMaxEnd() external {
        terms.end = terms.maxEnd + 1;
        _expectEndOutOfRange(MONDAY + 2 hours);
    }

    function test_RevertWhen_MaxEndExceedsTheGreatestDuration() external {
        terms.maxEnd = MONDAY + 30 days + 1;
        _expectRevertOf(
            abi.encodeWithSelector(
                ILeaseBook.MaxEndOutOfRange.selector, terms.end, MONDAY + 30 days, terms.maxEnd
            )
        );
    }

    function test_RevertWhen_HoursAreNotOffered() external {
        terms.offer.weeklyHours = 0xff;
        listOffer(terms.offer);
        terms.weeklyHours = 0x1ff;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.HoursNotOffered.selector, 0xff, 0x1ff));
    }

    function test_RevertWhen_NothingIsScheduled() external {
        terms.weeklyHours = uint168(1) << 10;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.NothingScheduled.selector));
        terms.offer.pricePerHour = 0;
        listOffer(terms.offer);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.NothingScheduled.selector));
    }

    function test_RevertWhen_LeaseExists() external {
        bytes32 leaseId = _open();
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, leaseId));
    }

    function test_RevertWhen_LeaseIsClosed() external {
        // Cancelled and closed at its start: the same terms would be good once more in this very second.
        terms.start = MONDAY + 2 hours;
        terms.end = terms.start + 10 hours;
        bytes32 leaseId = _open();
        giveNoticeAs(RENTER, terms);
        skipTo(terms.start);
        closeAs(RENTER, terms);
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.CLOSED));
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, leaseId));
        terms.salt = 2;
        assertNotEq(_open(), leaseId);
    }

    function test_RevertWhen_HoursAreBooked() external {
        terms.weeklyHours = 0xff;
        _open();
        terms.weeklyHours = 0x180;
        _expectRevertOf(abi.encodeWithSelector(IProviderRegistry.HoursTaken.selector, unitId, 0xff, 0x180));
    }

    function test_RevertWhen_BondExceedsFreeStake() external {
        terms.offer.bond = STAKE + 1;
        listOffer(terms.offer);
        _expectRevertOf(
            abi.encodeWithSelector(IProviderRegistry.InsufficientFreeStake.selector, STAKE + 1, STAKE)
        );
    }

    function test_RevertWhen_UnitHasBeenRetired() external {
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, gpuIdsOf("gpu", 2));
        _expectRevertOf(
            abi.encodeWithSelector(IProviderRegistry.UnitMismatch.selector, unitId, address(0), 0, 0)
        );
    }

    function test_RevertWhen_DepositExceedsItsWidth() external {
        terms.offer.pricePerHour = type(uint96).max;
        listOffer(terms.offer);
        _expectRevertOf(
            abi.encodeWithSelector(
                SafeCast.SafeCastOverflowedUintDowncast.selector, 96, uint256(type(uint96).max) * 10
            )
        );
    }

    function test_RevertWhen_AllowanceIsMissing() external {
        vm.prank(RENTER);
        token.approve(address(market), 36e6 - 1);
        _expectRevertOf(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 36e6 - 1, 36e6
            )
        );
    }

    function test_WhenTermsAreValid() external {
        terms.weeklyHours = 0x3ff;
        bytes32 expected = market.leaseIdOf(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseOpened(expected, RENTER, PROVIDER, offerHash, leaseTermsOf(terms), 36e6);
        assertEq(_open(), expected);

        LeaseState memory state;
        state.deposit = 36e6;
        state.endOffset = 10 hours;
        state.status = LeaseStatus.OPEN;
        assertEq(abi.encode(market.leaseState(expected)), abi.encode(state));
        assertEq(token.balanceOf(address(market)), 36e6);
        assertEq(token.balanceOf(RENTER), 1e15 - 36e6);
        assertEq(bookedHoursOf(unitId), 0x3ff);
        (, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, BOND);
    }

    function test_WhenStartIsSevenDaysAheadAndEndAtItsBounds() external {
        terms.start = MONDAY + 7 days;
        terms.end = terms.start + 2 hours;
        terms.maxEnd = terms.end;
        terms.weeklyHours = 1;
        _open();
        terms.offer.validUntil = MONDAY;
        listOffer(terms.offer);
        terms.end = terms.start + 30 days;
        terms.maxEnd = terms.end;
        terms.weeklyHours = ~uint168(1);
        assertEq(market.leaseState(_open()).endOffset, 30 days);
    }

    function test_WhenPriceDoesNotDivide() external {
        terms.offer.pricePerHour = 1;
        listOffer(terms.offer);
        terms.end = MONDAY + 2 hours + 1;
        assertEq(market.leaseState(_open()).deposit, 3);
    }

    function test_WhenPriceIsZero() external {
        terms.offer.pricePerHour = 0;
        listOffer(terms.offer);
        assertEq(market.leaseState(_open()).deposit, 0);
        skipTo(terms.end);
        (uint96 pay, uint96 fee) = prove(terms, 10 hours);
        assertEq(uint256(pay) + fee, 0);
        closeAs(KEEPER, terms);
    }

    function test_WhenBondIsZero() external {
        terms.offer.bond = 0;
        listOffer(terms.offer);
        _open();
        (, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, 0);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenHoursAreDisjoint() external {
        terms.weeklyHours = 0x0f;
        _open();
        terms.weeklyHours = 0xf0;
        _open();
        assertEq(bookedHoursOf(unitId), 0xff);
        (, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, 2 * BOND);
    }

    function testFuzz_DepositFundsTheEnd(uint96 price, uint168 mask, uint32 delay, uint32 duration) external {
        terms.offer.pricePerHour = price % 1e24;
        listOffer(terms.offer);
        token.mint(RENTER, 1e28);
        terms.start = MONDAY + delay % (7 days + 1);
        terms.end = terms.start + uint40(bound(duration, 2 hours, 30 days));
        terms.maxEnd = terms.end;
        terms.weeklyHours = mask;
        uint256 scheduled = market.scheduledSeconds(mask, terms.start, terms.end);
        if (scheduled == 0) {
            _expectRevertOf(abi.encodeWithSelector(ILeaseBook.NothingScheduled.selector));
            return;
        }
        uint256 deposit = market.leaseState(_open()).deposit;
        assertGe(deposit * 3600, scheduled * terms.offer.pricePerHour);
        assertLt(deposit * 3600, scheduled * terms.offer.pricePerHour + 3600);
        assertEq(token.balanceOf(address(market)), deposit);
    }

    function test_WhenAnotherPays() external {
        token.mint(STRANGER, 36e6);
        vm.startPrank(STRANGER);
        token.approve(address(market), 36e6);
        bytes32 expected = market.leaseIdOf(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseOpened(expected, RENTER, PROVIDER, offerHash, leaseTermsOf(terms), 36e6);
        market.open(terms, LISTED);
        vm.stopPrank();
        assertEq(token.balanceOf(STRANGER), 0);
        assertEq(token.balanceOf(RENTER), 1e15);
        // It is the renter's lease, and so is the refund.
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyParty.selector, RENTER, PROVIDER, STRANGER));
        giveNoticeAs(STRANGER, terms);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6);
        assertEq(creditOf(STRANGER), 0);
    }

    function test_WhenPermitIsUsedInTheSameCall() external {
        _forgetApproval();
        bytes32 expected = market.leaseIdOf(terms);
        (uint8 v, bytes32 r, bytes32 s) = signPermit(token, address(market), 36e6);
        bytes[] memory calls = _callsWithPermit(address(token), v, r, s);
        vm.prank(RENTER);
        bytes[] memory results = amendments.multicall(calls);
        assertEq(abi.decode(results[1], (bytes32)), expected);
        assertEq(token.balanceOf(address(market)), 36e6);
        assertEq(token.allowance(RENTER, address(market)), 0);
    }

    function test_WhenPermitWasSpentBySomebodyElse() external {
        _forgetApproval();
        (uint8 v, bytes32 r, bytes32 s) = signPermit(token, address(market), 36e6);
        vm.prank(STRANGER);
        token.permit(RENTER, address(market), 36e6, block.timestamp, v, r, s);
        bytes[] memory calls = _callsWithPermit(address(token), v, r, s);
        vm.prank(RENTER);
        amendments.multicall(calls);
        assertEq(token.balanceOf(address(market)), 36e6);
    }

    function test_RevertWhen_PermitIsForged() external {
        _forgetApproval();
        (uint8 v, bytes32 r, bytes32 s) = signPermit(token, STRANGER, 36e6);
        bytes[] memory calls = _callsWithPermit(address(token), v, r, s);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 0, 36e6)
        );
        vm.prank(RENTER);
        amendments.multicall(calls);
    }

    function test_RevertWhen_PermitIsOfATokenNotAllowed() external {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.TokenNotAllowed.selector, address(stakeToken)));
        amendments.usePermit(address(stakeToken), 1, block.timestamp, 27, 0, 0);
    }

    function test_WhenTokenHasNoPermit() external {
        HookToken plain = new HookToken();
        plain.mint(RENTER, 36e6);
        vm.prank(RENTER);
        plain.approve(address(market), 36e6);
        allowToken(address(plain));
        terms.offer.token = address(plain);
        listOffer(terms.offer);
        bytes[] memory calls = _callsWithPermit(address(plain), 27, 0, 0);
        vm.prank(RENTER);
        amendments.multicall(calls);
        assertEq(plain.balanceOf(address(market)), 36e6);
    }

    function _callsWithPermit(address token_, uint8 v, bytes32 r, bytes32 s)
        private
        view
        returns (bytes[] memory calls)
    {
        calls = new bytes[](2);
        calls[0] = abi.encodeCall(amendments.usePermit, (token_, 36e6, block.timestamp, v, r, s));
        calls[1] = abi.encodeCall(market.open, (terms, LISTED));
    }

    function _open() private returns (bytes32) {
        vm.prank(RENTER);
        return market.open(terms, LISTED);
    }

    function _forgetApproval() private {
        vm.prank(RENTER);
        token.approve(address(market), 0);
    }

    function _expectEndOutOfRange(uint256 earliest) private {
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.EndOutOfRange.selector, earliest, terms.maxEnd, terms.end)
        );
    }

    function _expectRevertOf(bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }
}
