// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { QuorumBase } from "../quorum/QuorumBase.sol";

/// @title What the market asks of the registry, asked without a lease
abstract contract RegistryBase is QuorumBase {
    function bookingOf(bytes32 unitId_, uint168 weeklyHours, uint96 bond)
        internal
        view
        returns (IProviderRegistry.Booking memory)
    {
        return IProviderRegistry.Booking({
            provider: PROVIDER,
            unitId: unitId_,
            gpuClass: "RTX 4090",
            gpuCount: 2,
            epoch: 0,
            bond: bond,
            weeklyHours: weeklyHours
        });
    }

    function lockAsMarket(IProviderRegistry.Booking memory booking) internal {
        vm.prank(address(market));
        registry.lock(booking);
    }
}
