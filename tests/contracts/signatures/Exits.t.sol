// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ExactTransfer } from "../../../contracts/libraries/ExactTransfer.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { SkewedToken } from "../mocks/SkewedToken.sol";
import { BlockingToken, RebasingToken, Refuser } from "./ExitTokens.sol";

/// Half of a lease of ten hours is served; then everybody leaves. Nobody's token trouble keeps another in.
contract ExitsTest is Base {
    uint96 private constant DEPOSIT = 36e6;
    uint256 private constant FEE = 360_000;
    uint256 private constant PAY = 18e6 - FEE;
    uint256 private constant REFUND = 18e6;
    /// Half of the seconds owed were not served.
    uint256 private constant COMPENSATION = BOND / 2;

    BlockingToken private blocking;
    address private elsewhere = makeAddr("elsewhere");

    function setUp() public override {
        super.setUp();
        blocking = new BlockingToken();
        _admit(address(blocking));
        blocking.mint(RENTER, DEPOSIT);
    }

    function test_WhenTheProviderIsBlocked() external {
        Terms memory terms = _open(address(blocking), RENTER);
        blocking.setBlocked(PROVIDER, true);
        _serveHalf(terms);
        _leave(address(blocking), RENTER, REFUND);
        _sendFees(address(blocking));
        _expectBlocked(PROVIDER);
        _withdraw(address(blocking), PROVIDER, PROVIDER);
        assertEq(market.creditOf(address(blocking), PROVIDER), PAY);
        _withdraw(address(blocking), PROVIDER, elsewhere);
        assertEq(blocking.balanceOf(elsewhere), PAY);
        assertEq(blocking.balanceOf(address(market)), 0);
    }

    function test_WhenTheRenterIsBlocked() external {
        Terms memory terms = _open(address(blocking), RENTER);
        blocking.setBlocked(RENTER, true);
        _serveHalf(terms);
        _leave(address(blocking), PROVIDER, PAY);
        _sendFees(address(blocking));
        _expectBlocked(RENTER);
        _withdraw(address(blocking), RENTER, RENTER);
        _withdraw(address(blocking), RENTER, elsewhere);
        assertEq(blocking.balanceOf(elsewhere), REFUND);
        _freeStake();
    }

    function test_WhenTheTreasuryIsBlocked() external {
        Terms memory terms = _open(address(blocking), RENTER);
        blocking.setBlocked(TREASURY, true);
        _serveHalf(terms);
        _leave(address(blocking), PROVIDER, PAY);
        _leave(address(blocking), RENTER, REFUND);
        _expectBlocked(TREASURY);
        amendments.withdrawFees(address(blocking));
        vm.prank(OWNER);
        amendments.setTreasury(elsewhere);
        amendments.withdrawFees(address(blocking));
        assertEq(blocking.balanceOf(elsewhere), FEE);
    }

    function test_WhenTheMarketIsBlocked() external {
        Terms memory terms = _open(address(blocking), RENTER);
        blocking.setBlocked(address(market), true);
        _serveHalf(terms);
        _expectBlocked(address(market));
        _withdraw(address(blocking), PROVIDER, PROVIDER);
        // Nothing is lost when the block ends, and bonds never hang on it.
        _freeStake();
        assertEq(registry.compensationOf(RENTER), COMPENSATION);
        blocking.setBlocked(address(market), false);
        _leave(address(blocking), PROVIDER, PAY);
        _leave(address(blocking), RENTER, REFUND);
    }

    function test_WhenTheRenterRefusesTokens() external {
        Refuser refuser = new Refuser();
        Terms memory terms = _terms(address(blocking), address(refuser));
        vm.prank(RENTER);
        market.open(terms, LISTED);
        _serveHalf(terms);
        _leave(address(blocking), PROVIDER, PAY);
        _sendFees(address(blocking));
        bytes memory withdrawal = abi.encodeCall(market.withdraw, (address(blocking), address(refuser)));
        (bool ok, bytes memory reason) = refuser.execute(address(market), withdrawal);
        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(Refuser.Refused.selector));
        (ok,) = refuser.execute(
            address(market), abi.encodeCall(market.withdraw, (address(blocking), elsewhere))
        );
        assertTrue(ok);
        assertEq(blocking.balanceOf(elsewhere), REFUND);
    }

    function test_WhenTheTreasuryRefusesTokens() external {
        address refuser = address(new Refuser());
        vm.prank(OWNER);
        amendments.setTreasury(refuser);
        Terms memory terms = _open(address(blocking), RENTER);
        _serveHalf(terms);
        _leave(address(blocking), PROVIDER, PAY);
        _leave(address(blocking), RENTER, REFUND);
        vm.expectRevert(Refuser.Refused.selector);
        amendments.withdrawFees(address(blocking));
        assertEq(market.feesOf(address(blocking)), FEE);
    }

    function test_WhenTheRenterIsBlockedInTheStakeToken() external {
        _deployWithStakeToken();
        Terms memory terms = _open(address(token), RENTER);
        blocking.setBlocked(RENTER, true);
        _serveHalf(terms);
        _leave(address(token), PROVIDER, PAY);
        _leaveStake(STAKE - COMPENSATION);
        _expectBlocked(RENTER);
        vm.prank(RENTER);
        registry.withdrawCompensation(RENTER);
        vm.prank(RENTER);
        registry.withdrawCompensation(elsewhere);
        assertEq(blocking.balanceOf(elsewhere), COMPENSATION);
    }

    function test_WhenTheProviderIsBlockedInTheStakeToken() external {
        _deployWithStakeToken();
        Terms memory terms = _open(address(token), RENTER);
        blocking.setBlocked(PROVIDER, true);
        _serveHalf(terms);
        _leave(address(token), RENTER, REFUND);
        uint256 before = blocking.balanceOf(RENTER);
        vm.prank(RENTER);
        registry.withdrawCompensation(RENTER);
        assertEq(blocking.balanceOf(RENTER) - before, COMPENSATION);
    }

    function test_WhenTheCompensatedRefusesTokens() external {
        _deployWithStakeToken();
        Refuser refuser = new Refuser();
        Terms memory terms = _terms(address(token), address(refuser));
        vm.prank(RENTER);
        market.open(terms, LISTED);
        _serveHalf(terms);
        _leaveStake(STAKE - COMPENSATION);
        (bool ok,) =
            refuser.execute(address(registry), abi.encodeCall(registry.withdrawCompensation, (elsewhere)));
        assertTrue(ok);
        assertEq(blocking.balanceOf(elsewhere), COMPENSATION);
    }

    function test_WhenTheTokenBeginsToTakeAFee() external {
        SkewedToken skewed = new SkewedToken();
        _admit(address(skewed));
        skewed.mint(RENTER, DEPOSIT);
        Terms memory terms = _open(address(skewed), RENTER);
        _serveHalf(terms);
        skewed.setSkew(-5, false);
        // The recipient bears it: what the market owes to others is whole.
        _leave(address(skewed), PROVIDER, PAY - 5);
        _leave(address(skewed), RENTER, REFUND - 5);
        skewed.setSkew(-5, true);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, market, 0, 5));
        amendments.withdrawFees(address(skewed));
        skewed.mint(address(market), 5);
        vm.expectRevert(abi.encodeWithSelector(ExactTransfer.InexactTransfer.selector, FEE, FEE + 5));
        amendments.withdrawFees(address(skewed));
    }

    function test_WhenTheTokenRebasesDown() external {
        RebasingToken rebasing = _rebasing();
        rebasing.setPercent(50);
        // Half is left: whoever comes first is paid in full, the last one's credit stays, other tokens are whole.
        _leave(address(rebasing), PROVIDER, PAY);
        vm.expectRevert();
        _withdraw(address(rebasing), RENTER, RENTER);
        assertEq(market.creditOf(address(rebasing), RENTER), REFUND);
        rebasing.setPercent(100);
        rebasing.mint(address(market), REFUND);
        _leave(address(rebasing), RENTER, REFUND);
    }

    function test_WhenTheTokenRebasesUp() external {
        RebasingToken rebasing = _rebasing();
        rebasing.setPercent(200);
        _leave(address(rebasing), PROVIDER, PAY);
        _leave(address(rebasing), RENTER, REFUND);
        _sendFees(address(rebasing));
        assertEq(rebasing.balanceOf(address(market)), DEPOSIT, "what nobody deposited, nobody is owed");
    }

    function test_WhenOneTokenFails() external {
        Terms memory other = termsOfAnotherUnit("other");
        openLease(other);
        Terms memory terms = _open(address(blocking), RENTER);
        blocking.setBlocked(address(market), true);
        _serveHalf(terms);
        closeAs(KEEPER, other);
        _leave(address(token), RENTER, DEPOSIT);
    }

    function _admit(address token_) private {
        allowToken(token_);
        vm.prank(RENTER);
        BlockingToken(token_).approve(address(market), type(uint256).max);
    }

    function _rebasing() private returns (RebasingToken rebasing) {
        rebasing = new RebasingToken();
        _admit(address(rebasing));
        rebasing.mint(RENTER, DEPOSIT);
        _serveHalf(_open(address(rebasing), RENTER));
    }

    /// The protocol anew, with stakes in the blocking token.
    function _deployWithStakeToken() private {
        stakeToken = token;
        deploy(address(blocking), COURT);
        _admit(address(token));
        blocking.mint(PROVIDER, STAKE);
        vm.startPrank(PROVIDER);
        blocking.approve(address(registry), STAKE);
        registry.stake(STAKE);
        vm.stopPrank();
        unitId = registerUnitAs(PROVIDER, WORKER, "node", gpuIdsOf("gpu", 2));
    }

    function _terms(address token_, address renter) private returns (Terms memory terms) {
        terms = defaultTerms();
        terms.offer.token = token_;
        terms.renter = renter;
        listOffer(terms.offer);
    }

    function _open(address token_, address renter) private returns (Terms memory terms) {
        terms = _terms(token_, renter);
        vm.prank(renter);
        market.open(terms, LISTED);
    }

    /// Closed by anybody: five of ten hours are paid, the bond answers for the others.
    function _serveHalf(Terms memory terms) private {
        skip(5 hours);
        prove(terms, 5 hours);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(bookedHoursOf(terms.offer.unitId), 0);
    }

    function _leave(address token_, address account, uint256 expected) private {
        uint256 before = BlockingToken(token_).balanceOf(account);
        _withdraw(token_, account, account);
        assertEq(BlockingToken(token_).balanceOf(account) - before, expected);
        assertEq(market.creditOf(token_, account), 0);
    }

    function _withdraw(address token_, address account, address to) private {
        vm.prank(account);
        market.withdraw(token_, to);
    }

    function _sendFees(address token_) private {
        amendments.withdrawFees(token_);
        assertEq(BlockingToken(token_).balanceOf(TREASURY), FEE);
    }

    /// All that was locked is free again.
    function _freeStake() private view {
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, 0);
        assertEq(staked, STAKE - COMPENSATION);
    }

    function _leaveStake(uint256 expected) private {
        vm.startPrank(PROVIDER);
        registry.startUnbonding(uint96(expected));
        skip(UNBONDING_SECONDS);
        registry.withdrawStake(PROVIDER);
        vm.stopPrank();
        assertEq(blocking.balanceOf(PROVIDER), expected);
    }

    function _expectBlocked(address account) private {
        vm.expectRevert(abi.encodeWithSelector(BlockingToken.Blocked.selector, account));
    }
}
