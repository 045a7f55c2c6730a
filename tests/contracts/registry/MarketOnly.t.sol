// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { stdError } from "forge-std/StdError.sol";

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Offer } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract MarketOnlyTest is Base {
    uint168 private constant NIGHTS = 0xff;

    function test_RevertWhen_AnotherLocks() external {
        Offer memory offer = defaultOffer();
        _expectOnlyMarket();
        vm.prank(OWNER);
        registry.lock(offer, NIGHTS);
    }

    function test_RevertWhen_AnotherReleasesHours() external {
        _expectOnlyMarket();
        vm.prank(OWNER);
        registry.releaseHours(unitId, NIGHTS);
    }

    function test_RevertWhen_AnotherReleasesABond() external {
        _expectOnlyMarket();
        vm.prank(OWNER);
        registry.releaseBond(PROVIDER, RENTER, BOND, BOND);
    }

    function test_RevertWhen_UnitIsUnknown() external {
        Offer memory offer = defaultOffer();
        offer.unitId = "unknown";
        _expectMismatch("unknown", address(0), 0, 0);
        _lock(offer, NIGHTS);
    }

    function test_RevertWhen_UnitIsOfAnotherProvider() external {
        Offer memory offer = defaultOffer();
        offer.provider = STRANGER;
        _expectUnitMismatch();
        _lock(offer, NIGHTS);
    }

    function test_RevertWhen_UnitHasAnotherClass() external {
        Offer memory offer = defaultOffer();
        offer.gpuClass = "H100";
        _expectUnitMismatch();
        _lock(offer, NIGHTS);
    }

    function test_RevertWhen_UnitHasAnotherCount() external {
        Offer memory offer = defaultOffer();
        offer.gpuCount = 4;
        _expectUnitMismatch();
        _lock(offer, NIGHTS);
    }

    function test_RevertWhen_OneHourIsTaken() external {
        _lock(defaultOffer(), NIGHTS);
        Offer memory offer = defaultOffer();
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.HoursTaken.selector, unitId, NIGHTS, uint168(0x180))
        );
        _lock(offer, 0x180);
    }

    function test_RevertWhen_BondExceedsFreeStake() external {
        Offer memory offer = defaultOffer();
        offer.bond = STAKE;
        _lock(offer, 1);
        offer.bond = 1;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.InsufficientFreeStake.selector, 1, 0));
        _lock(offer, 2);
    }

    function test_WhenMarketLocks() external {
        Offer memory offer = defaultOffer();
        _lock(offer, NIGHTS);
        _lock(offer, 0xf00);
        assertEq(bookedHoursOf(unitId), 0xfff);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE);
        assertEq(locked, 2 * BOND);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE - 2 * BOND);
    }

    function test_WhenMarketReleasesSomeHours() external {
        _lock(defaultOffer(), 0xfff);
        vm.prank(address(market));
        registry.releaseHours(unitId, 0x0f0);
        assertEq(bookedHoursOf(unitId), 0xf0f);
    }

    function test_WhenMarketReleasesABond() external {
        _lock(defaultOffer(), NIGHTS);
        _release(BOND, 7);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - 7);
        assertEq(locked, 0);
        assertEq(registry.compensationOf(RENTER), 7);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE);
    }

    function test_RevertWhen_BondWasNeverLocked() external {
        vm.expectRevert(stdError.arithmeticError);
        _release(BOND, 0);
    }

    function _lock(Offer memory offer, uint168 hours_) private {
        vm.prank(address(market));
        registry.lock(offer, hours_);
    }

    function _release(uint96 bond, uint96 compensation) private {
        vm.prank(address(market));
        registry.releaseBond(PROVIDER, RENTER, bond, compensation);
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
