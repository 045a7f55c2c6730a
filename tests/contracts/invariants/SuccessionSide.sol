// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { FailureProof, ILeaseSuccession } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import { QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { MemberSet } from "../../../contracts/libraries/MemberSet.sol";
import {
    AllowedProvider,
    FailoverPolicy,
    LeaseTransfer,
    Outage,
    Terms,
    Yield
} from "../../../contracts/libraries/Types.sol";
import { RenterSide } from "./RenterSide.sol";
import { Shadow } from "./Shadows.sol";

/// @title Gangs, failovers, transfers
abstract contract SuccessionSide is RenterSide {
    using MemberSet for uint64;

    /// Two leases of one renter.
    function openGang(uint256 seed, uint256 other) external acting(seed) {
        if (_shadows.length + 2 > MAX_LEASES) return;
        Terms[] memory terms = new Terms[](2);
        bytes[] memory signatures = new bytes[](2);
        terms[0] = _terms(seed, address(_token(seed >> 16)));
        // Units differ: their numbers are a renter's choice, not chance.
        other =
            (other >> 8) / units.length * units.length + (seed % units.length + 1 + other % 2) % units.length;
        terms[1] = _terms(other, address(_token(other >> 16)));
        terms[1].renter = terms[0].renter;
        bytes32[] memory offerHashes = new bytes32[](2);
        for (uint256 i = 0; i < 2; ++i) {
            offerHashes[i] = DIGESTS.hashOffer(terms[i].offer);
            signatures[i] = _sign(terms[i].offer.provider, offerHashes[i]);
        }
        bytes32 gangId = keccak256(abi.encode(offerHashes, terms[0].renter, _leaseTerms(terms[0])));
        (terms[0].gangId, terms[1].gangId) = (gangId, gangId);
        bytes memory reason = _openReason(terms[0], true, 0);
        for (uint256 i = 0; i < 2 && reason.length == 0; ++i) {
            _propose(terms[i]);
            _fund(terms[i].offer.token, terms[i].renter, _depositFor(terms[i], terms[i].end));
            if (i == 0) reason = _openSecondReason(terms[0], terms[1]);
        }
        bytes memory data = abi.encodeCall(ILeaseSuccession.openGang, (terms, signatures));
        _call(terms[0].renter, data, reason, "openGang");
    }

    function giveNoticeInGang(uint256 pick, uint256 seed) external acting(seed) {
        (uint256 index, uint256 mate) = _pickGang(pick);
        if (index == mate) return;
        Shadow storage shadow = _shadows[index];
        Shadow storage failed = _shadows[mate];
        bytes memory reason = _notOpen(shadow);
        if (reason.length == 0 && !failed.failed) {
            reason = abi.encodeWithSelector(ILeaseBook.GangNotFailed.selector, failed.leaseId);
        }
        if (reason.length == 0) reason = _ended(shadow);
        bytes memory data =
            abi.encodeCall(ILeaseAmendments.giveNoticeInGang, (shadow.terms, failed.terms, bytes32(seed)));
        _call(shadow.renter, data, reason, "giveNoticeInGang");
    }

    function transfer(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        LeaseTransfer memory deal = LeaseTransfer({
            leaseId: shadow.leaseId,
            from: shadow.renter,
            to: _renter(seed),
            price: uint96(seed >> 8) % 1e18,
            deposit: uint96(shadow.deposit),
            end: shadow.end,
            settledSeconds: _settledFirst(shadow),
            transfers: shadow.transfers,
            deadline: uint40(_now())
        });
        // A deal over another state is none.
        if ((seed >> 232) % 8 == 0) deal.settledSeconds += 1;
        bytes memory reason = _notRunning(shadow);
        if (reason.length == 0) reason = _isClosing(shadow);
        if (reason.length == 0) reason = _disputed(shadow);
        if (reason.length == 0 && deal.settledSeconds != _settledFirst(shadow)) {
            reason = abi.encodeWithSelector(
                ILeaseBook.StateMismatch.selector,
                bytes32("settledSeconds"),
                uint256(_settledFirst(shadow)),
                uint256(deal.settledSeconds)
            );
        }
        if (reason.length == 0) _fund(shadow.terms.offer.token, deal.to, deal.price);
        _transfer(shadow, deal, reason);
    }

    function failover(uint256 pick, uint256 seed) external acting(seed) {
        if (_shadows.length == MAX_LEASES) return;
        (bool found, uint256 index) = _pickWithPolicy(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        Terms memory next = _next(shadow, seed);
        _keepAttested(next.offer.unitId);
        bool outage = (seed >> 224) % 3 == 0 && QUORUM.activeMembers().count() >= THRESHOLD;
        bool yielded = (seed >> 224) % 3 == 1;
        bytes memory reason = _failoverReason(shadow, next, outage, yielded);
        if (reason.length == 0) _propose(next);
        (_outage, _yielded) = (outage, yielded);
        _call(delegate, _failoverData(shadow, next, outage, yielded), reason, "failover");
    }

    function _policyHash(uint256 seed) internal view override returns (bytes32) {
        return (seed >> 228) % 2 == 0 ? bytes32(0) : DIGESTS.hashFailoverPolicy(_policy());
    }

    function _policy() internal view returns (FailoverPolicy memory) {
        return FailoverPolicy({
            delegate: delegate,
            maxPricePerHour: type(uint96).max,
            gpuClass: GPU_CLASS,
            minBond: 0,
            allowedProvidersRoot: 0,
            allowedProvidersCount: 0,
            maxHops: 2,
            deadline: type(uint40).max
        });
    }

    function _quorumSigns(bytes32 structHash) internal view returns (QuorumSignature[] memory signatures) {
        signatures = new QuorumSignature[](THRESHOLD);
        bytes32 domain = QUORUM.domainSeparator();
        uint8[] memory active = QUORUM.activeMembers().list();
        for (uint256 i = 0; i < THRESHOLD && i < active.length; ++i) {
            signatures[i] = QuorumSignature(active[i], _signIn(domain, arbiters[active[i]], structHash));
        }
    }

    /// Afterwards the quorum's finding that the unit's GPUs are real holds.
    function _keepAttested(bytes32 unitId) internal virtual;

    function _transfer(Shadow storage shadow, LeaseTransfer memory deal, bytes memory reason) private {
        bytes32 dealHash = DIGESTS.hashLeaseTransfer(deal);
        bytes memory data = abi.encodeCall(
            ILeaseSuccession.transfer,
            (shadow.terms, deal, _sign(deal.from, dealHash), _sign(deal.to, dealHash))
        );
        _call(KEEPER, data, reason, "transfer");
        if (reason.length != 0) return;
        assertEq(shadow.renter, deal.to);
        // Signatures sell once.
        reason = abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, deal.to, deal.from);
        if (deal.from == deal.to) {
            reason = abi.encodeWithSelector(
                ILeaseBook.StateMismatch.selector,
                bytes32("transfers"),
                uint256(deal.transfers) + 1,
                uint256(deal.transfers)
            );
        }
        _callAt(address(MARKET), ATTACKER, 0, data, reason, "replayed transfer");
    }

    /// Terms that the old lease's money may pay for, or not quite.
    function _next(Shadow storage shadow, uint256 seed) private returns (Terms memory next) {
        next = _terms(seed, shadow.terms.offer.token);
        next.renter = shadow.terms.renter;
        next.policyHash = shadow.terms.policyHash;
        next.previousLeaseId = shadow.leaseId;
        next.offer.pricePerHour = uint96(seed >> 80) % (shadow.terms.offer.pricePerHour + 2);
        if ((seed >> 196) % 2 == 0) next.offer.pricePerHour /= 16;
    }

    function _failoverReason(Shadow storage shadow, Terms memory next, bool outage, bool yielded)
        private
        view
        returns (bytes memory reason)
    {
        reason = _notOpen(shadow);
        if (reason.length != 0) return reason;
        if (shadow.transfers != 0) {
            return abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("transfer"));
        }
        if (shadow.hops >= _policy().maxHops) {
            return abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("maxHops"));
        }
        if (shadow.failedOver) {
            return abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("failover"));
        }
        if (next.offer.kind > shadow.terms.offer.kind) {
            return abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("kind"));
        }
        reason = _failureReason(shadow, outage, yielded);
        if (reason.length == 0) reason = _openReason(next, true, 0);
        if (reason.length != 0) return reason;
        bool cut = (outage || yielded) && _now() < shadow.end;
        uint256 end = cut ? _max(shadow.terms.start, _now()) : shadow.end;
        uint256 needed = _depositFor(shadow.terms, end) + _depositFor(next, next.end);
        if (shadow.deposit >= needed) return NO_REASON;
        return abi.encodeWithSelector(ILeaseBook.DepositTooSmall.selector, needed, shadow.deposit);
    }

    function _failoverData(Shadow storage shadow, Terms memory next, bool outage, bool yielded)
        private
        view
        returns (bytes memory)
    {
        AllowedProvider memory anyProvider;
        FailureProof memory failure = _failureOf(shadow, outage, yielded);
        bytes memory signature = _sign(next.offer.provider, DIGESTS.hashOffer(next.offer));
        return abi.encodeCall(
            ILeaseSuccession.failover, (shadow.terms, _policy(), next, signature, anyProvider, failure)
        );
    }

    function _failureOf(Shadow storage shadow, bool outage, bool yielded)
        private
        view
        returns (FailureProof memory failure)
    {
        if (outage) {
            failure.outage = Outage(shadow.leaseId, uint40(_now()));
            failure.quorumSignatures = _quorumSigns(DIGESTS.hashOutage(failure.outage));
        } else if (yielded) {
            failure.yielded = Yield(shadow.leaseId, uint40(_now()));
            address worker = REGISTRY.workerOf(shadow.terms.offer.unitId);
            failure.workerSignature = _sign(worker, DIGESTS.hashYield(failure.yielded));
        }
    }

    function _openSecondReason(Terms memory first, Terms memory second) private view returns (bytes memory) {
        bool sameProvider = first.offer.provider == second.offer.provider;
        return _openReason(second, true, sameProvider ? first.offer.bond : 0);
    }

    /// Two different leases of one gang, the second failed if there are such.
    function _pickGang(uint256 pick) private view returns (uint256 index, uint256 mate) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 next = ((pick >> 8) % count + i) % count;
            bytes32 gangId = _shadows[next].terms.gangId;
            if (gangId == 0) continue;
            // Opened together, they lie side by side.
            bool first = next + 1 < count && _shadows[next + 1].terms.gangId == gangId;
            (index, mate) = (next, first ? next + 1 : next - 1);
            bool running = _notRunning(_shadows[index]).length == 0;
            if (pick % 4 == 0 || (running && _shadows[mate].failed)) return (index, mate);
        }
    }

    function _pickWithPolicy(uint256 pick) private view returns (bool, uint256) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 index = ((pick >> 8) % count + i) % count;
            Shadow storage shadow = _shadows[index];
            if (shadow.terms.policyHash == 0) continue;
            if (pick % 8 == 0 || _notOpen(shadow).length == 0) return (true, index);
        }
        return (false, 0);
    }
}
