// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract OwnerTest is Base {
    function test_RevertWhen_AnotherSetsAToken() external {
        _expectUnauthorized();
        vm.prank(STRANGER);
        amendments.setToken(address(token), false, 0);
    }

    function test_RevertWhen_AnotherSetsTheTreasury() external {
        _expectUnauthorized();
        vm.prank(STRANGER);
        amendments.setTreasury(STRANGER);
    }

    function test_RevertWhen_AnotherTakesTheOwnership() external {
        vm.prank(OWNER);
        market.transferOwnership(KEEPER);
        _expectUnauthorized();
        vm.prank(STRANGER);
        market.acceptOwnership();
    }

    function test_RevertWhen_TokenIsZero() external {
        vm.expectRevert(ILeaseBook.ZeroAddress.selector);
        vm.prank(OWNER);
        amendments.setToken(address(0), true, 0);
    }

    function test_RevertWhen_FeeIsAboveTheCap() external {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.FeeAboveCap.selector, 300, 301));
        vm.prank(OWNER);
        amendments.setToken(address(token), true, 301);
    }

    function test_RevertWhen_NewTreasuryIsZero() external {
        vm.expectRevert(ILeaseBook.ZeroAddress.selector);
        vm.prank(OWNER);
        amendments.setTreasury(address(0));
    }

    function test_WhenOwnerAllowsAndForbidsAToken() external {
        _setToken(address(stakeToken), true, 0);
        _setToken(address(stakeToken), false, 0);
    }

    function test_WhenOwnerSetsAFee() external {
        _setToken(address(token), true, 300);
        // Each token has its own.
        (, uint16 feeBps) = market.tokenTerms(address(wrapped));
        assertEq(feeBps, FEE_BPS);
    }

    function test_WhenOwnerSetsTheTreasury() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.TreasuryChanged(STRANGER);
        vm.prank(OWNER);
        amendments.setTreasury(STRANGER);
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
        amendments.setToken(address(token), false, 300);
        amendments.setTreasury(OWNER);
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

    function _setToken(address token_, bool allowed, uint16 feeBps) private {
        vm.expectEmit(address(market));
        emit ILeaseBook.TokenSet(token_, allowed, feeBps);
        vm.prank(OWNER);
        amendments.setToken(token_, allowed, feeBps);
        (bool allowedNow, uint16 feeBpsNow) = market.tokenTerms(token_);
        assertEq(allowedNow, allowed);
        assertEq(feeBpsNow, feeBps);
    }

    function _everything(bytes32 leaseId) private view returns (bytes memory) {
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        return abi.encode(
            market.leaseState(leaseId),
            creditOf(PROVIDER),
            feesKept(),
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
