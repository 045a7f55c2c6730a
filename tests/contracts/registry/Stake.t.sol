// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { Base } from "../Base.sol";
import { SkewedToken } from "../mocks/SkewedToken.sol";

contract StakeTest is Base {
    uint96 private constant AMOUNT = 25e18;

    function test_RevertWhen_AmountIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAmount.selector);
        vm.prank(PROVIDER);
        registry.stake(0);
    }

    function test_RevertWhen_AllowanceIsMissing() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(registry), 0, AMOUNT
            )
        );
        vm.prank(PROVIDER);
        registry.stake(AMOUNT);
    }

    function test_RevertWhen_TokenTakesAFee() external {
        SkewedToken skewed = new SkewedToken();
        skewed.mint(PROVIDER, AMOUNT);
        skewed.setSkew(-1, false);
        ProviderRegistry other = new ProviderRegistry(address(skewed), address(market), quorum, 1);
        vm.startPrank(PROVIDER);
        skewed.approve(address(other), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, AMOUNT, AMOUNT - 1));
        other.stake(AMOUNT);
    }

    function test_WhenAmountArrives() external {
        stakeToken.mint(PROVIDER, AMOUNT);
        vm.startPrank(PROVIDER);
        stakeToken.approve(address(registry), AMOUNT);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.Staked(PROVIDER, AMOUNT);
        registry.stake(AMOUNT);
        _assertStakedTwice();
    }

    function test_RevertWhen_PermitAmountIsZero() external {
        (uint8 v, bytes32 r, bytes32 s) = _permit(0);
        vm.expectRevert(IProviderRegistry.ZeroAmount.selector);
        vm.prank(RENTER);
        registry.stakeWithPermit(0, block.timestamp, v, r, s);
    }

    function test_RevertWhen_PermitIsForged() external {
        stakeToken.mint(PROVIDER, AMOUNT);
        (uint8 v, bytes32 r, bytes32 s) = _permit(AMOUNT);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(registry), 0, AMOUNT
            )
        );
        vm.prank(PROVIDER);
        registry.stakeWithPermit(AMOUNT, block.timestamp, v, r, s);
    }

    function test_WhenPermitIsValid() external {
        stakeToken.mint(RENTER, AMOUNT);
        (uint8 v, bytes32 r, bytes32 s) = _permit(AMOUNT);
        vm.expectEmit(address(registry));
        emit IProviderRegistry.Staked(RENTER, AMOUNT);
        vm.prank(RENTER);
        registry.stakeWithPermit(AMOUNT, block.timestamp, v, r, s);
        assertEq(registry.freeStakeOf(RENTER), AMOUNT);
        assertEq(stakeToken.allowance(RENTER, address(registry)), 0);
    }

    function test_WhenPermitWasSpentBySomebodyElse() external {
        stakeToken.mint(RENTER, AMOUNT);
        (uint8 v, bytes32 r, bytes32 s) = _permit(AMOUNT);
        vm.prank(STRANGER);
        stakeToken.permit(RENTER, address(registry), AMOUNT, block.timestamp, v, r, s);
        vm.prank(RENTER);
        registry.stakeWithPermit(AMOUNT, block.timestamp, v, r, s);
        assertEq(registry.freeStakeOf(RENTER), AMOUNT);
    }

    function _assertStakedTwice() private view {
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE + AMOUNT);
        assertEq(locked, 0);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE + AMOUNT);
        assertEq(stakeToken.balanceOf(address(registry)), STAKE + AMOUNT);
        assertEq(stakeToken.balanceOf(PROVIDER), 0);
    }

    function _permit(uint256 amount) private view returns (uint8 v, bytes32 r, bytes32 s) {
        return signPermit(stakeToken, address(registry), amount);
    }
}
