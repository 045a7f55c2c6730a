// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { Hashing } from "../../../contracts/libraries/Hashing.sol";
import { NoticeReason, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// Digests are taken of calldata as it lies: what its types cannot hold must not get in under another digest than that
/// of the values in the events.
contract DirtyWordsTest is Base {
    /// Words of Terms, its offer first, that a type fills wholly.
    uint256 private constant FULL_WORDS = 1 << 1 | 1 << 2 | 1 << 13 | 31 << 20;

    function test_RevertWhen_AnOfferIsListedWithThem() external {
        bytes memory call_ = abi.encodeCall(market.list, (defaultOffer()));
        for (uint256 word = 0; word < 14; ++word) {
            if (FULL_WORDS >> word & 1 == 0) _assertFails(PROVIDER, call_, word);
        }
    }

    function test_RevertWhen_ALeaseIsOpenedWithThem() external {
        Terms memory terms = defaultTerms();
        listOffer(terms.offer);
        bytes memory call_ = abi.encodeCall(market.open, (terms, LISTED));
        for (uint256 word = 0; word < 25; ++word) {
            if (FULL_WORDS >> word & 1 == 0) _assertFails(RENTER, call_, word);
        }
        openLease(terms);
    }

    function test_RevertWhen_AProviderSignedThem() external {
        Terms memory terms = defaultTerms();
        for (uint256 word = 0; word < 14; ++word) {
            if (FULL_WORDS >> word & 1 != 0) continue;
            bytes memory offer = abi.encode(terms.offer);
            offer[32 * word] ^= 0x80;
            bytes memory signature =
                signAs(PROVIDER_KEY, keccak256(bytes.concat(Hashing.OFFER_TYPEHASH, offer)));
            bytes memory call_ = abi.encodeCall(market.open, (terms, signature));
            bytes memory reason = _assertFails(RENTER, call_, word);
            // The signature itself is good.
            assertNotEq(bytes4(reason), IRelayedContext.SignatureInvalid.selector);
        }
        bytes memory clean = signOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, clean);
    }

    function test_RevertWhen_AnOpenLeaseIsCalledWithThem() external {
        (Terms memory terms,) = openDefault();
        skipTo(terms.end - 2 hours);
        bytes memory settle = abi.encodeCall(market.settle, (terms));
        bytes memory notice =
            abi.encodeCall(amendments.giveNotice, (terms, NoticeReason.UNSPECIFIED, bytes32(0)));
        for (uint256 word = 0; word < 25; ++word) {
            _assertFails(KEEPER, settle, word);
            _assertFails(PROVIDER, notice, word);
        }
    }

    /// With the highest bit of that word of the arguments turned over.
    function _assertFails(address caller, bytes memory call_, uint256 word)
        private
        returns (bytes memory reason)
    {
        bytes memory dirty = bytes.concat(call_);
        dirty[4 + 32 * word] ^= 0x80;
        vm.prank(caller);
        bool ok;
        (ok, reason) = address(market).call(dirty);
        assertFalse(ok, vm.toString(word));
    }
}
