// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { Acceptance, LeaseState, LeaseStatus, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";

contract AcceptTest is Base {
    Terms private terms;
    bytes32 private leaseId;
    bytes32 private proofHash;

    /// A proof of one hour is pending.
    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
        skip(1 hours);
        proofHash = postProof(terms, 1 hours);
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        _expectRevertOf(leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
    }

    function test_RevertWhen_LeaseIsBreached() external {
        breach(terms);
        _expectRevertOf(leaseNotOpen(leaseId, LeaseStatus.BREACHED));
    }

    function test_RevertWhen_NoProofWasPosted() external {
        terms = termsOfAnotherUnit("second");
        openLease(terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, bytes32(0), proofHash));
        proofHash = 0;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, bytes32(0), bytes32(0)));
    }

    function test_RevertWhen_AnotherProofIsPending() external {
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, proofHash, bytes32("another"))
        );
        vm.prank(RENTER);
        amendments.accept(terms, "another", "");
    }

    function test_RevertWhen_ProofIsSettled() external {
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, proofHash, proofHash));
        assertEq(creditOf(PROVIDER), 3_528_000);
    }

    function test_RevertWhen_ProofIsAcceptedAlready() external {
        _accept();
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, proofHash, proofHash));
        assertEq(creditOf(PROVIDER), 3_528_000);
    }

    function test_RevertWhen_ADisputeIsOpen() external {
        openDispute(terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, 1));
        endDispute(terms);
        _accept();
    }

    function test_RevertWhen_CallerIsNotRenterAndBringsNoSignature() external {
        address[4] memory others = [PROVIDER, WORKER, OWNER, STRANGER];
        bytes32 digest = digestOf(_acceptanceHash(proofHash));
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, RENTER, digest));
            vm.prank(others[i]);
            amendments.accept(terms, proofHash, "");
        }
    }

    function test_RevertWhen_AnotherSigned() external {
        _expectSignatureInvalid(RENTER, signAs(PROVIDER_KEY, _acceptanceHash(proofHash)));
    }

    function test_RevertWhen_SignatureIsOfTheProofBefore() external {
        bytes memory signature = signAs(RENTER_KEY, _acceptanceHash(proofHash));
        amendments.accept(terms, proofHash, signature);
        skip(1 hours);
        proofHash = postProof(terms, 2 hours);
        _expectSignatureInvalid(RENTER, signature);
    }

    function test_RevertWhen_SignatureIsOfAnotherLease() external {
        terms = termsOfAnotherUnit("second");
        openLease(terms);
        skip(1 hours);
        bytes memory signature = signAs(RENTER_KEY, _acceptanceHash(proofHash));
        proofHash = postProof(terms, 1 hours);
        leaseId = market.leaseIdOf(terms);
        _expectSignatureInvalid(RENTER, signature);
    }

    function test_RevertWhen_RenterBeforeATransferAccepts() external {
        bytes memory signature = signAs(RENTER_KEY, _acceptanceHash(proofHash));
        transferLease(terms, STRANGER, STRANGER_KEY);
        _expectSignatureInvalid(STRANGER, signature);
        _expectRevertOf(
            abi.encodeWithSelector(
                IRelayedContext.SignatureInvalid.selector, STRANGER, digestOf(_acceptanceHash(proofHash))
            )
        );
        vm.prank(STRANGER);
        amendments.accept(terms, proofHash, "");
    }

    function test_WhenRenterAccepts() external {
        vm.expectEmit(address(market));
        emit ILeaseBook.ProofAccepted(leaseId, proofHash);
        vm.expectEmit(address(market));
        emit ILeaseBook.Settled(leaseId, 1 hours, 3_528_000, 72_000);
        _accept();
        LeaseState memory state;
        state.deposit = 36e6;
        state.endOffset = 10 hours;
        state.settledSeconds = 1 hours;
        state.status = LeaseStatus.OPEN;
        state.proofHash = proofHash;
        assertEq(abi.encode(market.leaseState(leaseId)), abi.encode(state));
        assertEq(creditOf(PROVIDER), 3_528_000);
        assertEq(feesKept(), 72_000);
    }

    function test_WhenAnyoneBringsTheRentersSignature() external {
        bytes memory signature = signAs(RENTER_KEY, _acceptanceHash(proofHash));
        vm.prank(STRANGER);
        amendments.accept(terms, proofHash, signature);
        assertEq(creditOf(PROVIDER), 3_528_000);
        assertEq(creditOf(STRANGER), 0);
    }

    function test_WhenAContractIsTheRenter() external {
        SmartAccount account = new SmartAccount(RENTER);
        terms = termsOfAnotherUnit("second");
        terms.renter = address(account);
        listOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        skip(1 hours);
        proofHash = postProof(terms, 1 hours);
        leaseId = market.leaseIdOf(terms);
        bytes memory signature = signAs(RENTER_KEY, _acceptanceHash(proofHash));
        amendments.accept(terms, proofHash, signature);
        assertEq(creditOf(PROVIDER), 3_528_000);
    }

    function test_WhenProofHasMaturedMeanwhile() external {
        skip(CHALLENGE_SECONDS);
        _accept();
        (uint96 pay,) = market.settle(terms);
        assertEq(pay, 0);
        assertEq(creditOf(PROVIDER), 3_528_000);
    }

    function test_WhenTheNextProofComesAtOnce() external {
        _accept();
        bytes32 nextHash = postProof(terms, 1 hours);
        assertEq(market.leaseState(leaseId).proofHash, nextHash);
        // The window is over: the accepted proof cannot be disputed any more.
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, nextHash, proofHash));
        vm.prank(COURT);
        market.openDispute(terms, proofHash);
    }

    function test_WhenAllIsAcceptedAtTheEnd() external {
        _accept();
        skipTo(terms.end);
        proofHash = postProof(terms, 10 hours);
        _accept();
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 36e6);
    }

    function _accept() private {
        vm.prank(RENTER);
        amendments.accept(terms, proofHash, "");
    }

    function _acceptanceHash(bytes32 accepted) private view returns (bytes32) {
        return digests.hashAcceptance(Acceptance(leaseId, accepted));
    }

    function _expectSignatureInvalid(address renter, bytes memory signature) private {
        bytes32 digest = digestOf(_acceptanceHash(proofHash));
        vm.expectRevert(abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, renter, digest));
        amendments.accept(terms, proofHash, signature);
    }

    function _expectRevertOf(bytes memory reason) private {
        vm.expectRevert(reason);
        _accept();
    }
}
