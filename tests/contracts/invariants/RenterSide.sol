// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { Acceptance, NoticeReason, Offer, OfferKind, Terms } from "../../../contracts/libraries/Types.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { Predictions } from "./Predictions.sol";
import { Shadow } from "./Shadows.sol";

/// @title Renters, and those who pay for them: opening, extending, accepting, ordering, giving notice
abstract contract RenterSide is Predictions {
    /// How an offer is taken.
    uint256 private constant LISTED = 0;
    uint256 private constant SIGNED = 1;
    uint256 private constant CANCELLED = 2;
    uint256 private constant NATIVE = 3;
    uint256 private constant PERMITTED = 4;

    uint256 private _salt;

    function open(uint256 seed) external acting(seed) {
        if (_shadows.length == MAX_LEASES) return;
        uint8[8] memory modes = [0, 0, 1, 1, 1, 2, 3, 4];
        uint256 mode = modes[(seed >> 200) % 8];
        Terms memory terms = _terms(seed, mode == NATIVE ? address(WRAPPED) : address(_token(seed >> 16)));
        if (mode == PERMITTED && terms.offer.token == address(WRAPPED)) mode = SIGNED;
        bytes memory signature;
        if (mode == LISTED) {
            _list(terms.offer);
        } else {
            signature = _sign(terms.offer.provider, DIGESTS.hashOffer(terms.offer));
        }
        if (mode == CANCELLED) {
            bytes memory cancel = abi.encodeCall(ILeaseAmendments.cancelSalt, (terms.offer.salt));
            _call(terms.offer.provider, cancel, NO_REASON, "cancelSalt");
        }
        bytes memory reason = _openReason(terms, mode != LISTED, 0);
        if (mode == PERMITTED) return _openPermitted(terms, signature, reason);
        _openAs(terms, signature, reason, mode == NATIVE, seed);
    }

    function topUp(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        Terms memory terms = shadow.terms;
        uint256 end = bound(seed >> 8, shadow.end, _max(shadow.end, terms.maxEnd) + 60);
        bytes memory reason = _extendReason(shadow, end, terms.maxEnd);
        uint256 added = reason.length == 0 ? _depositFor(terms, end) - shadow.deposit : 0;
        bytes memory data = abi.encodeCall(ILeaseMarket.topUp, (terms, uint40(end)));
        if (terms.offer.token == address(WRAPPED) && added != 0) {
            vm.deal(KEEPER, added);
            _callAt(address(MARKET), KEEPER, added, data, reason, "topUpNative");
        } else {
            _fund(terms.offer.token, KEEPER, added);
            _call(KEEPER, data, reason, "topUp");
        }
    }

    function extend(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        Terms memory terms = shadow.terms;
        uint256 latest = uint256(terms.start) + terms.offer.maxSeconds;
        uint256 end = bound(seed >> 8, shadow.end, _max(shadow.end, latest) + 60);
        address caller = (seed >> 4) % 8 == 0 ? _renter(seed >> 16) : shadow.renter;
        bytes memory reason = _notOpen(shadow);
        if (reason.length == 0) reason = _notRenter(shadow, caller);
        if (reason.length == 0) reason = _extendReason(shadow, end, latest);
        if (reason.length == 0) _fund(terms.offer.token, caller, _depositFor(terms, end) - shadow.deposit);
        _call(caller, abi.encodeCall(ILeaseAmendments.extend, (terms, uint40(end))), reason, "extend");
    }

    function accept(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pickPending(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        bytes32 proofHash = seed % 8 == 0 ? bytes32(seed) : shadow.proofHash;
        bytes memory reason = _notOpen(shadow);
        if (reason.length == 0) reason = _notPending(shadow, proofHash);
        if (reason.length == 0) reason = _disputed(shadow);
        bytes memory signature;
        if ((seed >> 8) % 2 == 0) {
            signature = _sign(shadow.renter, DIGESTS.hashAcceptance(Acceptance(shadow.leaseId, proofHash)));
        }
        bytes memory data = abi.encodeCall(ILeaseAmendments.accept, (shadow.terms, proofHash, signature));
        _call(signature.length == 0 ? shadow.renter : KEEPER, data, reason, "accept");
    }

    function postOrder(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        address caller = seed % 8 == 0 ? _renter(seed >> 8) : shadow.renter;
        bytes memory reason = _notOpen(shadow);
        if (reason.length == 0) reason = _notRenter(shadow, caller);
        if (reason.length == 0) reason = _ended(shadow);
        if (reason.length == 0 && shadow.order != 0) {
            reason = abi.encodeWithSelector(ILeaseBook.OrderUnanswered.selector, shadow.order);
        }
        bytes32 order = keccak256(abi.encode("order", seed));
        bytes memory data = abi.encodeCall(ILeaseAmendments.postOrder, (shadow.terms, order));
        _call(caller, data, reason, "postOrder");
    }

    function giveNotice(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        address provider = shadow.terms.offer.provider;
        address caller = seed % 2 == 0 ? provider : shadow.renter;
        if (seed % 16 == 15) caller = _renter(seed >> 8);
        bytes memory reason = _notOpen(shadow);
        if (reason.length == 0 && caller != provider && caller != shadow.renter) {
            reason = abi.encodeWithSelector(ILeaseBook.OnlyParty.selector, shadow.renter, provider, caller);
        }
        if (reason.length == 0) reason = _ended(shadow);
        bytes memory data = abi.encodeCall(
            ILeaseAmendments.giveNotice, (shadow.terms, NoticeReason.WORK_DONE, bytes32(seed))
        );
        _call(caller, data, reason, caller == provider ? "noticeOfProvider" : "noticeOfRenter");
    }

    /// New terms on a new offer, start and end within what the offer allows.
    function _terms(uint256 seed, address token) internal returns (Terms memory terms) {
        terms.offer = _offer(seed, token);
        uint40 start = uint40(_now() + ((seed >> 40) % 2 == 0 ? 0 : (seed >> 48) % 1 days));
        // Most are short: units are rented out again.
        uint40 duration = uint40(bound(seed >> 24, 1, (seed >> 188) % 4 == 0 ? 3 days : 10 hours));
        terms.offer.minSeconds = uint32((seed >> 28) % duration);
        terms.renter = _renter(seed >> 4);
        terms.start = start;
        terms.end = start + duration;
        terms.maxEnd = start + duration + uint40(bound(seed >> 140, 0, 3 days - duration));
        terms.weeklyHours = terms.offer.weeklyHours;
        if ((seed >> 44) % 3 == 0) terms.weeklyHours &= uint168(seed >> 64);
        // Most look for what is free.
        if ((seed >> 204) % 8 != 0) terms.weeklyHours &= ~bookedHoursOf[terms.offer.unitId];
        (, terms.feeBps) = MARKET.tokenTerms(token);
        terms.policyHash = _policyHash(seed);
    }

    /// Of some leases; the others allow no failover.
    function _policyHash(uint256 seed) internal view virtual returns (bytes32);

    function _list(Offer memory offer) internal {
        _call(offer.provider, abi.encodeCall(ILeaseMarket.list, (offer)), NO_REASON, "list");
    }

    /// What `_onOpened` will know the lease's terms by.
    function _propose(Terms memory terms) internal returns (bytes32 leaseId) {
        leaseId = MARKET.leaseIdOf(terms);
        _proposed[leaseId] = terms;
    }

    function _openAs(
        Terms memory terms,
        bytes memory signature,
        bytes memory reason,
        bool native,
        uint256 seed
    ) private {
        uint256 deposit = _depositFor(terms, terms.end);
        address payer = (seed >> 208) % 4 == 0 ? KEEPER : terms.renter;
        bytes memory data = abi.encodeCall(ILeaseMarket.open, (terms, signature));
        if (reason.length == 0) {
            _propose(terms);
            if (!native) _fund(terms.offer.token, payer, deposit);
        }
        if (native) {
            vm.deal(payer, deposit);
            _callAt(address(MARKET), payer, deposit, data, reason, "openNative");
        } else {
            _call(payer, data, reason, signature.length == 0 ? "openListed" : "openSigned");
        }
        if (reason.length != 0) return;
        // The same terms open nothing more, by whomever.
        reason = abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, MARKET.leaseIdOf(terms));
        _callAt(address(MARKET), ATTACKER, 0, data, reason, "open again");
    }

    /// The sponsor approves nothing beforehand: its permit and the opening are one call.
    function _openPermitted(Terms memory terms, bytes memory signature, bytes memory reason) private {
        uint256 deposit = _depositFor(terms, terms.end);
        DevToken token = DevToken(terms.offer.token);
        if (reason.length == 0) {
            _propose(terms);
            token.mint(sponsor, deposit);
        }
        bytes[] memory data = new bytes[](2);
        data[0] = _permit(token, deposit);
        data[1] = abi.encodeCall(ILeaseMarket.open, (terms, signature));
        _call(sponsor, abi.encodeCall(ILeaseAmendments.multicall, (data)), reason, "openPermitted");
    }

    function _permit(DevToken token, uint256 amount) private view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                sponsor,
                MARKET,
                amount,
                token.nonces(sponsor),
                type(uint256).max
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf[sponsor], digest);
        return
            abi.encodeCall(ILeaseAmendments.usePermit, (address(token), amount, type(uint256).max, v, r, s));
    }

    function _offer(uint256 seed, address token) private returns (Offer memory) {
        uint256 unit = seed % units.length;
        address provider = providers[unit / UNITS];
        uint168 random = uint168(seed >> 32) | uint168(seed >> 64);
        uint168[4] memory masks =
            [type(uint168).max, type(uint168).max, random, 0xfffff0fffff0fffff0fffff0fffff0ffff0000ffff];
        uint24 epoch = epochOf[provider];
        // Some take an offer that its provider has voided.
        if (epoch != 0 && (seed >> 220) % 8 == 0) --epoch;
        return Offer({
            provider: provider,
            unitId: units[unit],
            gpuClass: GPU_CLASS,
            gpuCount: 2,
            token: token,
            pricePerHour: uint96(seed >> 80) % 1e20,
            kind: OfferKind((seed >> 20) % 2),
            weeklyHours: masks[(seed >> 8) % 4],
            minSeconds: 0,
            maxSeconds: 3 days,
            noticeSeconds: uint32((seed >> 56) % 12 hours),
            bond: uint96(seed >> 96) % ((seed >> 192) % 4 == 0 ? 1500e18 : 200e18),
            validUntil: type(uint40).max,
            salt: uint256(epoch) << 232 | ++_salt
        });
    }
}
