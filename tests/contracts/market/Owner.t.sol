// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";

import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract OwnerTest is Base {
    function test_RevertWhen_AnotherAllowsAToken() external {
        _expectUnauthorized();
        vm.prank(STRANGER);
        market.allowToken(address(token), false);
    }

    function test_RevertWhen_AnotherSetsTheFee() external {
        _expectUnauthorized();
        vm.prank(STRANGER);
        market.setFee(0);
    }

    function test_RevertWhen_AnotherSetsTheTreasury() external {
        _expectUnauthorized();
        vm.prank(STRANGER);
        market.setTreasury(STRANGER);
    }

    function test_RevertWhen_AnotherTakesTheOwnership() external {
        vm.prank(OWNER);
        market.transferOwnership(KEEPER);
        _expectUnauthorized();
        vm.prank(STRANGER);
        market.acceptOwnership();
    }

    function test_RevertWhen_AllowedTokenIsZero() external {
        vm.expectRevert(ILeaseMarket.ZeroAddress.selector);
        vm.prank(OWNER);
        market.allowToken(address(0), true);
    }

    function test_RevertWhen_FeeIsAboveTheCap() external {
        vm.expectRevert(abi.encodeWithSelector(ILeaseMarket.FeeAboveCap.selector, 300, 301));
        vm.prank(OWNER);
        market.setFee(301);
    }

    function test_RevertWhen_NewTreasuryIsZero() external {
        vm.expectRevert(ILeaseMarket.ZeroAddress.selector);
        vm.prank(OWNER);
        market.setTreasury(address(0));
    }

    function test_WhenOwnerAllowsAndForbidsAToken() external {
        vm.startPrank(OWNER);
        vm.expectEmit(address(market));
        emit ILeaseMarket.TokenAllowed(address(stakeToken), true);
        market.allowToken(address(stakeToken), true);
        assertTrue(market.tokenAllowed(address(stakeToken)));
        vm.expectEmit(address(market));
        emit ILeaseMarket.TokenAllowed(address(stakeToken), false);
        market.allowToken(address(stakeToken), false);
        assertFalse(market.tokenAllowed(address(stakeToken)));
    }

    function test_WhenOwnerSetsTheFee() external {
        vm.expectEmit(address(market));
        emit ILeaseMarket.FeeChanged(300);
        vm.prank(OWNER);
        market.setFee(300);
        assertEq(market.feeBps(), 300);
    }

    function test_WhenOwnerSetsTheTreasury() external {
        vm.expectEmit(address(market));
        emit ILeaseMarket.TreasuryChanged(STRANGER);
        vm.prank(OWNER);
        market.setTreasury(STRANGER);
        assertEq(market.treasury(), STRANGER);
    }

    function test_WhenOwnershipIsHandedOver() external {
        vm.prank(OWNER);
        market.transferOwnership(KEEPER);
        assertEq(market.owner(), OWNER);
        vm.prank(KEEPER);
        market.acceptOwnership();
        assertEq(market.owner(), KEEPER);
    }

    function test_WhenOwnerDoesAllItCan() external {
        (Terms memory terms, bytes32 leaseId) = openDefault();
        skip(5 hours);
        prove(terms, 5 hours);
        bytes memory before = _everything(leaseId);
        vm.startPrank(OWNER);
        market.setFee(300);
        market.allowToken(address(token), false);
        market.setTreasury(OWNER);
        market.transferOwnership(STRANGER);
        vm.stopPrank();
        assertEq(_everything(leaseId), before);
        // The lease goes on under its own terms, though its token is forbidden now.
        skipTo(terms.end);
        (uint96 pay, uint96 fee) = prove(terms, 10 hours);
        assertEq(pay, 17_640_000);
        assertEq(fee, 360_000);
        closeAs(KEEPER, terms);
        vm.prank(PROVIDER);
        market.withdraw(address(token), PROVIDER);
    }

    function _everything(bytes32 leaseId) private view returns (bytes memory) {
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        return abi.encode(
            market.leaseState(leaseId),
            creditOf(PROVIDER),
            creditOf(TREASURY),
            creditOf(RENTER),
            staked,
            locked,
            token.balanceOf(address(market))
        );
    }

    function _expectUnauthorized() private {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER));
    }
}
