// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { OracleQuorum } from "../../../contracts/OracleQuorum.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { Base } from "../Base.sol";

contract QuorumConstructorTest is Base {
    function test_RevertWhen_StakeTokenIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAddress.selector);
        _deploy(address(0), COURT, 1, 1);
    }

    function test_RevertWhen_CourtIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAddress.selector);
        _deploy(address(stakeToken), address(0), 1, 1);
    }

    function test_RevertWhen_MemberBondIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAmount.selector);
        _deploy(address(stakeToken), COURT, 0, 1);
    }

    function test_RevertWhen_ThresholdIsZero() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.ThresholdOutOfRange.selector, 0, 1, 64));
        _deploy(address(stakeToken), COURT, 1, 0);
    }

    function test_RevertWhen_ThresholdExceedsSixtyFour() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.ThresholdOutOfRange.selector, 65, 1, 64));
        _deploy(address(stakeToken), COURT, 1, 65);
    }

    function test_WhenArgumentsAreValid() external {
        OracleQuorum fresh = _deploy(address(stakeToken), COURT, 5, 64);
        assertEq(fresh.STAKE_TOKEN(), address(stakeToken));
        assertEq(fresh.COURT(), COURT);
        assertEq(fresh.owner(), OWNER);
        assertEq(fresh.MEMBER_BOND(), 5);
        assertEq(fresh.ROTATION_SECONDS(), 7);
        assertEq(fresh.EXIT_SECONDS(), 8);
        assertEq(fresh.MAX_MEMBERS(), 64);
        assertEq(fresh.threshold(), 64);
        assertEq(fresh.activeMembers(), 0);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("GPGPU"),
                keccak256("1"),
                block.chainid,
                address(fresh)
            )
        );
        assertEq(fresh.domainSeparator(), domain);
    }

    function _deploy(address stakeToken_, address court, uint96 memberBond, uint8 threshold)
        private
        returns (OracleQuorum)
    {
        return new OracleQuorum(stakeToken_, court, OWNER, memberBond, 7, 8, threshold);
    }
}
