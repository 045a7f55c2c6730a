// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import { OracleQuorum } from "../../../contracts/OracleQuorum.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { HookToken } from "../mocks/HookToken.sol";
import { LyingToken } from "../mocks/LyingToken.sol";
import { SkewedToken } from "../mocks/SkewedToken.sol";
import { QuorumBase } from "./QuorumBase.sol";

contract BondsTest is QuorumBase {
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    function test_RevertWhen_DepositIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAmount.selector);
        quorum.depositBond(0, 0);
    }

    function test_RevertWhen_DepositIsForNobody() external {
        _expectUnknown(3);
        quorum.depositBond(3, 1);
    }

    function test_RevertWhen_AllowanceIsMissing() external {
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(quorum), 0, 1)
        );
        vm.prank(STRANGER);
        quorum.depositBond(0, 1);
    }

    function test_RevertWhen_TokenTakesAFee() external {
        SkewedToken skewed = new SkewedToken();
        OracleQuorum other = _quorumOf(address(skewed));
        skewed.mint(address(this), 10);
        skewed.approve(address(other), 10);
        skewed.setSkew(-1, false);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 10, 9));
        other.depositBond(0, 10);
    }

    function test_RevertWhen_TokenOnlySaysThatItMoved() external {
        LyingToken lying = new LyingToken();
        OracleQuorum other = _quorumOf(address(lying));
        lying.setAnswer(LyingToken.Answer.TRUE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, 10, 0));
        other.depositBond(0, 10);
        lying.setAnswer(LyingToken.Answer.FALSE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        other.depositBond(0, 10);
    }

    function test_WhenAmountArrives() external {
        uint256 before = stakeToken.balanceOf(address(quorum));
        stakeToken.mint(STRANGER, 7);
        vm.startPrank(STRANGER);
        stakeToken.approve(address(quorum), 7);
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.BondDeposited(1, STRANGER, 7);
        quorum.depositBond(1, 7);
        assertEq(quorum.memberAt(1).bond, MEMBER_BOND + 7);
        assertEq(stakeToken.balanceOf(address(quorum)), before + 7);
    }

    function test_RevertWhen_RecipientIsZero() external {
        vm.expectRevert(IOracleQuorum.ZeroAddress.selector);
        vm.prank(OPERATOR);
        quorum.withdrawBond(0, address(0));
    }

    function test_RevertWhen_WithdrawnMemberIsUnknown() external {
        _expectUnknown(3);
        vm.prank(OPERATOR);
        quorum.withdrawBond(3, OPERATOR);
    }

    function test_RevertWhen_TheOwnerWithdraws() external {
        removeMember(0);
        skip(ROTATION_SECONDS + EXIT_SECONDS);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.OnlyOperator.selector, OPERATOR, OWNER));
        vm.prank(OWNER);
        quorum.withdrawBond(0, OWNER);
    }

    function test_RevertWhen_TheMemberStays() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.StillBonded.selector, 0, vm.getBlockTimestamp()));
        vm.prank(OPERATOR);
        quorum.withdrawBond(0, OPERATOR);
    }

    function test_RevertWhen_DisputesMayStillRun() external {
        removeMember(0);
        uint256 withdrawableAt = vm.getBlockTimestamp() + ROTATION_SECONDS + EXIT_SECONDS;
        skipTo(withdrawableAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IOracleQuorum.StillBonded.selector, uint40(withdrawableAt), withdrawableAt - 1
            )
        );
        vm.prank(OPERATOR);
        quorum.withdrawBond(0, OPERATOR);
    }

    function test_WhenTheExitIsOver() external {
        removeMember(0);
        skip(ROTATION_SECONDS + EXIT_SECONDS);
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.BondWithdrawn(0, STRANGER, MEMBER_BOND);
        assertEq(_withdraw(0), MEMBER_BOND);
        assertEq(stakeToken.balanceOf(STRANGER), MEMBER_BOND);
        assertEq(stakeToken.balanceOf(address(quorum)), (MEMBERS - 1) * uint256(MEMBER_BOND));
        assertEq(quorum.memberAt(0).signer, address(0));
        // The lowest index, and the signer, may be used anew; the bond is paid once.
        _expectUnknown(0);
        _withdraw(0);
        addMember(0);
        assertEq(quorum.memberAt(0).bond, 0);
    }

    function test_WhenNothingIsLeftOfTheBond() external {
        penalise(0, MEMBER_BOND);
        removeMember(0);
        skip(ROTATION_SECONDS + EXIT_SECONDS);
        assertEq(_withdraw(0), 0);
        assertEq(quorum.memberAt(0).signer, address(0));
    }

    function test_RevertWhen_AnotherPenalises() external {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.OnlyCourt.selector, COURT, OWNER));
        vm.prank(OWNER);
        quorum.penalise(0, 1);
    }

    function test_RevertWhen_PenalisedMemberIsUnknown() external {
        _expectUnknown(3);
        penalise(3, 1);
    }

    function test_WhenTheBondCoversThePenalty() external {
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.MemberPenalised(1, 5);
        penalise(1, 5);
        assertEq(quorum.memberAt(1).bond, MEMBER_BOND - 5);
        assertEq(stakeToken.balanceOf(NOBODY), 5);
        assertEq(quorum.activeMembers(), 5);
    }

    function test_WhenThePenaltyExceedsTheBond() external {
        penalise(1, MEMBER_BOND + 1);
        assertEq(quorum.memberAt(1).bond, 0);
        assertEq(stakeToken.balanceOf(NOBODY), MEMBER_BOND);
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.MemberPenalised(1, 0);
        penalise(1, 1);
        assertEq(stakeToken.balanceOf(NOBODY), MEMBER_BOND);
    }

    function test_WhenAMemberThatLeavesIsPenalised() external {
        removeMember(1);
        skip(ROTATION_SECONDS + EXIT_SECONDS);
        penalise(1, 5);
        assertEq(_withdraw(1), MEMBER_BOND - 5);
    }

    function test_Attack_TheTokenWithdrawsTwice() external {
        HookToken hook = new HookToken();
        OracleQuorum other = _quorumOf(address(hook), address(hook));
        hook.mint(address(this), 20);
        hook.approve(address(other), 20);
        other.depositBond(0, 20);
        vm.prank(OWNER);
        other.removeMember(0);
        skip(2 days);
        bytes memory again = abi.encodeCall(other.withdrawBond, (0, STRANGER));
        hook.arm(address(other), again);
        hook.execute(address(other), again);
        assertEq(hook.hookCalls(), 1);
        assertFalse(hook.hookSucceeded());
        assertEq(
            hook.hookResult(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
        assertEq(hook.balanceOf(STRANGER), 20);
    }

    function testFuzz_TheBalanceIsTheSumOfTheBonds(uint96 deposit, uint96 penalty, uint8 member) external {
        member %= MEMBERS;
        deposit = uint96(bound(deposit, 1, type(uint96).max - MEMBER_BOND));
        depositBond(member, deposit);
        penalise(member, penalty);
        uint256 bonds = 0;
        for (uint8 i = 0; i < MEMBERS; ++i) {
            bonds += quorum.memberAt(i).bond;
        }
        assertEq(stakeToken.balanceOf(address(quorum)), bonds);
        uint256 deposited = MEMBERS * uint256(MEMBER_BOND) + deposit;
        assertEq(bonds + stakeToken.balanceOf(NOBODY), deposited);
    }

    function _quorumOf(address token_) private returns (OracleQuorum) {
        return _quorumOf(token_, OPERATOR);
    }

    function _quorumOf(address token_, address operator) private returns (OracleQuorum other) {
        other = new OracleQuorum(token_, COURT, OWNER, 10, 1 days, 1 days, 1);
        vm.prank(OWNER);
        other.addMember(STRANGER, operator);
    }

    function _withdraw(uint8 member) private returns (uint96) {
        vm.prank(OPERATOR);
        return quorum.withdrawBond(member, STRANGER);
    }

    function _expectUnknown(uint8 member) private {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.MemberUnknown.selector, member));
    }
}
