// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Base } from "../Base.sol";

contract RegistryConstructorTest is Base {
    function test_RevertWhen_StakeTokenIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        new ProviderRegistry(address(0), address(market), quorum, UNBONDING_SECONDS);
    }

    function test_RevertWhen_MarketIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        new ProviderRegistry(address(stakeToken), address(0), quorum, UNBONDING_SECONDS);
    }

    function test_RevertWhen_QuorumIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        new ProviderRegistry(
            address(stakeToken), address(market), IOracleQuorum(address(0)), UNBONDING_SECONDS
        );
    }

    function test_WhenArgumentsAreValid() external {
        ProviderRegistry fresh = new ProviderRegistry(address(stakeToken), address(market), quorum, 77);
        assertEq(fresh.STAKE_TOKEN(), address(stakeToken));
        assertEq(fresh.MARKET(), address(market));
        assertEq(address(fresh.QUORUM()), address(quorum));
        assertEq(fresh.UNBONDING_SECONDS(), 77);
        assertEq(fresh.MAX_GPUS_PER_UNIT(), 64);
    }
}
