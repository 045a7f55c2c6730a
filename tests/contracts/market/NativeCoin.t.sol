// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { DevWrappedNative } from "../../../contracts/test/DevWrappedNative.sol";
import { Base } from "../Base.sol";

contract NativeCoinTest is Base {
    uint96 private constant DEPOSIT = 36e6;

    Terms private terms;

    function setUp() public override {
        super.setUp();
        terms = defaultTerms();
        terms.offer.token = address(wrapped);
        listOffer(terms.offer);
        vm.deal(RENTER, 1 ether);
        vm.deal(STRANGER, 1 ether);
    }

    function test_RevertWhen_TooLittleComes() external {
        _expectValueMismatch(DEPOSIT, DEPOSIT - 1);
        _open(RENTER, DEPOSIT - 1);
    }

    function test_RevertWhen_TooMuchComes() external {
        _expectValueMismatch(DEPOSIT, DEPOSIT + 1);
        _open(RENTER, DEPOSIT + 1);
    }

    function test_RevertWhen_NothingIsOwed() external {
        terms.offer.pricePerHour = 0;
        listOffer(terms.offer);
        _expectValueMismatch(0, 1);
        _open(RENTER, 1);
        _open(RENTER, 0);
    }

    function test_RevertWhen_OfferIsInAnotherToken() external {
        terms = defaultTerms();
        listOffer(terms.offer);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.NativeCoinMismatch.selector, address(wrapped), address(token))
        );
        _open(RENTER, DEPOSIT);
    }

    function test_RevertWhen_DeploymentTakesNone() external {
        wrapped = DevWrappedNative(address(0));
        deploy(address(stakeToken), COURT);
        allowToken(address(token));
        stakeAs(PROVIDER, STAKE);
        registerUnitAs(PROVIDER, WORKER, "node", gpuIdsOf("gpu", 2));
        terms = defaultTerms();
        listOffer(terms.offer);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.NativeCoinMismatch.selector, address(0), address(token))
        );
        _open(RENTER, DEPOSIT);
    }

    function test_RevertWhen_NoneComesAndNoTokensAreApproved() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 0, DEPOSIT
            )
        );
        _open(RENTER, 0);
    }

    function test_RevertWhen_TopUpIsNotExact() external {
        _open(RENTER, DEPOSIT);
        _expectValueMismatch(DEPOSIT, DEPOSIT - 1);
        _topUp(DEPOSIT - 1);
        _expectValueMismatch(DEPOSIT, DEPOSIT + 1);
        _topUp(DEPOSIT + 1);
    }

    function test_RevertWhen_TopUpIsOfALeaseInAnotherToken() external {
        terms = defaultTerms();
        openLease(terms);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.NativeCoinMismatch.selector, address(wrapped), address(token))
        );
        _topUp(DEPOSIT);
    }

    function test_WhenTheExactAmountComes() external {
        bytes32 leaseId = _open(RENTER, DEPOSIT);
        assertEq(market.leaseState(leaseId).deposit, DEPOSIT);
        assertEq(wrapped.balanceOf(address(market)), DEPOSIT);
        assertEq(address(market).balance, 0);
        assertEq(RENTER.balance, 1 ether - DEPOSIT);
    }

    function test_WhenAnotherPays() external {
        _open(STRANGER, DEPOSIT);
        assertEq(STRANGER.balance, 1 ether - DEPOSIT);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(market.creditOf(address(wrapped), RENTER), DEPOSIT);
    }

    function test_WhenWrappedTokensAreApproved() external {
        vm.startPrank(RENTER);
        wrapped.deposit{ value: DEPOSIT }();
        wrapped.approve(address(market), DEPOSIT);
        vm.stopPrank();
        _open(RENTER, 0);
        assertEq(wrapped.balanceOf(address(market)), DEPOSIT);
    }

    function test_WhenTopUpIsExact() external {
        _open(RENTER, DEPOSIT);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseExtended(market.leaseIdOf(terms), STRANGER, terms.maxEnd, 2 * DEPOSIT);
        _topUp(DEPOSIT);
        assertEq(endOf(terms), terms.maxEnd);
        assertEq(wrapped.balanceOf(address(market)), 2 * DEPOSIT);
        assertEq(address(market).balance, 0);
    }

    function test_WhenCreditIsWithdrawn() external {
        _open(RENTER, DEPOSIT);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.startPrank(RENTER);
        market.withdraw(address(wrapped), RENTER);
        wrapped.withdraw(DEPOSIT);
        vm.stopPrank();
        assertEq(RENTER.balance, 1 ether);
        assertEq(wrapped.totalSupply(), 0);
    }

    function test_WhenItComesWithCallsThatTakeNone() external {
        _open(RENTER, DEPOSIT);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(market.topUp, (terms, terms.maxEnd));
        vm.startPrank(RENTER);
        (bool ok,) = address(market).call{ value: DEPOSIT }(abi.encodeCall(amendments.multicall, (calls)));
        assertFalse(ok, "multicall");
        (ok,) = address(market).call{ value: DEPOSIT }(
            abi.encodeCall(amendments.extend, (terms, terms.maxEnd))
        );
        assertFalse(ok, "extend");
        (ok,) = address(market).call{ value: DEPOSIT }(calls[0]);
        assertTrue(ok, "topUp");
        vm.stopPrank();
    }

    function _open(address payer, uint256 value) private returns (bytes32) {
        vm.prank(payer);
        return market.open{ value: value }(terms, LISTED);
    }

    function _topUp(uint256 value) private {
        vm.prank(STRANGER);
        market.topUp{ value: value }(terms, terms.maxEnd);
    }

    function _expectValueMismatch(uint256 expected, uint256 actual) private {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ValueMismatch.selector, expected, actual));
    }
}
