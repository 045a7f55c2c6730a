// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";

import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { QuorumBase } from "./QuorumBase.sol";

contract MembersTest is QuorumBase {
    function test_RevertWhen_AnotherAdds() external {
        _expectOnlyOwner();
        vm.prank(STRANGER);
        quorum.addMember(STRANGER, STRANGER);
    }

    function test_RevertWhen_SignerIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAddress.selector);
        vm.prank(OWNER);
        quorum.addMember(address(0), OPERATOR);
    }

    function test_RevertWhen_OperatorIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAddress.selector);
        vm.prank(OWNER);
        quorum.addMember(STRANGER, address(0));
    }

    function test_RevertWhen_SignerIsAMember() external {
        (address signer,) = signerAt(1);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.SignerTaken.selector, signer, 1));
        vm.prank(OWNER);
        quorum.addMember(signer, STRANGER);
    }

    function test_RevertWhen_ThresholdWouldBeNoMajority() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.ThresholdOutOfRange.selector, 2, 3, 4));
        vm.prank(OWNER);
        quorum.addMember(STRANGER, STRANGER);
        // What is scheduled counts: it holds before the member does.
        setThreshold(3);
        addMember(3);
    }

    function test_RevertWhen_ThereAreSixtyFour() external {
        _fill();
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.QuorumFull.selector, 64));
        vm.prank(OWNER);
        quorum.addMember(STRANGER, STRANGER);
    }

    function test_WhenTheLastOfSixtyFourIsBonded() external {
        _fill();
        depositBond(63, MEMBER_BOND);
        skip(ROTATION_SECONDS);
        assertEq(quorum.activeMembers(), 1 << 63 | 7);
    }

    function test_WhenAnIndexIsFree() external {
        setThreshold(3);
        uint40 activeAt = uint40(vm.getBlockTimestamp()) + ROTATION_SECONDS;
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.MemberAdded(3, STRANGER, OPERATOR, activeAt);
        vm.prank(OWNER);
        assertEq(quorum.addMember(STRANGER, OPERATOR), 3);
        depositBond(3, MEMBER_BOND);
        IOracleQuorum.Member memory member = quorum.memberAt(3);
        assertEq(member.signer, STRANGER);
        assertEq(member.operator, OPERATOR);
        assertEq(member.bond, MEMBER_BOND);
        assertEq(member.activeAt, activeAt);
        assertEq(member.leavesAt, 0);
        skip(ROTATION_SECONDS - 1);
        assertEq(quorum.activeMembers(), 7);
        skip(1);
        assertEq(quorum.activeMembers(), 15);
    }

    function test_WhenTheBondIsShort() external {
        setThreshold(3);
        addMember(3);
        depositBond(3, MEMBER_BOND - 1);
        skip(ROTATION_SECONDS);
        assertEq(quorum.activeMembers(), 7);
        depositBond(3, 1);
        assertEq(quorum.activeMembers(), 15);
    }

    function test_RevertWhen_AnotherRemoves() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.OnlyOperator.selector, OPERATOR, STRANGER));
        vm.prank(STRANGER);
        quorum.removeMember(0);
    }

    function test_RevertWhen_RemovedMemberIsUnknown() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.MemberUnknown.selector, 3));
        removeMember(3);
    }

    function test_RevertWhen_RemovedTwice() external {
        removeMember(0);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.MemberNotActive.selector, 0));
        removeMember(0);
    }

    function test_WhenTheOwnerRemoves() external {
        uint40 leavesAt = uint40(vm.getBlockTimestamp()) + ROTATION_SECONDS;
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.MemberRemoved(1, leavesAt);
        removeMember(1);
        assertEq(quorum.memberAt(1).leavesAt, leavesAt);
        skip(ROTATION_SECONDS - 1);
        assertEq(quorum.activeMembers(), 7);
        skip(1);
        assertEq(quorum.activeMembers(), 5);
    }

    function test_WhenTheOperatorLeaves() external {
        vm.prank(OPERATOR);
        quorum.removeMember(2);
        skip(ROTATION_SECONDS);
        assertEq(quorum.activeMembers(), 3);
    }

    function test_RevertWhen_AnotherSetsTheThreshold() external {
        _expectOnlyOwner();
        vm.prank(STRANGER);
        quorum.setThreshold(2);
    }

    function test_RevertWhen_ThresholdIsNoMajority() external {
        setThreshold(3);
        addMember(3);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.ThresholdOutOfRange.selector, 2, 3, 4));
        setThreshold(2);
    }

    function test_RevertWhen_ThresholdExceedsTheMembersWhoStay() external {
        removeMember(0);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.ThresholdOutOfRange.selector, 3, 2, 2));
        setThreshold(3);
    }

    function test_WhenTheOwnerSetsTheThreshold() external {
        uint40 activeAt = uint40(vm.getBlockTimestamp()) + ROTATION_SECONDS;
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.ThresholdScheduled(3, activeAt);
        setThreshold(3);
        skip(ROTATION_SECONDS - 1);
        assertEq(quorum.threshold(), 2);
        skip(1);
        assertEq(quorum.threshold(), 3);
    }

    function test_WhenTheThresholdIsSetAgain() external {
        setThreshold(3);
        skip(ROTATION_SECONDS);
        setThreshold(2);
        assertEq(quorum.threshold(), 3);
        skip(1);
        setThreshold(2);
        skip(ROTATION_SECONDS - 1);
        assertEq(quorum.threshold(), 3);
        skip(1);
        assertEq(quorum.threshold(), 2);
    }

    function test_WhenOwnershipIsOffered() external {
        vm.prank(OWNER);
        quorum.transferOwnership(STRANGER);
        assertEq(quorum.owner(), OWNER);
        vm.prank(STRANGER);
        quorum.acceptOwnership();
        assertEq(quorum.owner(), STRANGER);
    }

    /// Members and threshold grow in turns.
    function _fill() private {
        for (uint8 i = MEMBERS; i < 64; ++i) {
            if (i % 2 == 1) setThreshold(i / 2 + 2);
            addMember(i);
        }
    }

    function _expectOnlyOwner() private {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER));
    }
}
