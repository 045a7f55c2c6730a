// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { stdError } from "forge-std/StdError.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { HookToken } from "../mocks/HookToken.sol";
import { SkewedToken } from "../mocks/SkewedToken.sol";
import { RegistryBase } from "./RegistryBase.sol";

contract SlashTest is RegistryBase {
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    function test_RevertWhen_AnotherSlashes() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.OnlyMarket.selector, address(market), COURT));
        vm.prank(COURT);
        registry.slash(PROVIDER, BOND, RENTER, 0, COURT, 0);
    }

    function test_RevertWhen_MoreIsGivenThanTheBond() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        vm.expectRevert(stdError.arithmeticError);
        _slash(BOND, 0.5e18, BOND - 0.5e18 + 1);
    }

    function test_RevertWhen_NothingIsLocked() external {
        vm.expectRevert(stdError.arithmeticError);
        _slash(1, 0, 0);
    }

    function test_WhenTheMarketSlashes() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        lockAsMarket(bookingOf(unitId, 2, BOND));
        vm.expectEmit(address(registry));
        emit IProviderRegistry.Slashed(PROVIDER, RENTER, 7, 11, BOND - 18);
        _slash(BOND, 7, 11);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, BOND);
        assertEq(registry.compensationOf(RENTER), 7);
        assertEq(registry.compensationOf(COURT), 11);
        assertEq(registry.burned(), BOND - 18);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE);
        vm.prank(COURT);
        assertEq(registry.withdrawCompensation(COURT), 11);
    }

    function test_WhenTheRestIsUnbonding() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        vm.prank(PROVIDER);
        registry.startUnbonding(STAKE - BOND);
        _slash(BOND, 0, 0);
        assertEq(registry.freeStakeOf(PROVIDER), 0);
        skip(UNBONDING_SECONDS);
        vm.prank(PROVIDER);
        assertEq(registry.withdrawStake(STRANGER), STAKE - BOND);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, 0);
        assertEq(locked, 0);
        assertEq(stakeToken.balanceOf(address(registry)), registry.burned());
    }

    function test_RevertWhen_NothingWasBurned() external {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NothingToWithdraw.selector, NOBODY));
        registry.sweepBurned();
    }

    function test_WhenSomethingWasBurned() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        _slash(BOND, 7, 11);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.BurnedSwept(BOND - 18);
        vm.prank(STRANGER);
        assertEq(registry.sweepBurned(), BOND - 18);
        assertEq(registry.burned(), 0);
        assertEq(stakeToken.balanceOf(NOBODY), BOND - 18);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE - BOND + 18);
    }

    function test_RevertWhen_TheTokenTakesAFeeOfTheSweep() external {
        SkewedToken skewed = new SkewedToken();
        skewed.mint(PROVIDER, 100);
        ProviderRegistry other = _slashedRegistry(address(skewed));
        skewed.setSkew(-1, true);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 40, 41));
        other.sweepBurned();
        assertEq(other.burned(), 40);
    }

    function test_Attack_TheTokenSweepsTwice() external {
        HookToken hook = new HookToken();
        hook.mint(PROVIDER, 100);
        ProviderRegistry other = _slashedRegistry(address(hook));
        hook.arm(address(other), abi.encodeCall(other.sweepBurned, ()));
        assertEq(other.sweepBurned(), 40);
        assertEq(hook.hookCalls(), 1);
        assertFalse(hook.hookSucceeded());
        assertEq(
            hook.hookResult(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
        assertEq(hook.balanceOf(NOBODY), 40);
    }

    function testFuzz_WhatIsSlashedIsSharedOut(
        uint96 bond,
        uint96 restitution,
        uint96 reward,
        uint96 unbonding
    ) external {
        bond = uint96(bound(bond, 1, STAKE));
        restitution = uint96(bound(restitution, 0, bond));
        reward = uint96(bound(reward, 0, bond - restitution));
        lockAsMarket(bookingOf(unitId, 1, bond));
        unbonding = uint96(bound(unbonding, 0, STAKE - bond));
        if (unbonding != 0) {
            vm.prank(PROVIDER);
            registry.startUnbonding(unbonding);
        }
        _slash(bond, restitution, reward);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE - bond - unbonding);
        assertEq(
            uint256(registry.compensationOf(RENTER)) + registry.compensationOf(COURT) + registry.burned(),
            bond
        );
    }

    /// 100 staked, 50 of it slashed, 40 of that burned. This contract stands for the market.
    function _slashedRegistry(address token_) private returns (ProviderRegistry other) {
        other = new ProviderRegistry(token_, address(this), quorum, UNBONDING_SECONDS);
        vm.startPrank(PROVIDER);
        HookToken(token_).approve(address(other), 100);
        other.stake(100);
        bytes32 id = other.registerUnit(unitOf(PROVIDER, WORKER, "node", 2), gpuIdsOf("gpu", 2));
        vm.stopPrank();
        other.lock(PROVIDER, id, "RTX 4090", 2, 0, 50, 1);
        other.slash(PROVIDER, 50, RENTER, 10, COURT, 0);
    }

    function _slash(uint96 bond, uint96 restitution, uint96 reward) private {
        vm.prank(address(market));
        registry.slash(PROVIDER, bond, RENTER, restitution, COURT, reward);
    }
}
