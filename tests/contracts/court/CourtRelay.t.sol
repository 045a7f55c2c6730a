// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";

import { DisputeKey, ICourtBook } from "../../../contracts/interfaces/ICourtBook.sol";
import { ICourtProceedings } from "../../../contracts/interfaces/ICourtProceedings.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { RelayedCall } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

/// The renter has stake tokens and no native coin.
contract CourtRelayTest is CourtBase {
    function setUp() public override {
        super.setUp();
        stakeToken.mint(RENTER, CHALLENGE_BOND);
    }

    function test_WhenARenterChallengesWithoutGas() external {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(stakeToken, address(court), CHALLENGE_BOND);
        vm.prank(KEEPER);
        stakeToken.permit(RENTER, address(court), CHALLENGE_BOND, vm.getBlockTimestamp(), v, r, s);
        vm.expectEmit(address(court));
        emit IRelayedContext.Relayed(RENTER, 0, KEEPER);
        vm.expectEmit(address(court));
        emit ICourtBook.Deposited(RENTER, CHALLENGE_BOND);
        _relay(RENTER_KEY, abi.encodeCall(court.deposit, (CHALLENGE_BOND)));
        assertEq(court.balanceOf(RENTER), CHALLENGE_BOND);
        _relay(RENTER_KEY, abi.encodeCall(court.challengeJob, (terms, proof, proven())));
        assertEq(court.disputeOf(idOf(jobKey())).challenger, RENTER);
        assertEq(court.balanceOf(RENTER), 0);
        assertEq(court.nonces(RENTER), 2);
        assertBooks(1);
    }

    function test_WhenARenterWithdrawsWithoutGas() external {
        fund(RENTER, CHALLENGE_BOND);
        _relay(RENTER_KEY, abi.encodeCall(court.withdraw, (STRANGER, CHALLENGE_BOND)));
        assertEq(stakeToken.balanceOf(STRANGER), CHALLENGE_BOND);
        assertEq(court.balanceOf(RENTER), 0);
        assertBooks(0);
    }

    function test_WhenTheCallIsOfCourtProceedings() external {
        DisputeKey memory key = challengeJob();
        uint8 member = drawCommittee(key)[0];
        _relay(arbiterKeys[member], abi.encodeCall(ICourtProceedings.commit, (key, member, "commitment")));
        uint32 drawBlock = court.disputeOf(idOf(key)).drawBlock;
        assertEq(court.ballotOf(idOf(key), drawBlock, member).commitment, "commitment");
    }

    function test_RevertWhen_AnotherSpeaksForAnArbiter() external {
        DisputeKey memory key = challengeJob();
        uint8 member = drawCommittee(key)[0];
        bytes memory data = abi.encodeCall(ICourtProceedings.commit, (key, member, "commitment"));
        // Bytes behind a call that is not relayed name nobody.
        vm.prank(STRANGER);
        (bool ok, bytes memory result) = address(court).call(bytes.concat(data, bytes20(arbiters[member])));
        assertFalse(ok);
        assertEq(result, abi.encodeWithSelector(ICourtBook.OnlyArbiter.selector, arbiters[member], STRANGER));
    }

    function test_RevertWhen_SignedForTheMarket() external {
        RelayedCall memory call = _call(RENTER, abi.encodeCall(court.withdraw, (STRANGER, 1)));
        bytes memory signature = signAs(RENTER_KEY, digests.hashRelayedCall(call));
        vm.expectRevert(
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, RENTER, _digestOf(call))
        );
        court.relay(call, signature);
    }

    function test_RevertWhen_SentTwice() external {
        fund(RENTER, 2);
        RelayedCall memory call = _call(RENTER, abi.encodeCall(court.withdraw, (STRANGER, 1)));
        bytes memory signature = _sign(RENTER_KEY, call);
        court.relay(call, signature);
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, RENTER, 1));
        court.relay(call, signature);
    }

    function test_RevertWhen_CallIsLate() external {
        RelayedCall memory call = _call(RENTER, abi.encodeCall(court.withdraw, (STRANGER, 1)));
        bytes memory signature = _sign(RENTER_KEY, call);
        skip(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRelayedContext.SignatureExpired.selector, call.deadline, vm.getBlockTimestamp()
            )
        );
        court.relay(call, signature);
    }

    function test_RevertWhen_RelayedCallFails() external {
        RelayedCall memory call = _call(RENTER, abi.encodeCall(court.withdraw, (STRANGER, 1)));
        bytes memory signature = _sign(RENTER_KEY, call);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.BalanceTooSmall.selector, 1, 0));
        court.relay(call, signature);
        assertEq(court.nonces(RENTER), 0);
    }

    function _relay(uint256 key, bytes memory data) private {
        RelayedCall memory call = _call(vm.addr(key), data);
        bytes memory signature = _sign(key, call);
        vm.prank(KEEPER);
        court.relay(call, signature);
    }

    function _call(address account, bytes memory data) private view returns (RelayedCall memory) {
        return RelayedCall({
            account: account,
            data: data,
            nonce: court.nonces(account),
            deadline: uint40(vm.getBlockTimestamp())
        });
    }

    function _sign(uint256 key, RelayedCall memory call) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digestOf(call));
        return abi.encodePacked(r, s, v);
    }

    function _digestOf(RelayedCall memory call) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", court.domainSeparator(), digests.hashRelayedCall(call)));
    }
}
