// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import { ComputeCourt } from "../../../contracts/ComputeCourt.sol";
import { CourtParameters } from "../../../contracts/interfaces/ICourtBook.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { Base } from "../Base.sol";
import { Checks } from "./Checks.sol";
import { Handler } from "./Handler.sol";
import { Protocol } from "./Shadows.sol";

/// The invariants of the protocol, over any sequence of calls by anyone:
/// 1. For each token: a contract's balance is what it owes: unspent deposits, credits, fees, stakes, compensations, bonds.
/// 2. For each closed lease: paid + fee + refunded = deposits in, to the unit, and its storage is a tombstone.
/// 3. A lease is settled once a second, a credit is withdrawn once, terms open once, a proof and a relayed call count once.
/// 4. Pay never exceeds price x proven seconds; proven <= scheduled <= end - start; the end is always funded.
/// 5. A unit's hours are never booked twice.
/// 6. Locked + unbonding <= stake; nothing leaves before its time or while locked.
/// 7. No role takes what belongs to another: the owner and an attacker change nothing.
/// 8. Every dispute can be ended and every lease closed by anyone once its last time has come, whatever has been done,
///    and then everybody is paid in full.
/// 9. Slashed = restitution + fee and reward + burned = the bond, once; else compensation is the share of the bond for
///    seconds owed and not settled, and never more than the bond.
/// 10. Settling in k steps equals settling once.
/// 11. States only move forward: a breached lease takes no proof and only closes, a tombstone stays; settled seconds and
///     the chain of proofs only grow.
/// 12. A transfer conserves: the buyer pays what the seller is credited.
/// The handler checks events and refusals as they come; after each call the sums and the leases that it touched are
/// checked, after each run all there is.
/// forge-config: default.invariant.fail-on-revert = true
/// forge-config: nightly.invariant.fail-on-revert = true
contract InvariantsTest is Checks {
    function setUp() public override {
        vm.roll(1000);
        vm.warp(MONDAY - ROTATION_SECONDS);
        super.setUp();
        // Nobody of the base test takes part.
        address expected = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 5);
        deploy(address(stakeToken), expected);
        court = new ComputeCourt(market, registry, quorum, courtParameters());
        assertEq(address(court), expected, "court's address");
        payments.push(IERC20(address(token)));
        payments.push(IERC20(address(new DevToken("Euro", "EUR", 18))));
        // The stake token pays for leases too: its two roles must never mix.
        payments.push(IERC20(address(stakeToken)));
        payments.push(IERC20(address(wrapped)));
        for (uint256 i = 0; i < payments.length; ++i) {
            allowToken(address(payments[i]));
        }
        handler = new Handler(
            Protocol(market, registry, quorum, court, stakeToken, wrapped, digests, OWNER), payments
        );
        address treasury = handler.treasuries(0);
        vm.startPrank(OWNER);
        amendments.setTreasury(treasury);
        for (uint256 i = 0; i < handler.ARBITERS(); ++i) {
            quorum.addMember(handler.arbiters(i), handler.operators(i));
        }
        vm.stopPrank();
        skip(ROTATION_SECONDS);
        handler.prepare();
        _target();
    }

    function invariant_1to12_TheProtocolKeepsItsPromises() external view {
        _check1_BalancesAreWhatIsOwed();
        _check6_LockedAndUnbondingAreWithinTheStake();
        _check7_TheAttackerHasNothing();
        uint256[] memory touched = handler.touched();
        for (uint256 i = 0; i < touched.length; ++i) {
            _checkLease(touched[i]);
        }
    }

    /// At the end of every run.
    function afterInvariant() external {
        _checkAll();
        _letEverybodyOut();
    }

    /// A campaign is worth what its calls reach: this fixed one must reach everything.
    function test_HandlerReachesTheDeepStates() external {
        vm.pauseGasMetering();
        bytes4[] memory selectors = _selectors();
        for (uint256 i = 0; i < 7000; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i)));
            uint256 b = uint256(keccak256(abi.encode(a)));
            bytes memory data = abi.encodeWithSelector(selectors[b % selectors.length], a, b >> 8);
            (bool ok, bytes memory result) = address(handler).call(data);
            assertTrue(ok, vm.toString(result));
        }
        _checkAll();
        _letEverybodyOut();
        string[101] memory actions = [
            "stake",
            "startUnbonding",
            "cancelUnbonding",
            "withdrawStake",
            "withdrawStake refused",
            "rotateWorker",
            "retireUnit",
            "cancelSalt",
            "list",
            "openListed",
            "openSigned",
            "openNative",
            "openGang",
            "open again refused",
            "topUp",
            "topUpNative",
            "extend",
            "accept",
            "postOrder",
            "answerOrder",
            "answeredLate",
            "noticeOfProvider",
            "noticeOfRenter",
            "giveNoticeInGang",
            "cutByProvider",
            "cutByRenter",
            "cancelledBeforeStart",
            "transfer",
            "replayed transfer refused",
            "failover",
            "failedOverWithMoney",
            "postProof",
            "postProof refused",
            "postProofs",
            "replayed proof refused",
            "settle",
            "settleMany",
            "settledWithPay",
            "settledWithFee",
            "close",
            "close refused",
            "closedWithPay",
            "closedWithPayAndRefund",
            "closedWithCompensation",
            "closedInFull",
            "closedAfterBreach",
            "releaseHours",
            "withdraw",
            "withdrawFees",
            "withdrawCompensation",
            "withdrawFromCourt",
            "sweepBurned",
            "relay refused",
            "challengeJob",
            "challengeAvailability",
            "startBisection",
            "claimTimeout",
            "draw",
            "voteData",
            "commit",
            "reveal",
            "resolve",
            "withheld",
            "inconclusive",
            "lastPostMoved",
            "slashed",
            "penalised",
            "setToken",
            "attack",
            "donate",
            "unlist",
            "raiseEpoch",
            "openPermitted",
            "refuteTrace",
            "revealLeaves",
            "resolveMoot",
            "stands",
            "refuted",
            "overclaimed",
            "moot",
            "claimCut",
            "bondSlashed",
            "sweepBurnedInCourt",
            "attackOnBreached",
            "retireUnit refused",
            "unlist refused",
            "topUp refused",
            "extend refused",
            "accept refused",
            "openSigned refused",
            "openListed refused",
            "openGang refused",
            "openNative refused",
            "giveNoticeInGang refused",
            "transfer refused",
            "failover refused",
            "postProofs refused",
            "challengeJob refused",
            "challengeAvailability refused",
            "challengeAvailability relayed",
            "commit relayed"
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            emit log_named_uint(actions[i], handler.calls(actions[i]));
        }
        for (uint256 i = 0; i < actions.length; ++i) {
            assertGe(handler.calls(actions[i]), 1, actions[i]);
        }
    }

    /// Of the handler's four arbiters.
    function quorumThreshold() internal pure override returns (uint8) {
        return 3;
    }

    function courtParameters() private pure returns (CourtParameters memory) {
        return CourtParameters({
            challengeBond: 100e18,
            absencePenalty: 10e18,
            committeeSize: 3,
            drawDelayBlocks: 4,
            drawSeconds: 2 hours,
            dataSeconds: 2 hours,
            commitSeconds: 2 hours,
            revealSeconds: 2 hours,
            clockSeconds: 2 hours
        });
    }

    function _target() private {
        targetSelector(FuzzSelector({ addr: address(handler), selectors: _selectors() }));
        targetContract(address(handler));
    }

    function _selectors() private view returns (bytes4[] memory selectors) {
        selectors = new bytes4[](24);
        selectors[0] = handler.housekeeping.selector;
        selectors[1] = handler.open.selector;
        selectors[2] = handler.openGang.selector;
        selectors[3] = handler.extend.selector;
        selectors[4] = handler.postProof.selector;
        selectors[5] = handler.postProofs.selector;
        selectors[6] = handler.accept.selector;
        selectors[7] = handler.postOrder.selector;
        selectors[8] = handler.answerOrder.selector;
        selectors[9] = handler.giveNotice.selector;
        selectors[10] = handler.giveNoticeInGang.selector;
        selectors[11] = handler.transfer.selector;
        selectors[12] = handler.failover.selector;
        selectors[13] = handler.settle.selector;
        selectors[14] = handler.settleMany.selector;
        selectors[15] = handler.close.selector;
        selectors[16] = handler.releaseHours.selector;
        selectors[17] = handler.withdraw.selector;
        selectors[18] = handler.dispute.selector;
        selectors[19] = handler.judge.selector;
        selectors[20] = handler.warpTo.selector;
        selectors[21] = handler.others.selector;
        selectors[22] = handler.topUp.selector;
        selectors[23] = handler.warp.selector;
    }
}
