// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAccessControl } from "@openzeppelin/contracts/access/IAccessControl.sol";
import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";

import { OracleQuorum } from "../../../contracts/OracleQuorum.sol";
import { ProtocolTimelock } from "../../../contracts/ProtocolTimelock.sol";
import { Base } from "../Base.sol";

contract TimelockTest is Base {
    uint256 private constant DELAY = 2 days;

    ProtocolTimelock private timelock;
    OracleQuorum private owned;
    bytes private call_;

    function setUp() public override {
        super.setUp();
        address[] memory proposers = new address[](1);
        proposers[0] = OWNER;
        // Anybody may execute.
        timelock = new ProtocolTimelock(DELAY, proposers, new address[](1));
        owned = new OracleQuorum(
            address(stakeToken), COURT, address(timelock), MEMBER_BOND, ROTATION_SECONDS, EXIT_SECONDS, 1
        );
        call_ = abi.encodeCall(owned.addMember, (WORKER, PROVIDER));
    }

    function test_RevertWhen_AnotherSchedules() external {
        bytes32 role = timelock.PROPOSER_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, STRANGER, role)
        );
        vm.prank(STRANGER);
        timelock.schedule(address(owned), 0, call_, 0, 0, DELAY);
    }

    function test_RevertWhen_DelayIsShorter() external {
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, DELAY - 1, DELAY)
        );
        vm.prank(OWNER);
        timelock.schedule(address(owned), 0, call_, 0, 0, DELAY - 1);
    }

    function test_RevertWhen_NothingWasScheduled() external {
        _expectNotReady();
        timelock.execute(address(owned), 0, call_, 0, 0);
    }

    function test_RevertWhen_DelayIsNotOver() external {
        _schedule();
        skip(DELAY - 1);
        _expectNotReady();
        timelock.execute(address(owned), 0, call_, 0, 0);
    }

    function test_RevertWhen_TheProposerActsItself() external {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, OWNER));
        vm.prank(OWNER);
        owned.addMember(WORKER, PROVIDER);
    }

    function test_WhenDelayIsOver() external {
        _schedule();
        skip(DELAY);
        vm.prank(STRANGER);
        timelock.execute(address(owned), 0, call_, 0, 0);
        assertEq(owned.memberAt(0).signer, WORKER);
        assertEq(owned.memberAt(0).activeAt, vm.getBlockTimestamp() + ROTATION_SECONDS);
    }

    function test_WhenDeployed() external view {
        bytes32 admin = timelock.DEFAULT_ADMIN_ROLE();
        assertEq(timelock.getMinDelay(), DELAY);
        assertTrue(timelock.hasRole(timelock.PROPOSER_ROLE(), OWNER));
        assertTrue(timelock.hasRole(timelock.CANCELLER_ROLE(), OWNER));
        assertTrue(timelock.hasRole(admin, address(timelock)));
        assertFalse(timelock.hasRole(admin, OWNER));
        assertFalse(timelock.hasRole(admin, address(this)));
        assertFalse(timelock.hasRole(admin, address(0)));
    }

    function _schedule() private {
        vm.prank(OWNER);
        timelock.schedule(address(owned), 0, call_, 0, 0, DELAY);
    }

    function _expectNotReady() private {
        bytes32 id = timelock.hashOperation(address(owned), 0, call_, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                TimelockController.TimelockUnexpectedOperationState.selector,
                id,
                bytes32(1 << uint8(TimelockController.OperationState.Ready))
            )
        );
    }
}
