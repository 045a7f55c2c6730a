// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import {
    AllowedProvider,
    FailoverPolicy,
    LeaseFlags,
    LeaseStatus,
    LeaseTransfer,
    NoticeReason,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { GangBase } from "./GangBase.sol";

/// The first of two leases fails; both must last at least two hours, notice is one hour.
contract GangNoticeTest is GangBase {
    Terms private other;
    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        Terms[] memory gang = gangOf(2);
        gang[1].offer.minSeconds = 8 hours;
        listOffer(gang[1].offer);
        nameGang(gang);
        openGang(gang);
        (other, terms) = (gang[0], gang[1]);
        leaseId = market.leaseIdOf(terms);
    }

    function test_RevertWhen_LeaseIsInNoGang() external {
        giveNoticeAs(PROVIDER, other);
        terms = currentTerms();
        terms.offer.provider = NEXT_PROVIDER;
        terms.offer.unitId = nextUnitId;
        openLease(terms);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.GangInvalid.selector, bytes32(0), other.gangId));
        terms.gangId = 0;
        other.gangId = 0;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.GangInvalid.selector, bytes32(0), bytes32(0)));
    }

    function test_RevertWhen_FailedOneIsOfAnotherGang() external {
        other.gangId = "another";
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.GangInvalid.selector, terms.gangId, bytes32("another"))
        );
    }

    function test_RevertWhen_TheOtherServes() external {
        _expectNotFailed();
    }

    function test_RevertWhen_TheOtherWasNeverOpened() external {
        giveNoticeAs(PROVIDER, other);
        other.salt = 77;
        _expectNotFailed();
    }

    function test_RevertWhen_OnlyTheRenterClosedTheOther() external {
        giveNoticeAs(RENTER, other);
        _expectNotFailed();
        skipPastLastPost(other);
        closeAs(KEEPER, other);
        _expectNotFailed();
    }

    function test_RevertWhen_CallerIsNotTheRenter() external {
        giveNoticeAs(PROVIDER, other);
        address[3] memory callers = [PROVIDER, NEXT_PROVIDER, STRANGER];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, RENTER, callers[i]));
            vm.prank(callers[i]);
            amendments.giveNoticeInGang(terms, other, 0);
        }
    }

    function test_RevertWhen_TheRenterHasSoldTheLease() external {
        giveNoticeAs(PROVIDER, other);
        LeaseTransfer memory deal = LeaseTransfer({
            leaseId: leaseId,
            from: RENTER,
            to: STRANGER,
            price: 0,
            deposit: 36e6,
            end: terms.end,
            settledSeconds: 0,
            transfers: 0,
            deadline: terms.end
        });
        bytes32 dealHash = digests.hashLeaseTransfer(deal);
        succession.transfer(terms, deal, signAs(RENTER_KEY, dealHash), signAs(STRANGER_KEY, dealHash));
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, STRANGER, RENTER));
        vm.prank(STRANGER);
        amendments.giveNoticeInGang(terms, other, 0);
        assertEq(endOf(terms), vm.getBlockTimestamp() + 1 hours);
    }

    function test_RevertWhen_LeaseHasEnded() external {
        giveNoticeAs(PROVIDER, other);
        skipTo(terms.end);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LeaseEnded.selector, terms.end, terms.end));
    }

    function test_RevertWhen_LeaseIsClosed() external {
        giveNoticeAs(PROVIDER, other);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        _expectRevertOf(leaseNotOpen(leaseId, LeaseStatus.CLOSED));
    }

    function test_WhenTheOthersProviderGaveNotice() external {
        giveNoticeAs(PROVIDER, other);
        skip(30 minutes);
        vm.expectEmit(address(market));
        emit ILeaseBook.NoticeGiven(
            leaseId,
            RENTER,
            uint40(vm.getBlockTimestamp()) + 1 hours,
            0,
            NoticeReason.GANG_FAILED,
            keccak256("evidence")
        );
        vm.prank(RENTER);
        amendments.giveNoticeInGang(terms, other, keccak256("evidence"));
        assertEq(endOf(terms), vm.getBlockTimestamp() + 1 hours, "its least duration does not count");
        assertEq(stateOf(terms).flags, LeaseFlags.CLOSING, "its provider has not failed");
        assertEq(stateOf(terms).penaltySeconds, 0);
    }

    function test_WhenTheOtherWasBreached() external {
        skip(1 hours);
        postProof(other, 1 hours);
        breach(other);
        _giveNotice();
        assertEq(endOf(terms), vm.getBlockTimestamp() + 1 hours);
    }

    function test_WhenTheOtherIsClosedAfterItsFailure() external {
        skip(1 hours);
        postProof(other, 1 hours);
        breach(other);
        closeAs(KEEPER, other);
        assertEq(uint8(stateOf(other).status), uint8(LeaseStatus.CLOSED));
        _giveNotice();
        assertEq(endOf(terms), vm.getBlockTimestamp() + 1 hours);
    }

    function test_WhenTheOtherHadAnOutage() external {
        FailoverPolicy memory policy = FailoverPolicy({
            delegate: DELEGATE,
            maxPricePerHour: 3.6e6,
            gpuClass: "RTX 4090",
            minBond: 0,
            allowedProvidersRoot: 0,
            allowedProvidersCount: 0,
            maxHops: 1,
            deadline: terms.end
        });
        Terms[] memory gang = new Terms[](2);
        (gang[0], gang[1]) = (_onFreeUnit(other, "a"), _onFreeUnit(terms, "b"));
        gang[0].policyHash = digests.hashFailoverPolicy(policy);
        nameGang(gang);
        openGang(gang);
        Terms memory next = currentTerms();
        next.offer.provider = NEXT_PROVIDER;
        next.offer.unitId = nextUnitId;
        next.policyHash = gang[0].policyHash;
        next.previousLeaseId = market.leaseIdOf(gang[0]);
        listOffer(next.offer);
        FailureProof memory failure = outageProof(next.previousLeaseId, vm.getBlockTimestamp());
        AllowedProvider memory allowed;
        vm.prank(DELEGATE);
        succession.failover(gang[0], policy, next, LISTED, allowed, failure);
        (other, terms) = (gang[0], gang[1]);
        _giveNotice();
        assertEq(endOf(terms), vm.getBlockTimestamp() + 1 hours);
    }

    function test_WhenLeaseHasNotStarted() external {
        Terms[] memory gang = new Terms[](2);
        (gang[0], gang[1]) = (_onFreeUnit(other, "a"), _onFreeUnit(terms, "b"));
        gang[1].start += 5 hours;
        gang[1].end += 5 hours;
        gang[1].maxEnd += 5 hours;
        nameGang(gang);
        openGang(gang);
        (other, terms) = (gang[0], gang[1]);
        giveNoticeAs(PROVIDER, other);
        _giveNotice();
        assertEq(endOf(terms), terms.start);
    }

    function test_WhenNoticeEndsLaterThanTheLease() external {
        giveNoticeAs(PROVIDER, other);
        skipTo(terms.end - 30 minutes);
        _giveNotice();
        assertEq(endOf(terms), terms.end);
    }

    function test_WhenAMaturedProofWaits() external {
        giveNoticeAs(PROVIDER, other);
        skip(1 hours);
        postProof(terms, 1 hours);
        skip(CHALLENGE_SECONDS);
        _giveNotice();
        assertEq(stateOf(terms).settledSeconds, 1 hours);
    }

    function test_WhenTheOwnProviderGaveNoticeToo() external {
        giveNoticeAs(PROVIDER, other);
        giveNoticeAs(NEXT_PROVIDER, terms);
        uint32 penalty = stateOf(terms).penaltySeconds;
        skip(10 minutes);
        uint256 end = endOf(terms);
        _giveNotice();
        assertEq(endOf(terms), end, "ends no later");
        assertEq(stateOf(terms).penaltySeconds, penalty, "its provider owes what it cut off");
    }

    function _onFreeUnit(Terms memory lease, string memory host) private returns (Terms memory) {
        lease.offer.provider = PROVIDER;
        lease.offer.unitId = registerUnitAs(PROVIDER, WORKER, bytes32(bytes(host)), gpuIdsOf(host, 2));
        lease.start = uint40(vm.getBlockTimestamp());
        lease.end = lease.start + 10 hours;
        lease.maxEnd = lease.end;
        listOffer(lease.offer);
        return lease;
    }

    function _giveNotice() private {
        vm.prank(RENTER);
        amendments.giveNoticeInGang(terms, other, 0);
    }

    function _expectNotFailed() private {
        bytes32 failedId = market.leaseIdOf(other);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.GangNotFailed.selector, failedId));
    }

    function _expectRevertOf(bytes memory reason) private {
        vm.expectRevert(reason);
        _giveNotice();
    }
}
