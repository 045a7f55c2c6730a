// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { LyingToken } from "../mocks/LyingToken.sol";
import { SkewedToken } from "../mocks/SkewedToken.sol";

contract Purse {
    using ExactTransfer for IERC20;

    function pull(IERC20 token, uint256 amount) external {
        token.pull(msg.sender, amount);
    }

    function push(IERC20 token, address to, uint256 amount) external {
        token.push(to, amount);
    }

    function tryPermit(IERC20 token, address owner, uint256 amount) external {
        token.tryPermit(owner, amount, block.timestamp, 27, bytes32(uint256(1)), bytes32(uint256(2)));
    }
}

contract ExactTransferTest is Test {
    address private constant PAYEE = address(0xbeef);

    Purse private purse;
    SkewedToken private skewed;
    LyingToken private lying;

    function setUp() public {
        purse = new Purse();
        skewed = new SkewedToken();
        skewed.mint(address(this), 1000);
        skewed.mint(address(purse), 1000);
        skewed.approve(address(purse), type(uint256).max);
        lying = new LyingToken();
        lying.mint(address(this), 1000);
        lying.mint(address(purse), 1000);
    }

    function test_WhenPullMovesTheAmount() external {
        purse.pull(skewed, 400);
        assertEq(skewed.balanceOf(address(purse)), 1400);
        assertEq(skewed.balanceOf(address(this)), 600);
    }

    function test_WhenPullReturnsNothing() external {
        lying.setAnswer(LyingToken.Answer.NOTHING_AND_MOVES);
        purse.pull(IERC20(address(lying)), 400);
        assertEq(lying.balanceOf(address(purse)), 1400);
    }

    function test_RevertWhen_PullBringsLess() external {
        skewed.setSkew(-4, false);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 396));
        purse.pull(skewed, 400);
    }

    function test_RevertWhen_PullBringsMore() external {
        skewed.setSkew(4, false);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 404));
        purse.pull(skewed, 400);
    }

    function test_RevertWhen_PullReturnsFalse() external {
        lying.setAnswer(LyingToken.Answer.FALSE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        purse.pull(IERC20(address(lying)), 400);
    }

    function test_RevertWhen_PullLiesThatItMoved() external {
        lying.setAnswer(LyingToken.Answer.TRUE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 0));
        purse.pull(IERC20(address(lying)), 400);
    }

    function test_RevertWhen_PullFindsNoCode() external {
        vm.expectRevert(bytes(""));
        purse.pull(IERC20(address(0xdead)), 400);
    }

    function test_WhenPushMovesTheAmount() external {
        purse.push(skewed, PAYEE, 400);
        assertEq(skewed.balanceOf(address(purse)), 600);
        assertEq(skewed.balanceOf(PAYEE), 400);
    }

    function test_WhenPushReturnsNothing() external {
        lying.setAnswer(LyingToken.Answer.NOTHING_AND_MOVES);
        purse.push(IERC20(address(lying)), PAYEE, 400);
        assertEq(lying.balanceOf(PAYEE), 400);
    }

    function test_RevertWhen_PushCostsMore() external {
        skewed.setSkew(-4, true);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 404));
        purse.push(skewed, PAYEE, 400);
    }

    function test_RevertWhen_PushCostsLess() external {
        skewed.setSkew(4, true);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 396));
        purse.push(skewed, PAYEE, 400);
    }

    function test_RevertWhen_PushReturnsFalse() external {
        lying.setAnswer(LyingToken.Answer.FALSE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        purse.push(IERC20(address(lying)), PAYEE, 400);
    }

    function test_RevertWhen_PushLiesThatItMoved() external {
        lying.setAnswer(LyingToken.Answer.TRUE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 0));
        purse.push(IERC20(address(lying)), PAYEE, 400);
    }

    function test_RevertWhen_PushGoesToItself() external {
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 400, 0));
        purse.push(skewed, address(purse), 400);
    }

    function test_WhenPermitIsRefused() external {
        DevToken token = new DevToken("Dollar", "USD", 6);
        purse.tryPermit(token, PAYEE, 400);
        assertEq(token.allowance(PAYEE, address(purse)), 0);
    }

    function test_WhenTokenHasNoPermit() external {
        purse.tryPermit(IERC20(address(lying)), PAYEE, 400);
        purse.tryPermit(skewed, PAYEE, 400);
    }
}
