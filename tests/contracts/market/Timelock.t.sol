// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAccessControl } from "@openzeppelin/contracts/access/IAccessControl.sol";
import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";

import { ProtocolTimelock } from "../../../contracts/ProtocolTimelock.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// The market as it is owned in production.
contract TimelockTest is Base {
    uint256 private constant DELAY = 2 days;

    ProtocolTimelock private timelock;
    address private immutable PROPOSER = makeAddr("proposer");
    address private immutable EXECUTOR = makeAddr("executor");

    function setUp() public override {
        super.setUp();
        address[] memory proposers = new address[](1);
        address[] memory executors = new address[](1);
        (proposers[0], executors[0]) = (PROPOSER, EXECUTOR);
        timelock = new ProtocolTimelock(DELAY, proposers, executors);
        vm.prank(OWNER);
        market.transferOwnership(address(timelock));
        bytes memory acceptance = abi.encodeCall(market.acceptOwnership, ());
        _schedule(acceptance);
        skip(DELAY);
        _execute(acceptance);
        assertEq(market.owner(), address(timelock));
    }

    function test_RevertWhen_DelayHasNotPassed() external {
        bytes memory call_ = abi.encodeCall(amendments.setToken, (address(token), true, 300));
        _schedule(call_);
        skip(DELAY - 1);
        bytes32 id = timelock.hashOperation(address(market), 0, call_, 0, 0);
        bytes32 ready = bytes32(uint256(1) << uint8(TimelockController.OperationState.Ready));
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockUnexpectedOperationState.selector, id, ready)
        );
        _execute(call_);
        _assertFee(FEE_BPS);
    }

    function test_RevertWhen_AnotherProposes() external {
        bytes memory call_ = abi.encodeCall(amendments.setToken, (address(token), true, 300));
        bytes32 role = timelock.PROPOSER_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, OWNER, role)
        );
        vm.prank(OWNER);
        timelock.schedule(address(market), 0, call_, 0, 0, DELAY);
    }

    function test_RevertWhen_ProposerCallsTheMarketItself() external {
        address[3] memory callers = [PROPOSER, EXECUTOR, OWNER];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.startPrank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, callers[i]));
            amendments.setToken(address(token), true, 300);
            vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, callers[i]));
            amendments.setTreasury(callers[i]);
            vm.stopPrank();
        }
    }

    function test_RevertWhen_DecidedFeeIsAboveTheCap() external {
        bytes memory call_ = abi.encodeCall(amendments.setToken, (address(token), true, 301));
        _schedule(call_);
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.FeeAboveCap.selector, 300, 301));
        _execute(call_);
    }

    function test_RevertWhen_DecisionIsCancelled() external {
        bytes memory call_ = abi.encodeCall(amendments.setTreasury, (STRANGER));
        _schedule(call_);
        bytes32 id = timelock.hashOperation(address(market), 0, call_, 0, 0);
        vm.prank(PROPOSER);
        timelock.cancel(id);
        skip(DELAY);
        bytes32 ready = bytes32(uint256(1) << uint8(TimelockController.OperationState.Ready));
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockUnexpectedOperationState.selector, id, ready)
        );
        _execute(call_);
        assertEq(market.treasury(), TREASURY);
    }

    function test_WhenDelayHasPassed() external {
        bytes memory fee = abi.encodeCall(amendments.setToken, (address(token), true, 300));
        bytes memory treasury = abi.encodeCall(amendments.setTreasury, (STRANGER));
        _schedule(fee);
        _schedule(treasury);
        skip(DELAY);
        _execute(fee);
        _execute(treasury);
        _assertFee(300);
        assertEq(market.treasury(), STRANGER);
    }

    function test_WhenALeaseIsOpenedDuringTheDelay() external {
        _schedule(abi.encodeCall(amendments.setToken, (address(token), true, 300)));
        Terms memory terms = defaultTerms();
        terms.offer.validUntil = terms.end;
        terms.end = terms.start + 3 days;
        terms.maxEnd = terms.end;
        openLease(terms);
        skip(DELAY);
        _execute(abi.encodeCall(amendments.setToken, (address(token), true, 300)));
        (, uint96 fee) = prove(terms, 1 hours);
        assertEq(fee, 72_000);
    }

    function test_WhenDeployerLooksForARole() external view {
        // Nobody but the timelock changes the timelock.
        assertTrue(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(timelock)));
        assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(this)));
        assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), PROPOSER));
        assertFalse(timelock.hasRole(timelock.PROPOSER_ROLE(), EXECUTOR));
        assertEq(timelock.getMinDelay(), DELAY);
    }

    function _schedule(bytes memory call_) private {
        vm.prank(PROPOSER);
        timelock.schedule(address(market), 0, call_, 0, 0, DELAY);
    }

    function _execute(bytes memory call_) private {
        vm.prank(EXECUTOR);
        timelock.execute(address(market), 0, call_, 0, 0);
    }

    function _assertFee(uint16 expected) private view {
        (, uint16 feeBps) = market.tokenTerms(address(token));
        assertEq(feeBps, expected);
    }
}
