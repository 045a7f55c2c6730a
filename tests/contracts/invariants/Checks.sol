// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import { ComputeCourt } from "../../../contracts/ComputeCourt.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import {
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    Offer,
    PostedOrder
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { Handler } from "./Handler.sol";
import { Case, Shadow } from "./Shadows.sol";

/// @title What must hold after each call, and that everybody gets out at the end
abstract contract Checks is Base {
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    Handler internal handler;
    ComputeCourt internal court;
    IERC20[] internal payments;

    function _check1_BalancesAreWhatIsOwed() internal view {
        for (uint256 i = 0; i < payments.length; ++i) {
            address payment = address(payments[i]);
            uint256 owed = handler.deposits(payment) + handler.credits(payment) + handler.fees(payment);
            assertEq(_held(address(market), payment), owed, "market");
            assertEq(market.feesOf(payment), handler.fees(payment), "fees");
        }
        address stakes = address(stakeToken);
        uint256 owedByRegistry = handler.stakes() + handler.compensations() + handler.burned();
        assertEq(_held(address(registry), stakes), owedByRegistry, "registry");
        assertEq(registry.burned(), handler.burned(), "burned");
        assertEq(
            _held(address(court), stakes) + registry.compensationOf(address(court)),
            handler.courtBalances() + handler.openBonds() * handler.CHALLENGE_BOND() + court.burned(),
            "court"
        );
        assertEq(_held(address(quorum), stakes), handler.arbitersBonds(), "quorum");
    }

    function _check6_LockedAndUnbondingAreWithinTheStake() internal view {
        for (uint256 i = 0; i < handler.ACTORS(); ++i) {
            address provider = handler.providers(i);
            (IProviderRegistry.StakeAccount memory account, uint96 unbonding) = registry.stakeOf(provider);
            assertEq(account.stake, handler.staked(provider), "stake");
            assertEq(account.locked, handler.lockedOf(provider), "locked");
            assertEq(unbonding, handler.unbonding(provider), "unbonding");
            assertEq(account.epoch, handler.epochOf(provider), "epoch");
            assertLe(uint256(account.locked) + unbonding, account.stake);
            assertEq(registry.freeStakeOf(provider), handler.freeStakeOf(provider), "free");
        }
    }

    function _check7_TheAttackerHasNothing() internal view {
        address attacker = handler.ATTACKER();
        for (uint256 i = 0; i < payments.length; ++i) {
            assertEq(payments[i].balanceOf(attacker), 0);
            assertEq(market.creditOf(address(payments[i]), attacker), 0);
        }
        assertEq(registry.compensationOf(attacker), 0);
        assertEq(market.owner(), OWNER);
    }

    function _checkLease(uint256 index) internal view {
        Shadow memory shadow = handler.shadowAt(index);
        LeaseState memory state = market.leaseState(shadow.leaseId);
        _check5_HoursAreBookedOnce(shadow.terms.offer.unitId);
        _check9_BondIsLostOnce(shadow);
        _check10_SettlingOftenEqualsSettlingOnce(shadow);
        if (shadow.status == LeaseStatus.CLOSED) _check2_ClosedLeasesAddUp(shadow, state);
        else _check4_ProvenAndFundedAsScheduled(shadow, state);
        _check3_CreditsAreWithdrawnOnce(shadow);
    }

    function _check2_ClosedLeasesAddUp(Shadow memory shadow, LeaseState memory state) private pure {
        assertEq(shadow.paid + shadow.fees + shadow.refunded, shadow.deposit, "deposit");
        LeaseState memory tombstone;
        tombstone.status = LeaseStatus.CLOSED;
        tombstone.flags = shadow.failed ? LeaseFlags.PROVIDER_FAILED : 0;
        assertEq(abi.encode(state), abi.encode(tombstone), "tombstone");
    }

    function _check3_CreditsAreWithdrawnOnce(Shadow memory shadow) private view {
        address payment = shadow.terms.offer.token;
        _checkCredit(payment, shadow.terms.offer.provider);
        _checkCredit(payment, shadow.renter);
        _checkCompensation(shadow.renter);
    }

    function _check4_ProvenAndFundedAsScheduled(Shadow memory shadow, LeaseState memory state) private view {
        _checkState(shadow, state);
        uint256 price = shadow.terms.offer.pricePerHour;
        uint256 scheduled = market.scheduledSeconds(shadow.terms.weeklyHours, shadow.terms.start, shadow.end);
        if (shadow.maturesAt != 0) assertGe(state.pendingSeconds, state.settledSeconds);
        else assertEq(state.pendingSeconds, 0);
        assertLe(state.pendingSeconds, scheduled, "pending within schedule");
        assertLe(state.settledSeconds, scheduled, "settled within schedule");
        assertLe(scheduled, shadow.end - shadow.terms.start, "schedule within the lease");
        assertGe(uint256(state.deposit) * 3600, price * scheduled, "funded");
        assertLe((shadow.paid + shadow.fees) * 3600, price * shadow.settledSeconds, "pay");
    }

    /// What is stored is what the events told.
    function _checkState(Shadow memory shadow, LeaseState memory state) private view {
        uint256 start = shadow.terms.start;
        assertEq(uint8(state.status), uint8(shadow.status), "status");
        assertEq(start + state.endOffset, shadow.end, "end");
        assertEq(state.deposit, shadow.deposit, "deposit");
        assertEq(state.settledSeconds, shadow.settledSeconds, "settled");
        assertEq(state.pendingSeconds, shadow.pendingSeconds, "pending");
        assertEq(state.matureOffset == 0 ? 0 : start + state.matureOffset, shadow.maturesAt, "maturity");
        assertEq(state.openDisputes, shadow.disputes, "disputes");
        assertEq(state.proofHash, shadow.proofHash, "proof");
        assertEq(state.renterOverride, shadow.transfers == 0 ? address(0) : shadow.renter, "renter");
        assertEq(state.penaltySeconds, shadow.penaltySeconds, "penalty");
        uint256 lastPost = state.lastPostOffset == 0 ? 0 : start + state.lastPostOffset;
        assertEq(lastPost, shadow.movedLastPost, "last post");
        assertEq(state.transfers, shadow.transfers, "transfers");
        assertEq(state.hops, shadow.hops, "hops");
        assertEq(state.flags & LeaseFlags.CLOSING != 0, shadow.closing, "closing");
        assertEq(state.flags & LeaseFlags.PROVIDER_FAILED != 0, shadow.failed, "failed");
        assertEq(state.flags & LeaseFlags.FAILED_OVER != 0, shadow.failedOver, "failed over");
        assertEq(state.flags & LeaseFlags.BOND_SLASHED != 0, shadow.bondSlashed, "bond slashed");
        assertEq(state.flags & LeaseFlags.HOURS_RELEASED == 0, shadow.hoursHeld, "hours held");
        PostedOrder memory order = market.postedOrderOf(shadow.leaseId);
        assertEq(order.orderDigest, shadow.order, "order");
        assertEq(order.answerWithin, shadow.answerWithin, "answer within");
        assertEq(order.lostSeconds, shadow.lostSeconds, "seconds lost");
    }

    function _check5_HoursAreBookedOnce(bytes32 unit) private view {
        assertEq(bookedHoursOf(unit), handler.bookedHoursOf(unit), "hours");
    }

    function _check9_BondIsLostOnce(Shadow memory shadow) private pure {
        Offer memory offer = shadow.terms.offer;
        assertLe(shadow.slashed + shadow.compensated, offer.bond, "lost more than the bond");
        if (shadow.bondSlashed) assertEq(shadow.compensated, 0, "compensated out of a slashed bond");
        if (shadow.status != LeaseStatus.CLOSED) assertEq(shadow.compensated, 0);
    }

    function _check10_SettlingOftenEqualsSettlingOnce(Shadow memory shadow) private pure {
        uint256 gross = uint256(shadow.terms.offer.pricePerHour) * shadow.settledSeconds / 3600;
        assertEq(shadow.paid + shadow.fees, gross, "pay and fee");
        assertEq(shadow.fees, gross * shadow.terms.feeBps / 10_000, "fee");
    }

    /// All sums once more, from nothing.
    function _checkAll() internal view {
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            _checkLease(i);
        }
        for (uint256 i = 0; i < payments.length; ++i) {
            _recount(address(payments[i]));
        }
        uint256 staked = registry.compensationOf(address(court)) + registry.burned();
        uint256 inCourt = court.burned() + court.balanceOf(handler.verifier());
        for (uint256 i = 0; i < handler.ACTORS(); ++i) {
            (uint96 stake,) = stakeOf(handler.providers(i));
            staked += stake + registry.compensationOf(handler.renters(i));
            inCourt += court.balanceOf(handler.renters(i)) + court.balanceOf(handler.providers(i));
        }
        for (uint256 i = 0; i < handler.ARBITERS(); ++i) {
            inCourt += court.balanceOf(handler.operators(i));
        }
        for (uint256 i = 0; i < handler.caseCount(); ++i) {
            if (handler.caseAt(i).open) inCourt += handler.CHALLENGE_BOND();
        }
        assertEq(_held(address(registry), address(stakeToken)), staked, "registry");
        uint256 heldInCourt = _held(address(court), address(stakeToken));
        assertEq(heldInCourt + registry.compensationOf(address(court)), inCourt, "court");
        _check1_BalancesAreWhatIsOwed();
        _check6_LockedAndUnbondingAreWithinTheStake();
        _check7_TheAttackerHasNothing();
    }

    /// Everybody gets out, nobody helping: anyone ends every dispute and closes every lease when its last time has come,
    /// every payee withdraws, every provider takes its stake; nothing is left but what was given away.
    function _letEverybodyOut() internal {
        skip(court.DISPUTE_MAX_SECONDS());
        for (uint256 i = 0; i < handler.caseCount(); ++i) {
            handler.endLate(i);
            assertFalse(handler.caseAt(i).open, "a dispute without an end");
        }
        uint256 lastTime = vm.getBlockTimestamp();
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            if (handler.shadowAt(i).status != LeaseStatus.OPEN) continue;
            uint256 leaseLast = handler.lastPostOf(i) + CHALLENGE_SECONDS;
            if (leaseLast > lastTime) lastTime = leaseLast;
        }
        skipTo(lastTime + 1);
        for (uint256 i = 0; i < handler.shadowCount(); ++i) {
            if (handler.shadowAt(i).status != LeaseStatus.CLOSED) handler.closeLate(i);
            _checkLease(i);
        }
        skip(UNBONDING_SECONDS);
        for (uint256 i = 0; i < handler.ACTORS(); ++i) {
            _takeEverything(handler.providers(i));
            _takeEverything(handler.renters(i));
            _takeStake(handler.providers(i));
        }
        _takeEverything(handler.verifier());
        for (uint256 i = 0; i < handler.ARBITERS(); ++i) {
            _takeEverything(handler.operators(i));
        }
        _assertEmpty();
    }

    function _assertEmpty() private {
        if (registry.burned() != 0) registry.sweepBurned();
        if (court.burned() != 0) court.sweepBurned();
        for (uint256 j = 0; j < payments.length; ++j) {
            address payment = address(payments[j]);
            if (market.feesOf(payment) != 0) amendments.withdrawFees(payment);
            assertEq(_held(address(market), payment), 0, "left in the market");
        }
        assertEq(_held(address(registry), address(stakeToken)), 0, "left in the registry");
        assertEq(_held(address(court), address(stakeToken)), 0, "left in the court");
        for (uint256 i = 0; i < handler.UNITS() * handler.ACTORS(); ++i) {
            assertEq(bookedHoursOf(handler.units(i)), 0, "hours left");
        }
    }

    function _takeEverything(address account) private {
        for (uint256 j = 0; j < payments.length; ++j) {
            uint256 credit = market.creditOf(address(payments[j]), account);
            if (credit == 0) continue;
            uint256 before = payments[j].balanceOf(account);
            vm.prank(account);
            market.withdraw(address(payments[j]), account);
            assertEq(payments[j].balanceOf(account), before + credit);
        }
        if (registry.compensationOf(account) != 0) {
            vm.prank(account);
            registry.withdrawCompensation(account);
        }
        uint96 balance = uint96(court.balanceOf(account));
        if (balance == 0) return;
        vm.prank(account);
        court.withdraw(account, balance);
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

    /// Deposits and credits of everybody.
    function _recount(address payment) private view {
        uint256 owed = market.feesOf(payment);
        for (uint256 j = 0; j < handler.shadowCount(); ++j) {
            Shadow memory shadow = handler.shadowAt(j);
            if (shadow.terms.offer.token != payment || shadow.status == LeaseStatus.CLOSED) continue;
            owed += shadow.deposit - shadow.paid - shadow.fees;
        }
        for (uint256 j = 0; j < handler.ACTORS(); ++j) {
            owed += market.creditOf(payment, handler.providers(j));
            owed += market.creditOf(payment, handler.renters(j));
            _checkCredit(payment, handler.providers(j));
            _checkCredit(payment, handler.renters(j));
            _checkCompensation(handler.renters(j));
        }
        assertEq(_held(address(market), payment), owed, "market");
    }

    function _checkCredit(address payment, address account) private view {
        assertEq(
            market.creditOf(payment, account),
            handler.credited(payment, account) - handler.withdrawn(payment, account),
            "credit"
        );
    }

    function _checkCompensation(address account) private view {
        assertEq(
            registry.compensationOf(account),
            handler.compensated(account) - handler.compensationWithdrawn(account),
            "compensation"
        );
    }

    /// Without what was given away.
    function _held(address holder, address payment) private view returns (uint256) {
        return IERC20(payment).balanceOf(holder) - handler.donated(holder, payment);
    }
}
