// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import { LeaseMarket } from "../../../contracts/LeaseMarket.sol";
import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { LeaseStatus, NoticeReason, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { HookToken } from "../mocks/HookToken.sol";
import { LyingToken } from "../mocks/LyingToken.sol";
import { SkewedToken } from "../mocks/SkewedToken.sol";

/// The owner allows these tokens, which it never should: money of other tokens stays whole even so.
contract HostileTokensTest is Base {
    uint96 private constant DEPOSIT = 36e6;

    SkewedToken private skewed;
    LyingToken private lying;
    HookToken private hook;

    function setUp() public override {
        super.setUp();
        skewed = new SkewedToken();
        lying = new LyingToken();
        hook = new HookToken();
        allowToken(address(skewed));
        allowToken(address(lying));
        allowToken(address(hook));
        skewed.mint(RENTER, 10 * DEPOSIT);
        lying.mint(RENTER, 10 * DEPOSIT);
        hook.mint(RENTER, 10 * DEPOSIT);
        vm.startPrank(RENTER);
        skewed.approve(address(market), type(uint256).max);
        hook.approve(address(market), type(uint256).max);
        vm.stopPrank();
    }

    function test_RevertWhen_TokenTakesAFeeOnTheDeposit() external {
        Terms memory terms = _listed(address(skewed));
        skewed.setSkew(-1, false);
        _expectInexact(DEPOSIT, DEPOSIT - 1);
        _open(terms);
    }

    function test_RevertWhen_TokenAddsABonusToTheDeposit() external {
        Terms memory terms = _listed(address(skewed));
        skewed.setSkew(1, false);
        _expectInexact(DEPOSIT, DEPOSIT + 1);
        _open(terms);
    }

    function test_RevertWhen_TokenReturnsFalseOnTheDeposit() external {
        Terms memory terms = _listed(address(lying));
        lying.setAnswer(LyingToken.Answer.FALSE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        _open(terms);
    }

    function test_RevertWhen_TokenSaysTrueAndDoesNotMoveTheDeposit() external {
        Terms memory terms = _listed(address(lying));
        lying.setAnswer(LyingToken.Answer.TRUE_AND_STAYS);
        _expectInexact(DEPOSIT, 0);
        _open(terms);
    }

    function test_RevertWhen_TokenReturnsFalseOnTheWithdrawal() external {
        _refunded(address(lying));
        lying.setAnswer(LyingToken.Answer.FALSE_AND_STAYS);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        _withdraw(address(lying));
        assertEq(market.creditOf(address(lying), RENTER), DEPOSIT);
    }

    function test_RevertWhen_TokenChargesTheMarketOnTheWithdrawal() external {
        _refunded(address(skewed));
        skewed.mint(address(market), 1);
        skewed.setSkew(-1, true);
        _expectInexact(DEPOSIT, DEPOSIT + 1);
        _withdraw(address(skewed));
        assertEq(market.creditOf(address(skewed), RENTER), DEPOSIT);
    }

    function test_WhenTokenReturnsNothing() external {
        lying.setAnswer(LyingToken.Answer.NOTHING_AND_MOVES);
        _refunded(address(lying));
        assertEq(lying.balanceOf(address(market)), DEPOSIT);
        _withdraw(address(lying));
        assertEq(lying.balanceOf(address(market)), 0);
        assertEq(lying.balanceOf(RENTER), 10 * DEPOSIT);
    }

    function test_WhenAHookOpensAgainDuringTheDeposit() external {
        Terms memory terms = _listed(address(hook));
        Terms memory inner = _hookTerms();
        hook.arm(address(market), abi.encodeCall(market.open, (inner, LISTED)));
        _open(terms);
        _assertRefused();
        assertEq(hook.balanceOf(address(market)), DEPOSIT);
    }

    function test_WhenAHookWithdrawsDuringTheDeposit() external {
        Terms memory first = _hookTerms();
        openLease(first);
        _cancelAndClose(first);
        Terms memory terms = _listed(address(hook));
        assertEq(market.creditOf(address(hook), address(hook)), DEPOSIT);
        hook.arm(address(market), abi.encodeCall(market.withdraw, (address(hook), STRANGER)));
        _open(terms);
        _assertRefused();
        assertEq(market.creditOf(address(hook), address(hook)), DEPOSIT);
        assertEq(hook.balanceOf(address(market)), 2 * DEPOSIT);
    }

    function test_WhenAHookWithdrawsAgainDuringTheWithdrawal() external {
        Terms memory terms = _hookTerms();
        openLease(terms);
        _cancelAndClose(terms);
        bytes memory withdrawal = abi.encodeCall(market.withdraw, (address(hook), STRANGER));
        hook.arm(address(market), withdrawal);
        hook.execute(address(market), withdrawal);
        _assertRefused();
        assertEq(hook.balanceOf(STRANGER), DEPOSIT);
        assertEq(hook.balanceOf(address(market)), 0);
    }

    function test_WhenAHookOpensDuringTheWithdrawal() external {
        Terms memory terms = _hookTerms();
        openLease(terms);
        _cancelAndClose(terms);
        terms.start = uint40(vm.getBlockTimestamp());
        terms.end = terms.start + 10 hours;
        terms.maxEnd = terms.end;
        hook.arm(address(market), abi.encodeCall(market.open, (terms, LISTED)));
        hook.execute(address(market), abi.encodeCall(market.withdraw, (address(hook), STRANGER)));
        _assertRefused();
        assertEq(hook.balanceOf(STRANGER), DEPOSIT);
    }

    function test_WhenAHookCancelsAndClosesDuringTheDeposit() external {
        // Both are possible at once only where no second is owed: no notice, no least duration, start now.
        Terms memory terms = _hookTerms();
        terms.start = MONDAY;
        terms.end = MONDAY + 10 hours;
        terms.offer.minSeconds = 0;
        terms.offer.noticeSeconds = 0;
        listOffer(terms.offer);
        HookedRenter renter = new HookedRenter(market, hook);
        terms.renter = address(renter);
        hook.mint(address(renter), DEPOSIT);
        renter.open(terms);
        assertTrue(renter.closedInside());
        assertEq(uint8(stateOf(terms).status), uint8(LeaseStatus.CLOSED));
        assertEq(hook.balanceOf(address(market)), DEPOSIT);
        assertEq(market.creditOf(address(hook), address(renter)), DEPOSIT);
        assertEq(bookedHoursOf(unitId), 0);
    }

    function test_WhenAHookStakesAgainDuringAStake() external {
        deploy(address(hook), COURT);
        ProviderRegistry other = registry;
        _approveAsHook(other);
        hook.arm(address(other), abi.encodeCall(other.stake, (5)));
        hook.execute(address(other), abi.encodeCall(other.stake, (7)));
        _assertRefused();
        assertEq(other.freeStakeOf(address(hook)), 7);
        assertEq(hook.balanceOf(address(other)), 7);
    }

    function test_WhenAHookCallsAnythingGuardedDuringTheDeposit() external {
        Terms memory inner = _hookTerms();
        openLease(inner);
        token.mint(address(hook), 1);
        bytes[] memory many = new bytes[](1);
        many[0] = abi.encodeCall(market.open, (inner, LISTED));
        bytes[6] memory calls = [
            abi.encodeCall(amendments.multicall, (many)),
            abi.encodeCall(market.topUp, (inner, inner.maxEnd)),
            abi.encodeCall(amendments.extend, (inner, inner.maxEnd)),
            abi.encodeCall(amendments.withdrawFees, (address(hook))),
            abi.encodeCall(market.withdraw, (address(hook), STRANGER)),
            abi.encodeCall(succession.openGang, (new Terms[](2), new bytes[](2)))
        ];
        uint256 balance = hook.balanceOf(address(market));
        for (uint256 i = 0; i < calls.length; ++i) {
            Terms memory terms = termsOfAnotherUnit(string(abi.encodePacked("unit", bytes1(uint8(65 + i)))));
            terms.offer.token = address(hook);
            listOffer(terms.offer);
            hook.arm(address(market), calls[i]);
            _open(terms);
            balance += DEPOSIT;
            assertEq(hook.hookCalls(), i + 1);
            _assertLastRefused();
            assertEq(hook.balanceOf(address(market)), balance);
        }
    }

    function test_WhenAHookOpensDuringTheTreasurysWithdrawal() external {
        Terms memory terms = _listed(address(hook));
        _open(terms);
        skipTo(terms.end);
        prove(terms, 10 hours);
        Terms memory inner = _hookTerms();
        hook.arm(address(market), abi.encodeCall(market.open, (inner, LISTED)));
        assertEq(amendments.withdrawFees(address(hook)), 720_000);
        _assertRefused();
        assertEq(hook.balanceOf(TREASURY), 720_000);
    }

    function test_WhenAHookMovesStakeDuringAStake() external {
        deploy(address(hook), COURT);
        ProviderRegistry other = registry;
        bytes[3] memory inner = [
            abi.encodeCall(other.stakeWithPermit, (5, 0, 0, 0, 0)),
            abi.encodeCall(other.withdrawStake, (STRANGER)),
            abi.encodeCall(other.withdrawCompensation, (STRANGER))
        ];
        for (uint256 i = 0; i < inner.length; ++i) {
            _approveAsHook(other);
            hook.arm(address(other), inner[i]);
            hook.execute(address(other), abi.encodeCall(other.stake, (7)));
            assertEq(hook.hookCalls(), i + 1);
            _assertLastRefused();
        }
    }

    function test_WhenAHookUnbondsDuringAStake() external {
        deploy(address(hook), COURT);
        ProviderRegistry other = registry;
        _approveAsHook(other);
        hook.arm(address(other), abi.encodeCall(other.startUnbonding, (7)));
        hook.execute(address(other), abi.encodeCall(other.stake, (7)));
        assertTrue(hook.hookSucceeded());
        uint256 unbondAt = vm.getBlockTimestamp() + UNBONDING_SECONDS;
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.StillUnbonding.selector, unbondAt, vm.getBlockTimestamp()
            )
        );
        vm.prank(address(hook));
        other.withdrawStake(STRANGER);
    }

    function _approveAsHook(ProviderRegistry other) private {
        hook.mint(address(hook), 12);
        vm.prank(address(hook));
        hook.approve(address(other), 12);
    }

    function _listed(address token_) private returns (Terms memory terms) {
        terms = defaultTerms();
        terms.offer.token = token_;
        terms.offer.validUntil = terms.end;
        listOffer(terms.offer);
    }

    /// A lease whose renter is the token itself, so that its hook may act as a party.
    function _hookTerms() private returns (Terms memory terms) {
        terms = defaultTerms();
        terms.offer.token = address(hook);
        terms.start += 2 hours;
        terms.end += 2 hours;
        terms.renter = address(hook);
        hook.mint(address(hook), 2 * DEPOSIT);
        vm.prank(address(hook));
        hook.approve(address(market), type(uint256).max);
    }

    function _cancelAndClose(Terms memory terms) private {
        giveNoticeAs(terms.renter, terms);
        skipTo(terms.start);
        closeAs(KEEPER, terms);
    }

    function _refunded(address token_) private {
        Terms memory terms = _listed(token_);
        _open(terms);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
    }

    function _open(Terms memory terms) private {
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }

    function _withdraw(address token_) private {
        vm.prank(RENTER);
        market.withdraw(token_, RENTER);
    }

    function _expectInexact(uint256 expected, uint256 actual) private {
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, expected, actual));
    }

    function _assertRefused() private view {
        assertEq(hook.hookCalls(), 1, "the hook ran");
        _assertLastRefused();
    }

    function _assertLastRefused() private view {
        assertFalse(hook.hookSucceeded());
        assertEq(
            hook.hookResult(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
        );
    }
}

/// A renter that cancels and closes its lease while its deposit is still being pulled.
contract HookedRenter {
    LeaseMarket private immutable MARKET;
    HookToken private immutable TOKEN;
    Terms private _terms;

    bool public closedInside;

    constructor(LeaseMarket market, HookToken token) {
        MARKET = market;
        TOKEN = token;
        token.approve(address(market), type(uint256).max);
    }

    function open(Terms calldata terms) external {
        _terms = terms;
        TOKEN.arm(address(this), abi.encodeCall(this.cancelAndClose, ()));
        MARKET.open(terms, "");
    }

    function cancelAndClose() external {
        ILeaseAmendments(address(MARKET)).giveNotice(_terms, NoticeReason.UNSPECIFIED, 0);
        MARKET.close(_terms);
        closedInside = true;
    }
}
