// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { CompletionProof, LeaseState, OfferKind, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// Money against plain arithmetic on whole leases.
contract AccrualTest is Base {
    bytes32 private twinUnit;

    function setUp() public override {
        super.setUp();
        twinUnit = registerUnitAs(PROVIDER, WORKER, "twin", gpuIdsOf("twin", 2));
        token.mint(RENTER, 1e30);
    }

    function testFuzz_ManySettlementsEqualOne(
        uint96 price,
        uint168 mask,
        uint16 feeBps,
        uint32 duration,
        uint256 seed
    ) external {
        Terms memory stepwise = _terms(price, mask, feeBps, duration, 0);
        if (!_isScheduled(stepwise)) return;
        Terms memory atOnce = _terms(price, mask, feeBps, duration, 0);
        atOnce.offer.unitId = twinUnit;
        openLease(stepwise);
        openLease(atOnce);

        (uint256 paid, uint256 fees) = (0, 0);
        uint256 steps = 1 + seed % 7;
        for (uint256 i = 0; i < steps; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            skip(bound(seed, 1, (stepwise.end - stepwise.start) / steps + 1));
            (uint96 pay, uint96 fee) = prove(stepwise, _claim(stepwise, seed));
            (paid, fees) = (paid + pay, fees + fee);
        }
        if (vm.getBlockTimestamp() < stepwise.end) skipTo(stepwise.end);
        uint32 claim = _claim(stepwise, seed);
        postProof(stepwise, claim);
        (uint96 wholePay, uint96 wholeFee) = prove(atOnce, claim);
        (uint96 lastPay, uint96 lastFee) = market.settle(stepwise);
        assertEq(paid + lastPay, wholePay, "pay");
        assertEq(fees + lastFee, wholeFee, "fee");
        assertEq(stateOf(stepwise).settledSeconds, stateOf(atOnce).settledSeconds);
    }

    function testFuzz_PayFeeAndRefundAreTheDeposit(
        uint96 price,
        uint168 mask,
        uint16 feeBps,
        uint32 duration,
        uint256 seed
    ) external {
        Terms memory terms = _terms(price, mask, feeBps, duration, 0);
        if (!_isScheduled(terms)) return;
        uint256 deposit = market.leaseState(openLease(terms)).deposit;
        if (seed % 3 == 0) {
            skip((seed >> 8) % (terms.end - terms.start));
            giveNoticeAs((seed >> 2) % 2 == 0 ? PROVIDER : RENTER, terms);
        }
        if (vm.getBlockTimestamp() < endOf(terms)) skipTo(endOf(terms));
        (uint256 paid, uint256 fees) = prove(terms, _claim(terms, seed >> 64));
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        uint256 refund = creditOf(RENTER);
        assertEq(paid + fees + refund, deposit);
        assertEq(creditOf(PROVIDER), paid);
        assertEq(feesKept(), fees);
        assertEq(token.balanceOf(address(market)), deposit);
        _withdrawAll();
        assertEq(token.balanceOf(address(market)), 0);
    }

    function testFuzz_PayNeverExceedsPriceTimesProvenSeconds(uint96 price, uint16 feeBps, uint256 seed)
        external
    {
        Terms memory terms = _terms(price, ALWAYS, feeBps, 30 days, 0);
        openLease(terms);
        (uint256 paid, uint256 fees, uint256 claim) = (0, 0, 0);
        for (uint256 i = 0; i < 4; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            skip(seed % 7 days);
            claim = _claim(terms, seed >> 64);
            (uint96 pay, uint96 fee) = prove(terms, uint32(claim));
            (paid, fees) = (paid + pay, fees + fee);
            assertLe((paid + fees) * 3600, claim * terms.offer.pricePerHour);
            assertGt((paid + fees + 1) * 3600, claim * terms.offer.pricePerHour);
        }
    }

    /// Start and end lie anywhere in their hours.
    function testFuzz_DepositAndPayAreThoseOfTheNaiveLoop(
        uint96 price,
        uint168 mask,
        uint32 delay,
        uint32 duration,
        uint32 served
    ) external {
        Terms memory terms = _terms(price, mask, 0, duration % 3 days, 0);
        terms.start += delay % 7 days;
        terms.end += delay % 7 days;
        terms.maxEnd = terms.end;
        uint256 scheduled = _naive(mask, terms.start, terms.end);
        if (scheduled == 0) return;
        uint256 deposit = market.leaseState(openLease(terms)).deposit;
        uint256 due = scheduled * terms.offer.pricePerHour;
        assertEq(deposit, due / 3600 + (due % 3600 == 0 ? 0 : 1));
        skipTo(terms.start + served % (terms.end - terms.start + 1));
        uint256 soFar = _naive(mask, terms.start, vm.getBlockTimestamp());
        CompletionProof memory proof = proofOf(terms, uint32(soFar + 1));
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.ProvenSecondsOutOfRange.selector, 0, soFar, uint32(soFar + 1))
        );
        vm.prank(WORKER);
        market.postProof(terms, proof, "");
        (uint96 pay, uint96 fee) = prove(terms, uint32(soFar));
        assertEq(uint256(pay) + fee, soFar * terms.offer.pricePerHour / 3600);
    }

    function testFuzz_FeeNeverExceedsItsShare(uint96 price, uint16 feeBps, uint32 duration) external {
        Terms memory terms = _terms(price, ALWAYS, feeBps, duration, 0);
        openLease(terms);
        skipTo(terms.end);
        (uint256 pay, uint256 fee) = prove(terms, uint32(terms.end - terms.start));
        assertEq(fee, (pay + fee) * terms.feeBps / 10_000);
        assertLe(fee * 100, (pay + fee) * 3);
    }

    function testFuzz_CompensationIsTheShareNotServed(
        uint168 mask,
        uint32 duration,
        uint96 bond,
        uint256 seed,
        bool idle
    ) external {
        Terms memory terms = _terms(1e6, mask, 0, duration, bond % (STAKE + 1));
        if (idle) terms.offer.kind = OfferKind.IDLE;
        if (!_isScheduled(terms)) return;
        openLease(terms);
        uint256 owed = market.scheduledSeconds(mask, terms.start, terms.end);
        if (seed % 2 == 0) {
            skip((seed >> 8) % (terms.end - terms.start));
            giveNoticeAs(PROVIDER, terms);
        }
        if (vm.getBlockTimestamp() < endOf(terms)) skipTo(endOf(terms));
        uint256 served = _claim(terms, seed >> 64);
        prove(terms, uint32(served));
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        uint256 expected = idle ? 0 : uint256(terms.offer.bond) * (owed - served) / owed;
        assertEq(registry.compensationOf(RENTER), expected);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - expected);
        assertEq(locked, 0);
    }

    function _terms(uint96 price, uint168 mask, uint16 feeBps, uint32 duration, uint96 bond)
        private
        returns (Terms memory terms)
    {
        terms = defaultTerms();
        // Small prices round often.
        terms.offer.pricePerHour = price % 3 == 0 ? price % 7200 : price % 1e24;
        terms.offer.minSeconds = 1;
        terms.offer.bond = bond;
        terms.weeklyHours = mask;
        terms.end = terms.start + uint40(bound(duration, 1, 30 days));
        terms.maxEnd = terms.end;
        terms.feeBps = feeBps % 301;
        vm.prank(OWNER);
        amendments.setToken(address(token), true, terms.feeBps);
    }

    /// Hour by hour, the first and the last one in part.
    function _naive(uint168 mask, uint256 from, uint256 to) private pure returns (uint256 total) {
        while (from < to) {
            uint256 next = (from / 1 hours + 1) * 1 hours;
            if (next > to) next = to;
            if (mask >> ((from - MONDAY) / 1 hours % 168) & 1 == 1) total += next - from;
            from = next;
        }
    }

    function _isScheduled(Terms memory terms) private view returns (bool) {
        return market.scheduledSeconds(terms.weeklyHours, terms.start, terms.end) != 0;
    }

    /// Anything from what is settled to what is scheduled so far.
    function _claim(Terms memory terms, uint256 seed) private view returns (uint32) {
        LeaseState memory state = stateOf(terms);
        uint256 least =
            state.settledSeconds > state.pendingSeconds ? state.settledSeconds : state.pendingSeconds;
        uint256 end = endOf(terms);
        uint256 now_ = vm.getBlockTimestamp() < end ? vm.getBlockTimestamp() : end;
        return
            uint32(bound(seed, least, market.scheduledSeconds(terms.weeklyHours, terms.start, uint40(now_))));
    }

    function _withdrawAll() private {
        address[2] memory payees = [PROVIDER, RENTER];
        for (uint256 i = 0; i < 2; ++i) {
            if (creditOf(payees[i]) == 0) continue;
            vm.prank(payees[i]);
            market.withdraw(address(token), payees[i]);
        }
        if (feesKept() != 0) amendments.withdrawFees(address(token));
    }
}
