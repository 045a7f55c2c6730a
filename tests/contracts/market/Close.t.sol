// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import {
    LeaseFlags,
    LeaseState,
    LeaseStatus,
    OfferKind,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract CloseTest is Base {
    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        (terms, leaseId) = openDefault();
    }

    function test_RevertWhen_LeaseWasNeverOpened() external {
        terms.salt = 2;
        vm.expectRevert(leaseNotOpen(market.leaseIdOf(terms), LeaseStatus.NONE));
        closeAs(KEEPER, terms);
    }

    function test_RevertWhen_LeaseIsClosed() external {
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6);
    }

    function test_RevertWhen_LeaseIsRunning() external {
        skip(1 hours);
        address[4] memory anyone = [RENTER, PROVIDER, OWNER, STRANGER];
        for (uint256 i = 0; i < anyone.length; ++i) {
            _expectNotClosable();
            closeAs(anyone[i], terms);
        }
    }

    function test_RevertWhen_EverythingIsSettledButTheEndNotReached() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        skipTo(MONDAY + 7 days);
        terms = defaultTerms();
        terms.weeklyHours = 1;
        terms.offer.validUntil = terms.end;
        openLease(terms);
        skip(1 hours);
        prove(terms, 1 hours);
        // Nothing more is scheduled, but until the end the renter could still extend.
        _expectNotClosable();
        closeAs(RENTER, terms);
        skipTo(terms.end);
        closeAs(RENTER, terms);
    }

    function test_RevertWhen_LastPostHasNotPassed() external {
        skipTo(uint256(terms.end) + PROOF_GRACE_SECONDS);
        _expectNotClosable();
        closeAs(KEEPER, terms);
        skip(1);
        closeAs(KEEPER, terms);
    }

    function test_RevertWhen_AProofIsPending() external {
        uint256 lastPost = uint256(terms.end) + PROOF_GRACE_SECONDS;
        skipTo(lastPost);
        postProof(terms, 10 hours);
        skip(CHALLENGE_SECONDS - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILeaseBook.ProofPending.selector,
                lastPost + CHALLENGE_SECONDS,
                lastPost + CHALLENGE_SECONDS - 1
            )
        );
        closeAs(RENTER, terms);
    }

    function test_RevertWhen_ADisputeIsOpen() external {
        skip(1 hours);
        postProof(terms, 1 hours);
        for (uint256 i = 0; i < 3; ++i) {
            openDispute(terms);
        }
        skipPastLastPost(terms);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.DisputeOpen.selector, 3));
        closeAs(RENTER, terms);
    }

    function test_WhenEverythingIsSettledAtTheEnd() external {
        skipTo(terms.end);
        prove(terms, 10 hours);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 10 hours, 0, 0);
        closeAs(KEEPER, terms);

        _assertTombstone(0);
        assertEq(creditOf(PROVIDER), 35_280_000);
        assertEq(feesKept(), 720_000);
        assertEq(creditOf(RENTER), 0);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE);
        assertEq(locked, 0);
    }

    function test_WhenAMaturedProofSettlesEverything() external {
        skipTo(terms.end);
        bytes32 proofHash = postProof(terms, 10 hours);
        skip(CHALLENGE_SECONDS);
        vm.expectEmit(address(market));
        emit ILeaseBook.Settled(leaseId, 10 hours, 35_280_000, 720_000);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 10 hours, 0, 0);
        closeAs(KEEPER, terms);
    }

    function test_WhenLastPostHasPassed() external {
        skipPastLastPost(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 0, 36e6, BOND);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 36e6);
        assertEq(creditOf(PROVIDER), 0);
        assertEq(registry.compensationOf(RENTER), BOND);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, 0);
    }

    function test_WhenPartWasServed() external {
        skipTo(terms.end);
        prove(terms, 6 hours);
        skipPastLastPost(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 6 hours, 14.4e6, BOND * 4 / 10);
        closeAs(KEEPER, terms);
        assertEq(creditOf(RENTER), 14.4e6);
        assertEq(registry.compensationOf(RENTER), BOND * 4 / 10);
    }

    function test_WhenProviderCutTheLeaseShort() external {
        skip(3 hours);
        giveNoticeAs(PROVIDER, terms);
        skip(1 hours);
        prove(terms, 3 hours);
        skipPastLastPost(terms);
        // Of ten hours owed the provider cut off six, and did not serve one of the other four.
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 3 hours, 25.2e6, BOND * 7 / 10);
        closeAs(KEEPER, terms);
    }

    function test_WhenLeaseIsIdle() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        terms = defaultTerms();
        terms.offer.kind = OfferKind.IDLE;
        terms.offer.validUntil = terms.end;
        leaseId = openLease(terms);
        skipPastLastPost(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 0, 36e6, 0);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), 0);
    }

    function test_WhenHoursAreStillBooked() external {
        assertEq(bookedHoursOf(unitId), ALWAYS);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(bookedHoursOf(unitId), 0);
    }

    function test_WhenProofWasPostedAtLastPost() external {
        skipTo(uint256(terms.end) + PROOF_GRACE_SECONDS);
        postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER), 3_528_000);
        assertEq(creditOf(RENTER), 32.4e6);
    }

    function test_WhenAnyoneCloses() external {
        skipTo(terms.end);
        prove(terms, 5 hours);
        skipPastLastPost(terms);
        closeAs(STRANGER, terms);
        assertEq(creditOf(STRANGER), 0);
        assertEq(registry.compensationOf(STRANGER), 0);
        assertEq(creditOf(PROVIDER) + feesKept(), 18e6);
        assertEq(creditOf(RENTER), 18e6);
    }

    function test_WhenLeaseWasTransferred() external {
        transferLease(terms, STRANGER, STRANGER_KEY);
        assertEq(market.leaseState(leaseId).renterOverride, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyParty.selector, STRANGER, PROVIDER, RENTER));
        giveNoticeAs(RENTER, terms);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(STRANGER), 36e6);
        assertEq(registry.compensationOf(STRANGER), BOND);
        assertEq(creditOf(RENTER), 0);
        _assertTombstone(0);
    }

    function test_WhenLeaseIsBreached() external {
        skip(3 hours);
        prove(terms, 2 hours);
        postProof(terms, 3 hours);
        breach(terms);
        uint256 compensation = registry.compensationOf(RENTER);
        assertEq(compensation, BOND * 3 / 10);
        assertEq(bookedHoursOf(unitId), ALWAYS);
        // At once, nobody waits for a last post: what was settled stays paid, all else goes back.
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 2 hours, 28.8e6, 0);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 7.2e6);
        assertEq(creditOf(RENTER), 28.8e6);
        assertEq(registry.compensationOf(RENTER), compensation);
        assertEq(bookedHoursOf(unitId), 0);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, 0);
        _assertTombstone(LeaseFlags.PROVIDER_FAILED);
        vm.expectRevert(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
        closeAs(KEEPER, terms);
    }

    function test_WhenBondWasSlashed() external {
        vm.prank(COURT);
        assertEq(amendments.slashBond(terms, BOND / 10, BOND / 5), BOND);
        skipPastLastPost(terms);
        // Nothing was served, but what could compensate is gone.
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseClosed(leaseId, 0, 36e6, 0);
        closeAs(KEEPER, terms);
        assertEq(registry.compensationOf(RENTER), BOND / 10);
        (uint96 staked, uint96 locked) = stakeOf(PROVIDER);
        assertEq(staked, STAKE - BOND);
        assertEq(locked, 0);
        _assertTombstone(0);
    }

    function test_WhenProviderHadGivenNotice() external {
        skip(1 hours);
        giveNoticeAs(PROVIDER, terms);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        _assertTombstone(LeaseFlags.PROVIDER_FAILED);
    }

    function test_WhenRenterHadGivenNotice() external {
        skip(2 hours);
        giveNoticeAs(RENTER, terms);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        _assertTombstone(0);
    }

    function test_WhenAnOrderWaits() external {
        vm.prank(RENTER);
        amendments.postOrder(terms, "order");
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        _assertTombstone(0);
        assertEq(abi.encode(market.postedOrderOf(leaseId)), new bytes(96));
    }

    function test_WhenADisputeHadMovedLastPost() external {
        skipTo(uint256(terms.end) + PROOF_GRACE_SECONDS);
        postProof(terms, 1 hours);
        openDispute(terms);
        skip(1 days);
        endDispute(terms);
        uint256 lastPost = vm.getBlockTimestamp() + PROOF_GRACE_SECONDS;
        skipTo(lastPost);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.LeaseNotClosable.selector, lastPost + 1, lastPost));
        closeAs(KEEPER, terms);
        skip(1);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER) + feesKept(), 3.6e6);
        _assertTombstone(0);
    }

    function test_WhenPriceDoesNotDivide() external {
        skipTo(terms.end);
        amendments.releaseHours(terms);
        terms = defaultTerms();
        terms.offer.pricePerHour = 1;
        terms.offer.validUntil = terms.end;
        terms.end = terms.start + 2 hours + 1;
        leaseId = openLease(terms);
        skipTo(terms.end);
        prove(terms, 2 hours + 1);
        closeAs(KEEPER, terms);
        assertEq(creditOf(PROVIDER), 2);
        assertEq(creditOf(RENTER), 1);
    }

    function _assertTombstone(uint8 flags) private view {
        LeaseState memory tombstone;
        tombstone.status = LeaseStatus.CLOSED;
        tombstone.flags = flags;
        assertEq(abi.encode(market.leaseState(leaseId)), abi.encode(tombstone));
    }

    function _expectNotClosable() private {
        vm.expectRevert(
            abi.encodeWithSelector(
                ILeaseBook.LeaseNotClosable.selector,
                uint256(terms.end) + PROOF_GRACE_SECONDS + 1,
                vm.getBlockTimestamp()
            )
        );
    }
}
