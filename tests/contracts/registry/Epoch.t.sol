// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { RegistryBase } from "./RegistryBase.sol";

contract EpochTest is RegistryBase {
    function test_WhenTheProviderRaises() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        vm.expectEmit(address(registry));
        emit IProviderRegistry.EpochRaised(PROVIDER, 1);
        vm.prank(PROVIDER);
        assertEq(registry.raiseEpoch(), 1);
        (IProviderRegistry.StakeAccount memory account,) = registry.stakeOf(PROVIDER);
        assertEq(account.epoch, 1);
        assertEq(account.stake, STAKE);
        // What is open goes on.
        assertEq(account.locked, BOND);
        assertEq(bookedHoursOf(unitId), 1);
        Booking memory booking = bookingOf(unitId, 2, BOND);
        booking.epoch = 1;
        lockAsMarket(booking);
        assertEq(bookedHoursOf(unitId), 3);
    }

    function test_WhenAnotherRaises() external {
        vm.prank(STRANGER);
        assertEq(registry.raiseEpoch(), 1);
        vm.prank(STRANGER);
        assertEq(registry.raiseEpoch(), 2);
        lockAsMarket(bookingOf(unitId, 1, BOND));
    }
}
