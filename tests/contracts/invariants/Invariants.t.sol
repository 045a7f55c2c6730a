// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { LeaseState, LeaseStatus, Offer, OfferKind } from "../../../contracts/libraries/Types.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { Base } from "../Base.sol";
import { Handler, Shadow } from "./Handler.sol";

/// The invariants of the protocol, over any sequence of calls by anyone:
/// 1. For each token: a contract's balance is what it owes: unspent deposits, credits, stakes, compensations.
/// 2. For each closed lease: paid + fee + refunded = deposit, to the unit.
/// 3. A lease is settled once a second, a credit is withdrawn once, terms open once, a proof counts once.
/// 4. Pay never exceeds price x proven seconds; proven <= scheduled <= end - start; the end is always funded.
/// 5. A unit's hours are never booked twice.
/// 6. Locked + unbonding <= stake; nothing leaves before its time or while locked.
/// 7. No role takes what belongs to another: the owner and a stranger change nothing.
/// 8. Every lease can be closed by anyone once its last time has come, and then everybody is paid in full.
/// 9. Compensation is the share of the bond for seconds owed and not settled, and never more than the bond.
/// Those of disputes and slashes come with the court.
/// forge-config: default.invariant.fail-on-revert = true
/// forge-config: nightly.invariant.fail-on-revert = true
contract InvariantsTest is Base {
    Handler private handler;
    DevToken[] private payments;

    function setUp() public override {
        vm.warp(MONDAY);
        super.setUp();
        // Nobody of the base test takes part.
        (registry, market) = deploy(address(stakeToken));
        payments.push(token);
        payments.push(new DevToken("Euro", "EUR", 18));
        // The stake token pays for leases too: its two roles must never mix.
        payments.push(stakeToken);
        vm.startPrank(OWNER);
        for (uint256 i = 0; i < payments.length; ++i) {
            market.allowToken(address(payments[i]), true);
        }
        vm.stopPrank();
        handler = new Handler(market, stakeToken, payments, digests, OWNER);
        address treasury = handler.treasuries(0);
        vm.prank(OWNER);
        market.setTreasury(treasury);
        _target();
    }

    function invariant_1_BalancesAreWhatIsOwed() external view {
        for (uint256 i = 0; i < payments.length; ++i) {
            address payment = address(payments[i]);
            uint256 owed = handler.donated(address(market), payment);
            for (uint256 j = 0; j < handler.shadowCount(); ++j) {
                Shadow memory shadow = handler.shadowAt(j);
                if (shadow.terms.offer.token != payment || shadow.status != LeaseStatus.OPEN) continue;
                owed += shadow.deposit - shadow.paid - shadow.fees;
            }
            for (uint256 j = 0; j < handler.ACTORS(); ++j) {
                owed += market.creditOf(payment, handler.providers(j));
                owed += market.creditOf(payment, handler.renters(j));
                owed += market.creditOf(payment, handler.treasuries(j));
            }
            assertEq(payments[i].balanceOf(address(market)), owed, "market");
        }
        uint256 staked = handler.donated(address(registry), address(stakeToken));
        for (uint256 j = 0; j < handler.ACTORS(); ++j) {
            (uint96 stake,) = stakeOf(handler.providers(j));
            staked += stake;
            staked += registry.compensationOf(handler.renters(j));
        }
        assertEq(stakeToken.balanceOf(address(registry)), staked, "registry");
    }

    function invariant_2and9_ClosedLeasesAddUp() external view {
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            Shadow memory shadow = handler.shadowAt(i);
            Offer memory offer = shadow.terms.offer;
            if (shadow.status != LeaseStatus.CLOSED) continue;
            assertEq(shadow.paid + shadow.fees + shadow.refunded, shadow.deposit, "deposit");
            uint256 unserved = shadow.owedSeconds - shadow.settledSeconds;
            uint256 expected = offer.kind == OfferKind.IDLE || shadow.owedSeconds == 0
                ? 0
                : uint256(offer.bond) * unserved / shadow.owedSeconds;
            assertEq(shadow.compensated, expected, "compensation");
            assertLe(shadow.compensated, offer.bond);
            LeaseState memory tombstone;
            tombstone.status = LeaseStatus.CLOSED;
            assertEq(abi.encode(market.leaseState(shadow.leaseId)), abi.encode(tombstone), "tombstone");
        }
    }

    function invariant_3_CreditsAreWithdrawnOnce() external view {
        for (uint256 j = 0; j < handler.ACTORS(); ++j) {
            for (uint256 i = 0; i < payments.length; ++i) {
                _assertCredit(address(payments[i]), handler.providers(j));
                _assertCredit(address(payments[i]), handler.renters(j));
                _assertCredit(address(payments[i]), handler.treasuries(j));
            }
            address renter = handler.renters(j);
            assertEq(
                registry.compensationOf(renter),
                handler.compensated(renter) - handler.compensationWithdrawn(renter)
            );
        }
    }

    function invariant_4_ProvenAndFundedAsScheduled() external view {
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            Shadow memory shadow = handler.shadowAt(i);
            uint256 price = shadow.terms.offer.pricePerHour;
            assertLe((shadow.paid + shadow.fees) * 3600, price * shadow.settledSeconds, "pay");
            LeaseState memory state = market.leaseState(shadow.leaseId);
            if (state.status != LeaseStatus.OPEN) continue;
            uint256 scheduled =
                market.scheduledSeconds(shadow.terms.weeklyHours, shadow.terms.start, shadow.end);
            assertEq(uint256(shadow.terms.start) + state.endOffset, shadow.end, "end");
            assertEq(state.settledSeconds, shadow.settledSeconds, "settled");
            if (state.matureOffset != 0) assertGe(state.pendingSeconds, state.settledSeconds);
            else assertEq(state.pendingSeconds, 0);
            assertLe(state.pendingSeconds, scheduled, "pending within schedule");
            assertLe(state.settledSeconds, scheduled, "settled within schedule");
            assertLe(scheduled, shadow.end - shadow.terms.start, "schedule within the lease");
            assertGe(uint256(state.deposit) * 3600, price * scheduled, "funded");
            if (shadow.terms.offer.kind == OfferKind.RESERVED) {
                assertEq(scheduled + state.penaltySeconds, shadow.owedSeconds, "owed");
            }
        }
    }

    function invariant_5_HoursAreBookedOnce() external view {
        for (uint256 i = 0; i < 2 * handler.ACTORS(); ++i) {
            bytes32 unit = handler.units(i);
            assertEq(bookedHoursOf(unit), handler.bookedHoursOf(unit));
        }
    }

    function invariant_6_LockedAndUnbondingAreWithinTheStake() external view {
        for (uint256 i = 0; i < handler.ACTORS(); ++i) {
            address provider = handler.providers(i);
            (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(provider);
            assertEq(account.stake, handler.staked(provider), "stake");
            assertEq(account.locked, handler.lockedOf(provider), "locked");
            assertEq(unbonding, handler.unbonding(provider), "unbonding");
            assertLe(uint256(account.locked) + unbonding, account.stake);
            assertEq(registry.freeStakeOf(provider), handler.freeStakeOf(provider), "free");
        }
    }

    function invariant_7_TheAttackerHasNothing() external view {
        address attacker = handler.ATTACKER();
        for (uint256 i = 0; i < payments.length; ++i) {
            assertEq(payments[i].balanceOf(attacker), 0);
            assertEq(market.creditOf(address(payments[i]), attacker), 0);
        }
        assertEq(registry.compensationOf(attacker), 0);
        assertEq(market.owner(), OWNER);
    }

    /// Invariant 8, at the end of every campaign's run.
    function afterInvariant() external {
        _letEverybodyOut();
    }

    /// A campaign is worth what its calls reach: this fixed one must reach everything.
    function test_HandlerReachesTheDeepStates() external {
        for (uint256 seed = 0; seed < 1500; ++seed) {
            _act(uint256(keccak256(abi.encode(seed))));
        }
        string[31] memory actions = [
            "stake",
            "startUnbonding",
            "cancelUnbonding",
            "withdrawStake",
            "withdrawStakeTooEarly",
            "rotateWorker",
            "retireAndRegister",
            "unlist",
            "open",
            "openEmpty",
            "openBooked",
            "openUnbacked",
            "postProof",
            "postOverPending",
            "overclaim",
            "settle",
            "settledWithPay",
            "settledWithFee",
            "noticeOfProvider",
            "noticeOfRenter",
            "cutByProvider",
            "cutByRenter",
            "cancelledBeforeStart",
            "releaseHours",
            "close",
            "closeTooEarly",
            "closedWithPayAndRefund",
            "closedWithCompensation",
            "closedInFull",
            "withdraw",
            "withdrawCompensation"
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            assertGe(handler.calls(actions[i]), 3, actions[i]);
        }
        assertGe(handler.calls("attack"), 3);
        assertGe(handler.calls("ownerActs"), 3);
        assertGe(handler.calls("donate"), 3);
        _letEverybodyOut();
    }

    /// Everybody gets out, nobody helping: anyone closes every lease when its last time has come, every payee
    /// withdraws, every provider takes its stake; nothing is left but what was given away.
    function _letEverybodyOut() private {
        uint256 lastTime = vm.getBlockTimestamp();
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            Shadow memory shadow = handler.shadowAt(i);
            if (shadow.status != LeaseStatus.OPEN) continue;
            uint256 leaseLast = uint256(shadow.end) + PROOF_GRACE_SECONDS + CHALLENGE_SECONDS;
            if (leaseLast > lastTime) lastTime = leaseLast;
        }
        skipTo(lastTime + 1);
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            Shadow memory shadow = handler.shadowAt(i);
            if (shadow.status == LeaseStatus.OPEN) closeAs(STRANGER, shadow.terms);
        }
        for (uint256 i = 0; i < handler.ACTORS(); ++i) {
            for (uint256 j = 0; j < payments.length; ++j) {
                _takeCredit(payments[j], handler.providers(i));
                _takeCredit(payments[j], handler.renters(i));
                _takeCredit(payments[j], handler.treasuries(i));
            }
            _takeCompensation(handler.renters(i));
            _takeStake(handler.providers(i));
        }
        for (uint256 j = 0; j < payments.length; ++j) {
            address payment = address(payments[j]);
            assertEq(payments[j].balanceOf(address(market)), handler.donated(address(market), payment));
            assertEq(payments[j].balanceOf(address(registry)), handler.donated(address(registry), payment));
        }
        for (uint256 i = 0; i < 2 * handler.ACTORS(); ++i) {
            assertEq(bookedHoursOf(handler.units(i)), 0);
        }
    }

    function _act(uint256 seed) private {
        uint256 action = seed % 16;
        (uint256 a, uint256 b) = (uint256(keccak256(abi.encode(seed, 1))), seed >> 8);
        if (action < 2) handler.housekeeping(a, uint96(b));
        else if (action < 4) handler.open(a);
        else if (action < 7) handler.postProof(a, b);
        else if (action == 7) handler.settle(a, b);
        else if (action == 8) handler.giveNotice(a, b % 2 == 0);
        else if (action == 9) handler.releaseHours(a, b);
        else if (action < 12) handler.close(a, b);
        else if (action == 12) handler.withdraw(a, b);
        else if (action == 13) handler.warp(uint32(a));
        else if (action == 14) handler.warpTo(a, b);
        else handler.others(a, uint64(b));
    }

    function _takeCredit(DevToken payment, address account) private {
        uint256 credit = market.creditOf(address(payment), account);
        if (credit == 0) return;
        uint256 before = payment.balanceOf(account);
        vm.prank(account);
        market.withdraw(address(payment), account);
        assertEq(payment.balanceOf(account), before + credit);
    }

    function _takeCompensation(address account) private {
        if (registry.compensationOf(account) == 0) return;
        vm.prank(account);
        registry.withdrawCompensation(account);
    }

    function _takeStake(address provider) private {
        (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(provider);
        assertEq(account.locked, 0, "a bond stayed locked");
        vm.startPrank(provider);
        if (account.stake != unbonding) registry.startUnbonding(account.stake - unbonding);
        skip(UNBONDING_SECONDS);
        if (account.stake != 0) registry.withdrawStake(provider);
        vm.stopPrank();
        assertEq(registry.freeStakeOf(provider), 0);
    }

    function _assertCredit(address payment, address account) private view {
        assertEq(
            market.creditOf(payment, account),
            handler.credited(payment, account) - handler.withdrawn(payment, account)
        );
    }

    function _target() private {
        bytes4[] memory selectors = new bytes4[](11);
        selectors[0] = handler.housekeeping.selector;
        selectors[1] = handler.open.selector;
        selectors[2] = handler.postProof.selector;
        selectors[3] = handler.settle.selector;
        selectors[4] = handler.giveNotice.selector;
        selectors[5] = handler.releaseHours.selector;
        selectors[6] = handler.close.selector;
        selectors[7] = handler.withdraw.selector;
        selectors[8] = handler.warp.selector;
        selectors[9] = handler.warpTo.selector;
        selectors[10] = handler.others.selector;
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
        targetContract(address(handler));
    }
}
