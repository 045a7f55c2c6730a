// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { stdError } from "forge-std/StdError.sol";

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { RegistryBase } from "./RegistryBase.sol";

contract MarketOnlyTest is RegistryBase {
    uint168 private constant NIGHTS = 0xff;

    function test_RevertWhen_AnotherLocks() external {
        Booking memory booking = _booking(NIGHTS);
        _expectOnlyMarket();
        lockAs(OWNER, booking);
    }

    function test_RevertWhen_AnotherReleasesHours() external {
        _expectOnlyMarket();
        vm.prank(OWNER);
        registry.releaseHours(unitId, NIGHTS);
    }

    function test_RevertWhen_AnotherReleasesABond() external {
        _expectOnlyMarket();
        vm.prank(OWNER);
        registry.release(PROVIDER, unitId, 0, BOND, RENTER, BOND);
    }

    function test_RevertWhen_UnitIsUnknown() external {
        Booking memory booking = _booking(NIGHTS);
        booking.unitId = "unknown";
        _expectMismatch("unknown", address(0), 0, 0);
        lockAsMarket(booking);
    }

    function test_RevertWhen_UnitIsOfAnotherProvider() external {
        Booking memory booking = _booking(NIGHTS);
        booking.provider = STRANGER;
        _expectUnitMismatch();
        lockAsMarket(booking);
    }

    function test_RevertWhen_UnitHasAnotherClass() external {
        Booking memory booking = _booking(NIGHTS);
        booking.gpuClass = "H100";
        _expectUnitMismatch();
        lockAsMarket(booking);
    }

    function test_RevertWhen_UnitHasAnotherCount() external {
        Booking memory booking = _booking(NIGHTS);
        booking.gpuCount = 4;
        _expectUnitMismatch();
        lockAsMarket(booking);
    }

    function test_RevertWhen_OneHourIsTaken() external {
        lockAsMarket(_booking(NIGHTS));
        Booking memory booking = _booking(0x180);
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.HoursTaken.selector, unitId, NIGHTS, uint168(0x180))
        );
        lockAsMarket(booking);
    }

    function test_RevertWhen_BondExceedsFreeStake() external {
        Booking memory booking = _booking(NIGHTS);
        booking.bond = STAKE;
        lockAsMarket(booking);
        booking.bond = 1;
        booking.weeklyHours = 0x100;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.InsufficientFreeStake.selector, 1, 0));
        lockAsMarket(booking);
    }

    function test_RevertWhen_EpochIsOver() external {
        vm.prank(PROVIDER);
        registry.raiseEpoch();
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.EpochMismatch.selector, 1, 0));
        lockAsMarket(_booking(NIGHTS));
    }

    function test_RevertWhen_EpochIsToCome() external {
        Booking memory booking = _booking(NIGHTS);
        booking.epoch = 1;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.EpochMismatch.selector, 0, 1));
        lockAsMarket(booking);
    }

    function test_WhenMarketLocks() external {
        Booking memory booking = _booking(NIGHTS);
        lockAsMarket(booking);
        booking.weeklyHours = 0xf00;
        lockAsMarket(booking);
        assertEq(bookedHoursOf(unitId), 0xfff);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE);
        assertEq(locked, 2 * BOND);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE - 2 * BOND);
    }

    function test_WhenMarketReleasesSomeHours() external {
        lockAsMarket(_booking(0xfff));
        vm.prank(address(market));
        registry.releaseHours(unitId, 0x0f0);
        assertEq(bookedHoursOf(unitId), 0xf0f);
    }

    function test_WhenMarketReleasesABond() external {
        lockAsMarket(_booking(NIGHTS));
        _release(BOND, 7);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - 7);
        assertEq(locked, 0);
        assertEq(registry.compensationOf(RENTER), 7);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE);
    }

    function test_WhenMarketReleasesHoursAndBond() external {
        lockAsMarket(_booking(0xfff));
        vm.prank(address(market));
        registry.release(PROVIDER, unitId, 0x0f0, BOND, RENTER, 0);
        assertEq(bookedHoursOf(unitId), 0xf0f);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE);
        assertEq(locked, 0);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenTheLeaseHadNoBond() external {
        lockAsMarket(bookingOf(unitId, 0xfff, 0));
        vm.prank(address(market));
        registry.release(PROVIDER, unitId, 0x0f0, 0, RENTER, 0);
        assertEq(bookedHoursOf(unitId), 0xf0f);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE);
    }

    function test_RevertWhen_BondWasNeverLocked() external {
        vm.expectRevert(stdError.arithmeticError);
        _release(BOND, 0);
    }

    function _booking(uint168 weeklyHours) private view returns (Booking memory) {
        return bookingOf(unitId, weeklyHours, BOND);
    }

    function _release(uint96 bond, uint96 compensation) private {
        vm.prank(address(market));
        registry.release(PROVIDER, unitId, 0, bond, RENTER, compensation);
    }

    function _expectOnlyMarket() private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.OnlyMarket.selector, address(market), OWNER));
    }

    function _expectUnitMismatch() private {
        _expectMismatch(unitId, PROVIDER, "RTX 4090", 2);
    }

    function _expectMismatch(bytes32 id, address provider, bytes32 gpuClass, uint16 gpuCount) private {
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.UnitMismatch.selector, id, provider, gpuClass, gpuCount)
        );
    }
}
