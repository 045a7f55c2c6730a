// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { DisputeKey, ICourtBook, Ruling } from "../../../contracts/interfaces/ICourtBook.sol";
import { CourtBase } from "./CourtBase.sol";

contract AccountsTest is CourtBase {
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    function test_RevertWhen_NothingIsDeposited() external {
        vm.expectRevert(ICourtBook.ZeroAmount.selector);
        court.deposit(0);
    }

    function test_WhenTokensAreDeposited() external {
        stakeToken.mint(STRANGER, 7);
        vm.startPrank(STRANGER);
        stakeToken.approve(address(court), 7);
        vm.expectEmit(address(court));
        emit ICourtBook.Deposited(STRANGER, 7);
        court.deposit(7);
        assertEq(court.balanceOf(STRANGER), 7);
        assertEq(stakeToken.balanceOf(STRANGER), 0);
        assertBooks(0);
    }

    function test_RevertWhen_WithdrawnToNobody() external {
        vm.expectRevert(ICourtBook.ZeroAddress.selector);
        vm.prank(CHALLENGER);
        court.withdraw(address(0), 1);
    }

    function test_RevertWhen_NothingIsWithdrawn() external {
        vm.expectRevert(ICourtBook.ZeroAmount.selector);
        vm.prank(CHALLENGER);
        court.withdraw(CHALLENGER, 0);
    }

    function test_RevertWhen_BalanceDoesNotSuffice() external {
        uint96 balance = 10 * CHALLENGE_BOND;
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.BalanceTooSmall.selector, balance + 1, balance));
        vm.prank(CHALLENGER);
        court.withdraw(CHALLENGER, balance + 1);
    }

    function test_RevertWhen_BondOfAnOpenDisputeIsWithdrawn() external {
        challengeSegment();
        uint96 balance = 10 * CHALLENGE_BOND;
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.BalanceTooSmall.selector, balance, balance - CHALLENGE_BOND)
        );
        vm.prank(CHALLENGER);
        court.withdraw(CHALLENGER, balance);
    }

    function test_WhenBalanceIsWithdrawn() external {
        vm.expectEmit(address(court));
        emit ICourtBook.Withdrawn(CHALLENGER, STRANGER, 5);
        vm.prank(CHALLENGER);
        court.withdraw(STRANGER, 5);
        assertEq(stakeToken.balanceOf(STRANGER), 5);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND - 5);
        assertBooks(0);
    }

    function test_WhenRewardIsStillInTheRegistry() external {
        DisputeKey memory key = challengeSegment();
        judge(key, all(verdict(Ruling.REFUTED), 5));
        resolveRefuted(key);
        assertEq(registry.compensationOf(address(court)), BOND * 40 / 100);
        uint256 balance = court.balanceOf(CHALLENGER);
        assertEq(balance, 10 * CHALLENGE_BOND + BOND * 30 / 100);
        vm.prank(CHALLENGER);
        court.withdraw(CHALLENGER, uint96(balance));
        assertEq(stakeToken.balanceOf(CHALLENGER), balance);
        assertEq(registry.compensationOf(address(court)), 0);
        assertBooks(0);
    }

    function test_RevertWhen_NothingWasBurned() external {
        vm.expectRevert(ICourtBook.NothingBurned.selector);
        court.sweepBurned();
    }

    function test_WhenBurnedIsSwept() external {
        DisputeKey memory key = challengeSegment();
        judge(key, all(verdict(Ruling.STANDS), 5));
        resolve(key);
        uint256 before = stakeToken.balanceOf(NOBODY);
        vm.expectEmit(address(court));
        emit ICourtBook.BurnedSwept(45e18);
        assertEq(court.sweepBurned(), 45e18);
        assertEq(stakeToken.balanceOf(NOBODY) - before, 45e18);
        assertEq(court.burned(), 0);
        assertBooks(0);
    }
}
