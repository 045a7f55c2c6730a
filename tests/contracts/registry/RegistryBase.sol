// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { QuorumBase } from "../quorum/QuorumBase.sol";

/// @title What the market asks of the registry, asked without a lease
abstract contract RegistryBase is QuorumBase {
    /// What a new lease takes of its provider.
    struct Booking {
        address provider;
        bytes32 unitId;
        bytes32 gpuClass;
        uint16 gpuCount;
        uint24 epoch;
        uint96 bond;
        uint168 weeklyHours;
    }

    function bookingOf(bytes32 unitId_, uint168 weeklyHours, uint96 bond)
        internal
        view
        returns (Booking memory)
    {
        return Booking({
            provider: PROVIDER,
            unitId: unitId_,
            gpuClass: "RTX 4090",
            gpuCount: 2,
            epoch: 0,
            bond: bond,
            weeklyHours: weeklyHours
        });
    }

    function lockAsMarket(Booking memory booking) internal {
        lockAs(address(market), booking);
    }

    function lockAs(address caller, Booking memory booking) internal {
        vm.prank(caller);
        registry.lock(
            booking.provider,
            booking.unitId,
            booking.gpuClass,
            booking.gpuCount,
            booking.epoch,
            booking.bond,
            booking.weeklyHours
        );
    }
}
