// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { DisputeKey } from "../../../contracts/interfaces/ICourtBook.sol";
import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { HookToken } from "../mocks/HookToken.sol";
import { CourtBase } from "./CourtBase.sol";

contract HostileStakeTokensTest is CourtBase {
    function test_RevertWhen_LessArrivesThanWasDeposited() external {
        vm.mockCall(
            address(stakeToken), abi.encodeWithSelector(stakeToken.transferFrom.selector), abi.encode(true)
        );
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 5, 0));
        vm.prank(CHALLENGER);
        court.deposit(5);
    }

    function test_RevertWhen_LessLeavesThanWasWithdrawn() external {
        vm.mockCall(
            address(stakeToken), abi.encodeWithSelector(stakeToken.transfer.selector), abi.encode(true)
        );
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 5, 0));
        vm.prank(CHALLENGER);
        court.withdraw(CHALLENGER, 5);
    }

    function test_WhenAWithdrawalIsEnteredAgain() external {
        HookToken hook = _withHook();
        bytes memory withdrawal = abi.encodeCall(court.withdraw, (STRANGER, 10));
        hook.arm(address(court), withdrawal);
        hook.execute(address(court), withdrawal);
        assertEq(hook.hookCalls(), 1);
        assertFalse(hook.hookSucceeded());
        assertEq(
            hook.hookResult(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
        assertEq(hook.balanceOf(STRANGER), 10);
        assertEq(court.balanceOf(address(hook)), 10);
    }

    function test_WhenADisputeIsResolvedWithinAWithdrawal() external {
        HookToken hook = _withHook();
        DisputeKey memory key = jobKey();
        hook.arm(address(court), abi.encodeCall(proceedings.resolve, (key, terms)));
        hook.execute(address(court), abi.encodeCall(court.withdraw, (STRANGER, 10)));
        assertEq(
            hook.hookResult(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
    }

    /// A court whose stake token calls back, with 20 of the token's own in it.
    function _withHook() private returns (HookToken hook) {
        hook = new HookToken();
        deployCourt(address(hook));
        hook.mint(address(hook), 20);
        hook.execute(address(hook), abi.encodeCall(hook.approve, (address(court), 20)));
        hook.execute(address(court), abi.encodeCall(court.deposit, (20)));
    }
}
