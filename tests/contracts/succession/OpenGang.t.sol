// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { GangBase } from "./GangBase.sol";

contract OpenGangTest is GangBase {
    uint96 private constant DEPOSIT = 36e6;

    function test_RevertWhen_ThereAreNone() external {
        _expectSizeOutOfRange(0);
    }

    function test_RevertWhen_ThereIsOne() external {
        _expectSizeOutOfRange(1);
    }

    function test_RevertWhen_ThereAreThirtyThree() external {
        _expectSizeOutOfRange(33);
    }

    function test_RevertWhen_ASignatureIsMissing() external {
        Terms[] memory gang = gangOf(2);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LengthMismatch.selector, 2, 1));
        vm.prank(RENTER);
        succession.openGang(gang, new bytes[](1));
    }

    function test_RevertWhen_RentersDiffer() external {
        Terms[] memory gang = gangOf(2);
        gang[1].renter = STRANGER;
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, RENTER, STRANGER));
        openGang(gang);
        _assertNothingOpened(gang);
    }

    function test_RevertWhen_RenterIsZero() external {
        Terms[] memory gang = gangOf(2);
        gang[0].renter = address(0);
        gang[1].renter = address(0);
        nameGang(gang);
        vm.expectRevert(ILeaseBook.ZeroAddress.selector);
        openGang(gang);
    }

    function test_RevertWhen_OneNamesNoGang() external {
        Terms[] memory gang = gangOf(2);
        bytes32 gangId = gang[1].gangId;
        gang[1].gangId = 0;
        _expectGangInvalid(gang, gangId, 0);
        _assertNothingOpened(gang);
    }

    function test_RevertWhen_OneIsLeftOut() external {
        Terms[] memory three = gangOf(3);
        Terms[] memory two = new Terms[](2);
        (two[0], two[1]) = (three[0], three[1]);
        _expectGangInvalid(two, gangIdOf(two), three[0].gangId);
    }

    function test_RevertWhen_OneIsExchanged() external {
        Terms[] memory three = gangOf(3);
        Terms[] memory two = new Terms[](2);
        (two[0], two[1]) = (three[0], three[1]);
        nameGang(two);
        bytes32 named = two[0].gangId;
        two[1] = three[2];
        _expectGangInvalid(two, gangIdOf(two), named);
    }

    function test_RevertWhen_OrderIsChanged() external {
        Terms[] memory gang = gangOf(2);
        bytes32 named = gang[0].gangId;
        (gang[0], gang[1]) = (gang[1], gang[0]);
        _expectGangInvalid(gang, gangIdOf(gang), named);
    }

    function test_RevertWhen_FirstTermsDiffer() external {
        Terms[] memory gang = gangOf(2);
        bytes32 named = gang[0].gangId;
        gang[0].start += 1;
        _expectGangInvalid(gang, gangIdOf(gang), named);
        gang[0].start -= 1;
        gang[0].salt += 1;
        _expectGangInvalid(gang, gangIdOf(gang), named);
    }

    function test_RevertWhen_LastCannotBeOpened() external {
        Terms[] memory gang = gangOf(3);
        Terms memory other = gang[2];
        other.gangId = 0;
        other.renter = STRANGER;
        token.mint(STRANGER, DEPOSIT);
        vm.startPrank(STRANGER);
        token.approve(address(market), DEPOSIT);
        market.open(other, LISTED);
        vm.stopPrank();
        gang[2].renter = RENTER;
        nameGang(gang);
        uint256 held = token.balanceOf(address(market));
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.HoursTaken.selector, gang[2].offer.unitId, ALWAYS, ALWAYS
            )
        );
        openGang(gang);
        _assertNothingOpened(gang);
        assertEq(token.balanceOf(address(market)), held);
    }

    function test_RevertWhen_PayerCannotPayTheLast() external {
        Terms[] memory gang = gangOf(3);
        vm.prank(RENTER);
        token.approve(address(market), 3 * DEPOSIT - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(market), DEPOSIT - 1, DEPOSIT
            )
        );
        openGang(gang);
        _assertNothingOpened(gang);
        assertEq(token.balanceOf(address(market)), 0);
    }

    function test_RevertWhen_AUnitIsThereTwice() external {
        Terms[] memory gang = gangOf(2);
        gang[1] = abi.decode(abi.encode(gang[0]), (Terms));
        gang[1].salt = 2;
        nameGang(gang);
        bytes32 unit = gang[0].offer.unitId;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.HoursTaken.selector, unit, ALWAYS, ALWAYS));
        openGang(gang);
    }

    function test_RevertWhen_ALeaseJoinsLater() external {
        Terms[] memory three = gangOf(3);
        Terms[] memory two = new Terms[](2);
        (two[0], two[1]) = (three[0], three[1]);
        nameGang(two);
        openGang(two);

        Terms memory late = three[2];
        late.gangId = two[0].gangId;
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseIsInGang.selector, late.gangId));
        vm.prank(RENTER);
        market.open(late, LISTED);
        three[0] = two[0];
        three[1] = two[1];
        _expectGangInvalid(three, gangIdOf(three), late.gangId);
    }

    function test_RevertWhen_TheGangIsOpenedAgain() external {
        Terms[] memory gang = gangOf(2);
        for (uint256 i = 0; i < 2; ++i) {
            gang[i].start += 5 hours;
            gang[i].maxEnd = gang[i].end += 5 hours;
        }
        nameGang(gang);
        openGang(gang);
        for (uint256 i = 0; i < 2; ++i) {
            giveNoticeAs(RENTER, gang[i]);
        }
        skipTo(gang[0].start);
        closeAs(KEEPER, gang[0]);
        closeAs(KEEPER, gang[1]);
        // Other members than the first may differ in what is no part of their offers.
        gang[1].salt = 77;
        bytes32 firstId = market.leaseIdOf(gang[0]);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, firstId));
        openGang(gang);
    }

    function test_RevertWhen_NativeCoinComesAlong() external {
        Terms[] memory gang = gangOf(2);
        vm.deal(RENTER, 1);
        vm.prank(RENTER);
        (bool ok,) =
            address(market).call{ value: 1 }(abi.encodeCall(succession.openGang, (gang, new bytes[](2))));
        assertFalse(ok);
        _assertNothingOpened(gang);
    }

    function test_WhenAllAreListed() external {
        Terms[] memory gang = gangOf(3);
        bytes32[] memory expected = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            expected[i] = market.leaseIdOf(gang[i]);
            vm.expectEmit(address(market));
            emit ILeaseBook.LeaseOpened(
                expected[i],
                RENTER,
                gang[i].offer.provider,
                digests.hashOffer(gang[i].offer),
                leaseTermsOf(gang[i]),
                DEPOSIT
            );
        }
        bytes32[] memory leaseIds = openGang(gang);
        assertEq(abi.encode(leaseIds), abi.encode(expected));
        _assertOpened(gang);
        assertEq(token.balanceOf(address(market)), 3 * DEPOSIT);
        (, uint96 locked) = stakeOf(NEXT_PROVIDER);
        assertEq(locked, 20e18);
    }

    function test_WhenOffersAreOnlySigned() external {
        Terms[] memory gang = gangOf(2);
        bytes[] memory signatures = new bytes[](2);
        signatures[0] = signAs(PROVIDER_KEY, digests.hashOffer(gang[0].offer));
        signatures[1] = signAs(NEXT_PROVIDER_KEY, digests.hashOffer(gang[1].offer));
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 offerHash = digests.hashOffer(gang[i].offer);
            vm.prank(gang[i].offer.provider);
            market.unlist(offerHash);
        }
        vm.prank(RENTER);
        succession.openGang(gang, signatures);
        _assertOpened(gang);
    }

    function test_WhenAnotherPays() external {
        Terms[] memory gang = gangOf(2);
        token.mint(STRANGER, 2 * DEPOSIT);
        vm.startPrank(STRANGER);
        token.approve(address(market), 2 * DEPOSIT);
        succession.openGang(gang, new bytes[](2));
        vm.stopPrank();
        assertEq(token.balanceOf(STRANGER), 0);
        skipPastLastPost(gang[0]);
        closeAs(KEEPER, gang[0]);
        assertEq(creditOf(RENTER), DEPOSIT, "the leases are the renter's");
    }

    function test_WhenThereAreThirtyTwo() external {
        Terms[] memory gang = gangOf(32);
        openGang(gang);
        _assertOpened(gang);
        assertEq(token.balanceOf(address(market)), 32 * uint256(DEPOSIT));
    }

    function test_WhenTokensDiffer() external {
        Terms[] memory gang = gangOf(2);
        gang[1].offer.token = address(wrapped);
        listOffer(gang[1].offer);
        nameGang(gang);
        vm.deal(RENTER, DEPOSIT);
        vm.startPrank(RENTER);
        wrapped.deposit{ value: DEPOSIT }();
        wrapped.approve(address(market), DEPOSIT);
        vm.stopPrank();
        openGang(gang);
        assertEq(token.balanceOf(address(market)), DEPOSIT);
        assertEq(wrapped.balanceOf(address(market)), DEPOSIT);
    }

    /// A gang's failure must let nobody out of a later gang's least durations.
    function test_Attack_AGangOfTheSameOffersInheritsAFailure() external {
        Terms[] memory gang = gangOf(2);
        openGang(gang);
        giveNoticeAs(PROVIDER, gang[0]);
        Terms memory failed = gang[0];
        _closeBoth(gang);

        Terms[] memory later = new Terms[](2);
        for (uint256 i = 0; i < 2; ++i) {
            later[i] = abi.decode(abi.encode(gang[i]), (Terms));
            later[i].start = uint40(vm.getBlockTimestamp());
            later[i].end = later[i].start + 10 hours;
            later[i].maxEnd = later[i].end;
        }
        _expectGangInvalid(later, gangIdOf(later), failed.gangId);
        nameGang(later);
        openGang(later);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.GangInvalid.selector, later[1].gangId, failed.gangId)
        );
        vm.prank(RENTER);
        amendments.giveNoticeInGang(later[1], failed, 0);
    }

    function _closeBoth(Terms[] memory gang) private {
        skipPastLastPost(gang[1]);
        closeAs(KEEPER, gang[0]);
        closeAs(KEEPER, gang[1]);
    }

    function _expectSizeOutOfRange(uint256 size) private {
        Terms[] memory gang = new Terms[](size);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.GangSizeOutOfRange.selector, 32, size));
        openGang(gang);
    }

    function _expectGangInvalid(Terms[] memory gang, bytes32 expected, bytes32 actual) private {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.GangInvalid.selector, expected, actual));
        openGang(gang);
    }

    function _assertOpened(Terms[] memory gang) private view {
        for (uint256 i = 0; i < gang.length; ++i) {
            assertEq(uint8(stateOf(gang[i]).status), uint8(LeaseStatus.OPEN));
            assertEq(stateOf(gang[i]).deposit, DEPOSIT);
            assertEq(bookedHoursOf(gang[i].offer.unitId), ALWAYS);
        }
    }

    function _assertNothingOpened(Terms[] memory gang) private view {
        for (uint256 i = 0; i < gang.length; ++i) {
            assertEq(uint8(stateOf(gang[i]).status), uint8(LeaseStatus.NONE));
        }
        assertEq(bookedHoursOf(unitId), 0);
    }
}
