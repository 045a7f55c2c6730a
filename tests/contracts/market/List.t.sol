// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { Offer, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract ListTest is Base {
    function test_RevertWhen_CallerIsNotProvider() external {
        Offer memory offer = defaultOffer();
        _expectOnlyProvider();
        vm.prank(STRANGER);
        market.list(offer);
    }

    function test_WhenTokenIsNotAllowedYet() external {
        Offer memory offer = defaultOffer();
        offer.token = address(stakeToken);
        listOffer(offer);
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.TokenNotAllowed.selector, address(stakeToken)));
        vm.prank(RENTER);
        market.open(termsFor(offer), LISTED);
    }

    function test_RevertWhen_OfferHasExpired() external {
        Offer memory offer = defaultOffer();
        offer.validUntil = MONDAY - 1;
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OfferExpired.selector, MONDAY - 1, MONDAY));
        listOffer(offer);
    }

    function test_WhenDurationsAllowNoLease() external {
        _expectNeverOpened(10 hours, 10 hours - 1);
        _expectNeverOpened(0, 0);
    }

    function test_WhenGreatestDurationExceedsTheHorizon() external {
        Offer memory offer = defaultOffer();
        offer.maxSeconds = 401 days;
        listOffer(offer);
        Terms memory terms = termsFor(offer);
        terms.maxEnd = terms.start + 400 days + 1;
        _expectMaxEnd(terms, terms.start + 400 days);
        terms.maxEnd -= 1;
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }

    function test_RevertWhen_OfferIsListedAlready() external {
        bytes32 offerHash = listOffer(defaultOffer());
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OfferAlreadyListed.selector, offerHash));
        listOffer(defaultOffer());
    }

    function test_WhenOfferExpiresThisSecond() external {
        Offer memory offer = defaultOffer();
        offer.validUntil = MONDAY;
        (offer.minSeconds, offer.maxSeconds) = (400 days, 400 days);
        assertEq(market.listedBy(listOffer(offer)), PROVIDER);
    }

    function test_WhenOfferIsValid() external {
        Offer memory offer = defaultOffer();
        bytes32 expected = digests.hashOffer(offer);
        vm.expectEmit(address(market));
        emit ILeaseBook.OfferListed(expected, PROVIDER, offer);
        assertEq(listOffer(offer), expected);
        assertEq(market.listedBy(expected), PROVIDER);
    }

    function test_RevertWhen_UnlistedOfferIsNotListed() external {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OfferNotListed.selector, bytes32("none")));
        vm.prank(PROVIDER);
        market.unlist("none");
    }

    function test_RevertWhen_AnotherUnlists() external {
        bytes32 offerHash = listOffer(defaultOffer());
        _expectOnlyProvider();
        vm.prank(STRANGER);
        market.unlist(offerHash);
    }

    function test_WhenProviderUnlists() external {
        bytes32 offerHash = listOffer(defaultOffer());
        vm.expectEmit(address(market));
        emit ILeaseBook.OfferUnlisted(offerHash, PROVIDER);
        _unlist(offerHash);
        assertEq(market.listedBy(offerHash), address(0));
        Terms memory terms = defaultTerms();
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OfferNotListed.selector, offerHash));
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }

    function test_WhenListedAgain() external {
        bytes32 offerHash = listOffer(defaultOffer());
        _unlist(offerHash);
        assertEq(listOffer(defaultOffer()), offerHash);
        assertEq(market.listedBy(offerHash), PROVIDER);
    }

    function test_WhenALeaseIsOpen() external {
        (Terms memory terms, bytes32 leaseId) = openDefault();
        bytes memory before = abi.encode(market.leaseState(leaseId));
        _unlist(digests.hashOffer(terms.offer));
        assertEq(abi.encode(market.leaseState(leaseId)), before);
        skipTo(terms.end);
        (uint96 pay, uint96 fee) = prove(terms, 10 hours);
        assertEq(uint256(pay) + fee, 36e6);
        closeAs(KEEPER, terms);
    }

    function _unlist(bytes32 offerHash) private {
        vm.prank(PROVIDER);
        market.unlist(offerHash);
    }

    function _expectOnlyProvider() private {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyProvider.selector, PROVIDER, STRANGER));
    }

    function _expectNeverOpened(uint32 minSeconds, uint32 maxSeconds) private {
        Offer memory offer = defaultOffer();
        (offer.minSeconds, offer.maxSeconds) = (minSeconds, maxSeconds);
        listOffer(offer);
        Terms memory terms = termsFor(offer);
        _expectMaxEnd(terms, terms.start + maxSeconds);
    }

    function _expectMaxEnd(Terms memory terms, uint256 latest) private {
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.MaxEndOutOfRange.selector, terms.end, latest, terms.maxEnd)
        );
        vm.prank(RENTER);
        market.open(terms, LISTED);
    }
}
