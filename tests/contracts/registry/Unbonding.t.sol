// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract UnbondingTest is Base {
    function test_RevertWhen_AmountIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAmount.selector);
        _startUnbonding(0);
    }

    function test_RevertWhen_AmountExceedsTheStake() external {
        _expectInsufficient(STAKE + 1, STAKE);
        _startUnbonding(STAKE + 1);
    }

    function test_RevertWhen_StakeIsLocked() external {
        openDefault();
        _expectInsufficient(STAKE, STAKE - BOND);
        _startUnbonding(STAKE);
    }

    function test_RevertWhen_StakeIsUnbondingAlready() external {
        _startUnbonding(STAKE);
        _expectInsufficient(1, 0);
        _startUnbonding(1);
    }

    function test_WhenStakeIsFree() external {
        vm.expectEmit(address(registry));
        emit IProviderRegistry.UnbondingStarted(PROVIDER, 5e18, MONDAY + UNBONDING_SECONDS);
        _startUnbonding(5e18);
        (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(PROVIDER);
        assertEq(account.stake, STAKE);
        assertEq(account.unbondAt, MONDAY + UNBONDING_SECONDS);
        assertEq(unbonding, 5e18);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE - 5e18);
    }

    function test_WhenStartedAgain() external {
        _startUnbonding(5e18);
        skip(UNBONDING_SECONDS - 1);
        uint40 unbondAt = uint40(vm.getBlockTimestamp()) + UNBONDING_SECONDS;
        vm.expectEmit(address(registry));
        emit IProviderRegistry.UnbondingStarted(PROVIDER, 7e18, unbondAt);
        _startUnbonding(2e18);
        skip(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.StillUnbonding.selector, unbondAt, vm.getBlockTimestamp()
            )
        );
        _withdraw();
    }

    function test_RevertWhen_NothingIsUnbonding() external {
        vm.expectRevert(IProviderRegistry.NothingUnbonding.selector);
        vm.prank(PROVIDER);
        registry.cancelUnbonding();
    }

    function test_WhenSomethingIsUnbonding() external {
        _startUnbonding(5e18);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.UnbondingCancelled(PROVIDER, 5e18);
        vm.prank(PROVIDER);
        registry.cancelUnbonding();
        (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(PROVIDER);
        assertEq(account.stake, STAKE);
        assertEq(account.unbondAt, 0);
        assertEq(unbonding, 0);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE);
    }

    function test_RevertWhen_RecipientIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        vm.prank(PROVIDER);
        registry.withdrawStake(address(0));
    }

    function test_RevertWhen_NothingHasUnbonded() external {
        vm.expectRevert(IProviderRegistry.NothingUnbonding.selector);
        _withdraw();
    }

    function test_RevertWhen_DelayIsNotOver() external {
        _startUnbonding(STAKE);
        skip(UNBONDING_SECONDS - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.StillUnbonding.selector,
                MONDAY + UNBONDING_SECONDS,
                MONDAY + UNBONDING_SECONDS - 1
            )
        );
        _withdraw();
    }

    function test_WhenDelayIsOver() external {
        _startUnbonding(5e18);
        skip(UNBONDING_SECONDS);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.StakeWithdrawn(PROVIDER, STRANGER, 5e18);
        assertEq(_withdraw(), 5e18);
        assertEq(stakeToken.balanceOf(STRANGER), 5e18);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE - 5e18);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE - 5e18);
        vm.expectRevert(IProviderRegistry.NothingUnbonding.selector);
        _withdraw();
    }

    function test_WhenOtherStakeIsLocked() external {
        Terms memory terms = defaultTerms();
        terms.end = terms.start + 30 days;
        terms.maxEnd = terms.end;
        openLease(terms);
        _startUnbonding(STAKE - BOND);
        skip(UNBONDING_SECONDS);
        assertEq(_withdraw(), STAKE - BOND);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, BOND);
        assertEq(locked, BOND);
        _expectInsufficient(1, 0);
        _startUnbonding(1);
    }

    function test_RevertWhen_ABondNeedsUnbondingStake() external {
        _startUnbonding(STAKE - BOND + 1);
        Terms memory terms = defaultTerms();
        listOffer(terms.offer);
        _expectInsufficient(BOND, BOND - 1);
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }

    function test_WhenCompensationFallsDueMeanwhile() external {
        (Terms memory terms,) = openDefault();
        _startUnbonding(STAKE - BOND);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(PROVIDER);
        assertEq(account.stake, STAKE - BOND);
        assertEq(account.locked, 0);
        assertEq(unbonding, STAKE - BOND);
        assertEq(registry.freeStakeOf(PROVIDER), 0);
        assertEq(registry.compensationOf(RENTER), BOND);
    }

    function testFuzz_LockedAndUnbondingNeverExceedStake(uint96 first, uint96 second, bool open) external {
        if (open) openDefault();
        uint96[2] memory amounts = [first % (STAKE + 2), second % (STAKE + 2)];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 free = registry.freeStakeOf(PROVIDER);
            if (amounts[i] == 0) vm.expectRevert(IProviderRegistry.ZeroAmount.selector);
            else if (amounts[i] > free) _expectInsufficient(amounts[i], free);
            _startUnbonding(amounts[i]);
            (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(PROVIDER);
            assertLe(uint256(account.locked) + unbonding, account.stake);
        }
    }

    function _startUnbonding(uint96 amount) private {
        vm.prank(PROVIDER);
        registry.startUnbonding(amount);
    }

    function _withdraw() private returns (uint96) {
        vm.prank(PROVIDER);
        return registry.withdrawStake(STRANGER);
    }

    function _expectInsufficient(uint256 needed, uint256 free) private {
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.InsufficientFreeStake.selector, needed, free)
        );
    }
}
