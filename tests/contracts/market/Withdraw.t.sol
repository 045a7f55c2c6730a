// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract WithdrawTest is Base {
    function setUp() public override {
        super.setUp();
        (Terms memory terms,) = openDefault();
        skipTo(terms.end);
        prove(terms, 5 hours);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
    }

    function test_RevertWhen_RecipientIsZero() external {
        vm.expectRevert(ILeaseBook.ZeroAddress.selector);
        vm.prank(PROVIDER);
        market.withdraw(address(token), address(0));
    }

    function test_RevertWhen_ThereIsNoCredit() external {
        _expectNothing(address(token), STRANGER);
        vm.prank(STRANGER);
        market.withdraw(address(token), STRANGER);
    }

    function test_RevertWhen_CreditIsInAnotherToken() external {
        _expectNothing(address(stakeToken), PROVIDER);
        vm.prank(PROVIDER);
        market.withdraw(address(stakeToken), PROVIDER);
    }

    function test_RevertWhen_RecipientIsTheMarket() external {
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 17_640_000, 0));
        vm.prank(PROVIDER);
        market.withdraw(address(token), address(market));
    }

    function test_WhenThereIsCredit() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.Withdrawn(address(token), PROVIDER, STRANGER, 17_640_000);
        vm.prank(PROVIDER);
        assertEq(market.withdraw(address(token), STRANGER), 17_640_000);
        assertEq(token.balanceOf(STRANGER), 17_640_000);
        assertEq(creditOf(PROVIDER), 0);
        _expectNothing(address(token), PROVIDER);
        vm.prank(PROVIDER);
        market.withdraw(address(token), STRANGER);
    }

    function test_WhenAnotherPayeeIsBlocked() external {
        // The token refuses the provider: nobody else notices.
        vm.mockCallRevert(
            address(token), abi.encodeWithSelector(token.transfer.selector, PROVIDER), "blocked"
        );
        vm.expectRevert("blocked");
        vm.prank(PROVIDER);
        market.withdraw(address(token), PROVIDER);
        vm.prank(RENTER);
        assertEq(market.withdraw(address(token), RENTER), 18e6);
        assertEq(amendments.withdrawFees(address(token)), 360_000);
        vm.prank(PROVIDER);
        assertEq(market.withdraw(address(token), STRANGER), 17_640_000);
        assertEq(token.balanceOf(address(market)), 0);
    }

    function test_RevertWhen_ThereAreNoFees() external {
        _expectNothing(address(stakeToken), TREASURY);
        amendments.withdrawFees(address(stakeToken));
    }

    function test_WhenAnyoneWithdrawsTheFees() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.FeesWithdrawn(address(token), TREASURY, 360_000);
        vm.prank(STRANGER);
        assertEq(amendments.withdrawFees(address(token)), 360_000);
        assertEq(token.balanceOf(TREASURY), 360_000);
        assertEq(token.balanceOf(STRANGER), 0);
        assertEq(feesKept(), 0);
        _expectNothing(address(token), TREASURY);
        amendments.withdrawFees(address(token));
    }

    function test_WhenTreasuryHasChanged() external {
        vm.prank(OWNER);
        amendments.setTreasury(STRANGER);
        amendments.withdrawFees(address(token));
        assertEq(token.balanceOf(STRANGER), 360_000);
        assertEq(token.balanceOf(TREASURY), 0);
    }

    function test_WhenTreasuryIsBlocked() external {
        vm.mockCallRevert(
            address(token), abi.encodeWithSelector(token.transfer.selector, TREASURY), "blocked"
        );
        vm.expectRevert("blocked");
        amendments.withdrawFees(address(token));
        assertEq(feesKept(), 360_000);
        vm.prank(PROVIDER);
        assertEq(market.withdraw(address(token), PROVIDER), 17_640_000);
        vm.prank(OWNER);
        amendments.setTreasury(STRANGER);
        assertEq(amendments.withdrawFees(address(token)), 360_000);
    }

    function _expectNothing(address token_, address account) private {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, token_, account));
    }
}
