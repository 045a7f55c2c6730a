// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import {
    Acceptance,
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    LeaseTransfer,
    NoticeReason,
    OrderAcknowledgement,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";

/// An hour into a lease of ten, its renter sells it to the stranger.
contract TransferTest is Base {
    uint96 private constant DEPOSIT = 36e6;
    uint96 private constant PRICE = 30e6;

    Terms private terms;
    LeaseTransfer private sale;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
        skip(1 hours);
        token.mint(STRANGER, 100e6);
        vm.prank(STRANGER);
        token.approve(address(market), type(uint256).max);
        sale = LeaseTransfer({
            leaseId: leaseId,
            from: RENTER,
            to: STRANGER,
            price: PRICE,
            deposit: DEPOSIT,
            end: terms.end,
            settledSeconds: 0,
            transfers: 0,
            deadline: terms.start + 2 hours
        });
    }

    function test_RevertWhen_LeaseIsNotOpen() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        _expectRevertOf(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
    }

    function test_RevertWhen_LeaseHasEnded() external {
        skipTo(terms.end);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end));
    }

    function test_RevertWhen_LeaseIsClosing() external {
        uint256 before = vm.snapshotState();
        giveNoticeAs(RENTER, terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseClosing.selector, leaseId));
        vm.revertToState(before);
        giveNoticeAs(PROVIDER, terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseClosing.selector, leaseId));
    }

    function test_RevertWhen_ADisputeIsOpen() external {
        postProof(terms, 1 hours);
        openDispute(terms);
        skip(CHALLENGE_SECONDS);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, 1));
        endDispute(terms);
        sale.settledSeconds = 1 hours;
        market.settle(terms);
        _transfer();
        _assertSold();
    }

    function test_RevertWhen_DeadlineHasPassed() external {
        skipTo(sale.deadline + 1);
        _expectRevertOf(
            abi.encodeWithSelector(
                IRelayedContext.SignatureExpired.selector, sale.deadline, uint256(sale.deadline) + 1
            )
        );
    }

    function test_RevertWhen_BuyerIsZero() external {
        sale.to = address(0);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ZeroAddress.selector));
    }

    function test_RevertWhen_DealIsOfAnotherLease() external {
        sale.leaseId = "another";
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.LeaseMismatch.selector, leaseId, bytes32("another"))
        );
    }

    function test_RevertWhen_SellerIsNotTheRenter() external {
        sale.from = PROVIDER;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, RENTER, PROVIDER));
    }

    function test_RevertWhen_DepositDiffers() external {
        sale.deposit = DEPOSIT - 1;
        _expectStateMismatch("deposit", DEPOSIT, DEPOSIT - 1);
    }

    function test_RevertWhen_EndDiffers() external {
        sale.end = terms.end + 1;
        _expectStateMismatch("end", terms.end, terms.end + 1);
    }

    function test_RevertWhen_LeaseWasToppedUp() external {
        vm.prank(RENTER);
        market.topUp(terms, terms.end + 1 hours);
        _expectStateMismatch("deposit", DEPOSIT + 3.6e6, DEPOSIT);
    }

    function test_RevertWhen_SettledSecondsDiffer() external {
        postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        _expectStateMismatch("settledSeconds", 1 hours, 0);
    }

    function test_RevertWhen_TransfersDiffer() external {
        sale.transfers = 1;
        _expectStateMismatch("transfers", 0, 1);
    }

    function test_RevertWhen_SellerHasNotSigned() external {
        bytes32 dealHash = digests.hashLeaseTransfer(sale);
        bytes memory buyers = signAs(STRANGER_KEY, dealHash);
        _expectInvalid(RENTER, dealHash);
        vm.prank(KEEPER);
        succession.transfer(terms, sale, "", buyers);
        _expectInvalid(RENTER, dealHash);
        succession.transfer(terms, sale, buyers, buyers);
    }

    function test_RevertWhen_BuyerHasNotSigned() external {
        bytes32 dealHash = digests.hashLeaseTransfer(sale);
        bytes memory sellers = signAs(RENTER_KEY, dealHash);
        _expectInvalid(STRANGER, dealHash);
        vm.prank(RENTER);
        succession.transfer(terms, sale, "", "");
        _expectInvalid(STRANGER, dealHash);
        vm.prank(RENTER);
        succession.transfer(terms, sale, "", sellers);
    }

    function test_RevertWhen_PriceIsNotTheSigned() external {
        bytes32 dealHash = digests.hashLeaseTransfer(sale);
        bytes memory sellers = signAs(RENTER_KEY, dealHash);
        bytes memory buyers = signAs(STRANGER_KEY, dealHash);
        sale.price += 1;
        bytes32 otherHash = digests.hashLeaseTransfer(sale);
        _expectInvalid(RENTER, otherHash);
        succession.transfer(terms, sale, sellers, buyers);
    }

    function test_RevertWhen_BuyerCannotPay() external {
        vm.prank(STRANGER);
        token.approve(address(market), PRICE - 1);
        _expectRevertOf(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(market), PRICE - 1, PRICE
            )
        );
        assertEq(creditOf(RENTER), 0);
        assertEq(stateOf(terms).renterOverride, address(0));
    }

    function test_WhenBothHaveSigned() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseTransferred(leaseId, RENTER, STRANGER, PRICE);
        _transfer();
        _assertSold();
        assertEq(creditOf(RENTER), PRICE);
        assertEq(token.balanceOf(STRANGER), 100e6 - PRICE);
        assertEq(token.balanceOf(address(market)), DEPOSIT + PRICE);
    }

    function test_WhenTheSellerCalls() external {
        bytes memory buyers = signAs(STRANGER_KEY, digests.hashLeaseTransfer(sale));
        vm.prank(RENTER);
        succession.transfer(terms, sale, "", buyers);
        _assertSold();
    }

    function test_WhenTheBuyerCalls() external {
        bytes memory sellers = signAs(RENTER_KEY, digests.hashLeaseTransfer(sale));
        vm.prank(STRANGER);
        succession.transfer(terms, sale, sellers, "");
        _assertSold();
    }

    function test_WhenTheBuyerIsAContract() external {
        SmartAccount account = new SmartAccount(STRANGER);
        token.mint(address(account), PRICE);
        account.execute(address(token), abi.encodeCall(token.approve, (address(market), PRICE)));
        sale.to = address(account);
        _transfer();
        assertEq(stateOf(terms).renterOverride, address(account));
        assertEq(token.balanceOf(address(account)), 0);
    }

    function test_WhenItIsAGift() external {
        sale.price = 0;
        vm.prank(STRANGER);
        token.approve(address(market), 0);
        _transfer();
        _assertSold();
        assertEq(creditOf(RENTER), 0);
    }

    function test_WhenDeadlineIsNow() external {
        skipTo(sale.deadline);
        _transfer();
        _assertSold();
    }

    function test_WhenAProofIsPending() external {
        postProof(terms, 1 hours);
        _transfer();
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        assertEq(creditOf(PROVIDER), 3.6e6 - 72_000);
    }

    function test_WhenTheLeaseHasPassedOn() external {
        _transfer();
        bytes memory onlyBuyer = abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, STRANGER, RENTER);
        vm.startPrank(RENTER);
        vm.expectRevert(onlyBuyer);
        amendments.extend(terms, terms.maxEnd + 1 hours);
        vm.expectRevert(onlyBuyer);
        amendments.postOrder(terms, "order");
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyParty.selector, STRANGER, PROVIDER, RENTER));
        amendments.giveNotice(terms, NoticeReason.WORK_DONE, 0);
        vm.stopPrank();

        vm.startPrank(STRANGER);
        amendments.extend(terms, terms.maxEnd + 1 hours);
        amendments.postOrder(terms, "order");
        amendments.giveNotice(terms, NoticeReason.WORK_DONE, 0);
        vm.stopPrank();
        skipPastLastPost(terms);
        uint256 deposit = stateOf(terms).deposit;
        closeAs(KEEPER, terms);
        assertEq(creditOf(STRANGER), deposit, "the refund is the buyer's");
        assertEq(registry.compensationOf(STRANGER), BOND, "and so is the compensation");
        assertEq(registry.compensationOf(RENTER), 0);
        assertEq(creditOf(RENTER), PRICE);
    }

    function test_WhenTheLeaseIsBreachedAfterwards() external {
        postProof(terms, 1 hours);
        _transfer();
        breach(terms);
        assertEq(registry.compensationOf(STRANGER), BOND * 30 / 100);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenAnOrderIsUnanswered() external {
        vm.prank(RENTER);
        amendments.postOrder(terms, "order");
        skip(ANSWER_SECONDS + 60);
        vm.expectEmit(address(market));
        emit ILeaseBook.OrderAnswered(leaseId, "order", false, 60);
        _transfer();
        assertEq(market.postedOrderOf(leaseId).orderDigest, 0);
        assertEq(market.postedOrderOf(leaseId).lostSeconds, 60);
        bytes memory signature = signAs(
            WORKER_KEY, digests.hashOrderAcknowledgement(OrderAcknowledgement(leaseId, "order", true))
        );
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.OrderNotPosted.selector, bytes32(0), bytes32("order"))
        );
        amendments.answerOrder(terms, "order", true, signature);
        vm.prank(STRANGER);
        amendments.postOrder(terms, "next order");
        assertEq(market.postedOrderOf(leaseId).orderDigest, "next order");
    }

    function test_WhenItIsBoughtBack() external {
        _transfer();
        (sale.from, sale.to, sale.transfers, sale.price) = (STRANGER, RENTER, 1, 1);
        _transferSignedBy(STRANGER_KEY, RENTER_KEY);
        assertEq(stateOf(terms).renterOverride, RENTER);
        assertEq(stateOf(terms).transfers, 2);
        vm.prank(RENTER);
        amendments.extend(terms, terms.maxEnd);
    }

    function test_Attack_TheOldRenterAcceptsAProof() external {
        bytes32 proofHash = postProof(terms, 1 hours);
        bytes32 acceptanceHash = digests.hashAcceptance(Acceptance(leaseId, proofHash));
        bytes memory acceptance = signAs(RENTER_KEY, acceptanceHash);
        _transfer();
        _expectInvalid(STRANGER, acceptanceHash);
        amendments.accept(terms, proofHash, acceptance);
        _expectInvalid(STRANGER, acceptanceHash);
        vm.prank(RENTER);
        amendments.accept(terms, proofHash, "");
        amendments.accept(terms, proofHash, signAs(STRANGER_KEY, acceptanceHash));
        assertEq(creditOf(PROVIDER), 3.6e6 - 72_000);
    }

    /// A to B, B to A: A's first signature must not sell the lease once more.
    function test_Attack_ADealIsReplayedAfterBuyingBack() external {
        bytes32 dealHash = digests.hashLeaseTransfer(sale);
        bytes memory fromSignature = signAs(RENTER_KEY, dealHash);
        bytes memory toSignature = signAs(STRANGER_KEY, dealHash);
        LeaseTransfer memory first = sale;
        succession.transfer(terms, first, fromSignature, toSignature);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, STRANGER, RENTER));
        succession.transfer(terms, first, fromSignature, toSignature);
        (sale.from, sale.to, sale.transfers) = (STRANGER, RENTER, 1);
        _transferSignedBy(STRANGER_KEY, RENTER_KEY);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.StateMismatch.selector, bytes32("transfers"), 2, 0));
        succession.transfer(terms, first, fromSignature, toSignature);
        assertEq(stateOf(terms).renterOverride, RENTER);
    }

    function _assertSold() private view {
        LeaseState memory state = stateOf(terms);
        assertEq(state.renterOverride, STRANGER);
        assertEq(state.transfers, 1);
        assertEq(state.flags, LeaseFlags.AMENDED);
    }

    function _transfer() private {
        _transferSignedBy(RENTER_KEY, STRANGER_KEY);
    }

    function _transferSignedBy(uint256 fromKey, uint256 toKey) private {
        bytes32 dealHash = digests.hashLeaseTransfer(sale);
        bytes memory fromSignature = signAs(fromKey, dealHash);
        bytes memory toSignature = signAs(toKey, dealHash);
        vm.prank(KEEPER);
        succession.transfer(terms, sale, fromSignature, toSignature);
    }

    function _expectStateMismatch(bytes32 field, uint256 expected, uint256 actual) private {
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.StateMismatch.selector, field, expected, actual));
    }

    function _expectInvalid(address account, bytes32 structHash) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, account, digestOf(structHash))
        );
    }

    function _expectRevertOf(bytes memory reason) private {
        bytes32 dealHash = digests.hashLeaseTransfer(sale);
        bytes memory fromSignature = signAs(RENTER_KEY, dealHash);
        bytes memory toSignature = signAs(STRANGER_KEY, dealHash);
        vm.expectRevert(reason);
        succession.transfer(terms, sale, fromSignature, toSignature);
    }
}
