// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract CompensationTest is Base {
    function test_RevertWhen_RecipientIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        vm.prank(RENTER);
        registry.withdrawCompensation(address(0));
    }

    function test_RevertWhen_NothingIsOwed() external {
        _expectNothing();
        vm.prank(RENTER);
        registry.withdrawCompensation(STRANGER);
    }

    function test_WhenCompensationIsOwed() external {
        (Terms memory terms,) = openDefault();
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.CompensationWithdrawn(RENTER, STRANGER, BOND);
        vm.prank(RENTER);
        assertEq(registry.withdrawCompensation(STRANGER), BOND);
        assertEq(stakeToken.balanceOf(STRANGER), BOND);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE - BOND);
        assertEq(registry.compensationOf(RENTER), 0);
        _expectNothing();
        vm.prank(RENTER);
        registry.withdrawCompensation(STRANGER);
    }

    function test_WhenAnybodySendsIt() external {
        (Terms memory terms,) = openDefault();
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.CompensationWithdrawn(RENTER, RENTER, BOND);
        vm.prank(STRANGER);
        assertEq(registry.sendCompensation(RENTER), BOND);
        assertEq(stakeToken.balanceOf(RENTER), BOND);
        _expectNothing();
        registry.sendCompensation(RENTER);
    }

    function _expectNothing() private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NothingToWithdraw.selector, RENTER));
    }
}
