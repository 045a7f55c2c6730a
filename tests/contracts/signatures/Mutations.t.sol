// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import {
    Acceptance,
    AllowedProvider,
    CompletionProof,
    FailoverPolicy,
    LeaseTransfer,
    Offer,
    OfferKind,
    OrderAcknowledgement,
    RelayedCall,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Mutator } from "./Mutator.sol";

/// Each kind of signature: of thousands that were tampered with none passes, and the genuine one passes as often as
/// the protocol says.
contract MutationsTest is Mutator {
    Terms private terms;
    FailoverPolicy private policy;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        assertEq(separatorOf(marketDomain()), market.domainSeparator());
        assertEq(separatorOf(quorumDomain()), quorum.domainSeparator());
        assertEq(separatorOf(tokenDomain()), token.DOMAIN_SEPARATOR());
        policy.delegate = KEEPER;
        policy.maxPricePerHour = 3.6e6;
        policy.gpuClass = "RTX 4090";
        policy.maxHops = 1;
        terms = currentTerms();
        terms.offer.kind = OfferKind.IDLE;
        policy.deadline = terms.end;
        terms.policyHash = digests.hashFailoverPolicy(policy);
        leaseId = openLease(terms);
        skip(1 hours);
        token.mint(KEEPER, 1e15);
        vm.prank(KEEPER);
        token.approve(address(market), type(uint256).max);
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Offer(uint256 seed) external {
        Terms memory wanted = _nextTerms();
        bytes32 structHash = digests.hashOffer(wanted.offer);
        bytes memory genuine = signAs(NEXT_PROVIDER_KEY, structHash);
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            Terms memory tried = _copy(wanted);
            bytes memory signature = genuine;
            if (seed % 4 == 0) _tamper(tried.offer, _next(seed));
            else signature = mutated(marketDomain(), NEXT_PROVIDER_KEY, structHash, _next(seed));
            _expectInvalid(abi.encodeCall(market.open, (tried, signature)));
        }
        _expectGood(abi.encodeCall(market.open, (wanted, genuine)));
        // An offer may be taken while hours are free and the provider has not withdrawn it.
        _expectRevert(
            abi.encodeCall(market.open, (wanted, genuine)),
            abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, market.leaseIdOf(wanted))
        );
        wanted.salt += 1;
        _expectRevert(
            abi.encodeCall(market.open, (wanted, genuine)),
            abi.encodeWithSelector(IProviderRegistry.HoursTaken.selector, nextUnitId, ALWAYS, ALWAYS)
        );
        uint256 salt = wanted.offer.salt;
        vm.prank(NEXT_PROVIDER);
        amendments.cancelSalt(salt);
        _expectRevert(
            abi.encodeCall(market.open, (wanted, genuine)),
            abi.encodeWithSelector(ILeaseBook.OfferCancelled.selector, NEXT_PROVIDER, salt)
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Proof(uint256 seed) external {
        CompletionProof memory proof = proofOf(terms, 1 hours);
        bytes32 structHash = digests.hashCompletionProof(proof);
        bytes memory genuine = signAs(WORKER_KEY, structHash);
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            CompletionProof memory tried = abi.decode(abi.encode(proof), (CompletionProof));
            bytes memory signature = genuine;
            if (seed % 4 == 0) _tamper(tried, _next(seed));
            else signature = mutated(marketDomain(), WORKER_KEY, structHash, _next(seed));
            _expectInvalid(abi.encodeCall(market.postProof, (terms, tried, signature)));
        }
        bytes memory post = abi.encodeCall(market.postProof, (terms, proof, genuine));
        _expectGood(post);
        _expectRevert(
            post,
            abi.encodeWithSelector(
                ILeaseBook.ProofPending.selector,
                vm.getBlockTimestamp() + CHALLENGE_SECONDS,
                vm.getBlockTimestamp()
            )
        );
        skip(CHALLENGE_SECONDS);
        _expectRevert(
            post, abi.encodeWithSelector(ILeaseBook.ProofOutOfOrder.selector, structHash, bytes32(0))
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Acceptance(uint256 seed) external {
        bytes32 proofHash = postProof(terms, 1 hours);
        bytes32 structHash = digests.hashAcceptance(Acceptance(leaseId, proofHash));
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            bytes memory signature = mutated(marketDomain(), RENTER_KEY, structHash, _next(seed));
            if (seed % 8 == 0) {
                // Of another lease or proof.
                bytes32 other = bytes32(_next(seed));
                signature = seed % 16 == 0
                    ? signAs(RENTER_KEY, digests.hashAcceptance(Acceptance(other, proofHash)))
                    : signAs(RENTER_KEY, digests.hashAcceptance(Acceptance(leaseId, other)));
            }
            _expectInvalid(abi.encodeCall(amendments.accept, (terms, proofHash, signature)));
        }
        bytes memory accept =
            abi.encodeCall(amendments.accept, (terms, proofHash, signAs(RENTER_KEY, structHash)));
        _expectGood(accept);
        _expectRevert(
            accept, abi.encodeWithSelector(ILeaseBook.ProofNotPending.selector, proofHash, proofHash)
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_OrderAnswer(uint256 seed) external {
        vm.prank(RENTER);
        amendments.postOrder(terms, "order");
        bytes32 structHash = digests.hashOrderAcknowledgement(OrderAcknowledgement(leaseId, "order", true));
        bytes memory genuine = signAs(WORKER_KEY, structHash);
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            bool refused = seed % 8 == 0;
            bytes memory signature =
                refused ? genuine : mutated(marketDomain(), WORKER_KEY, structHash, _next(seed));
            _expectInvalid(abi.encodeCall(amendments.answerOrder, (terms, "order", !refused, signature)));
        }
        bytes memory answer = abi.encodeCall(amendments.answerOrder, (terms, "order", true, genuine));
        _expectGood(answer);
        _expectRevert(
            answer, abi.encodeWithSelector(ILeaseBook.OrderNotPosted.selector, bytes32(0), bytes32("order"))
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Yield(uint256 seed) external {
        FailureProof memory failure = yieldProof(leaseId, vm.getBlockTimestamp() - 60);
        bytes32 structHash = digests.hashYield(failure.yielded);
        Terms memory next = _listedNext();
        bytes memory genuine = failure.workerSignature;
        uint40 since = failure.yielded.since;
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            failure.workerSignature = genuine;
            failure.yielded.since = since;
            if (seed % 8 == 0) failure.yielded.since -= uint40(bound(_next(seed), 1, 1 days - 60));
            else failure.workerSignature = mutated(marketDomain(), WORKER_KEY, structHash, _next(seed));
            _expectInvalid(_failover(next, failure));
        }
        failure.workerSignature = genuine;
        failure.yielded.since = since;
        _expectGood(_failover(next, failure));
        _expectRevert(
            _failover(next, failure),
            abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("failover"))
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Outage(uint256 seed) external {
        FailureProof memory failure = outageProof(leaseId, vm.getBlockTimestamp() - 60);
        bytes memory encoded = abi.encode(failure);
        bytes32 structHash = digests.hashOutage(failure.outage);
        Terms memory next = _listedNext();
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            failure = abi.decode(encoded, (FailureProof));
            uint256 which = seed % 2;
            uint256 member = 2 * which;
            if (seed % 16 == 0) {
                failure.outage.since -= uint40(bound(_next(seed), 1, 1 days - 60));
            } else {
                failure.quorumSignatures[which].signature =
                    mutated(quorumDomain(), memberKeys[member], structHash, _next(seed));
            }
            _expectRevert(
                _failover(next, failure),
                abi.encodeWithSelector(
                    IOracleQuorum.SignatureInvalid.selector, member, vm.addr(memberKeys[member])
                )
            );
        }
        failure = abi.decode(encoded, (FailureProof));
        _expectGood(_failover(next, failure));
        _expectRevert(
            _failover(next, failure),
            abi.encodeWithSelector(ILeaseBook.PolicyForbids.selector, bytes32("failover"))
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Transfer(uint256 seed) external {
        LeaseTransfer memory sale = _sale();
        bytes32 structHash = digests.hashLeaseTransfer(sale);
        bytes memory sellers = signAs(RENTER_KEY, structHash);
        bytes memory buyers = signAs(STRANGER_KEY, structHash);
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            LeaseTransfer memory tried = abi.decode(abi.encode(sale), (LeaseTransfer));
            bytes[2] memory signatures = [sellers, buyers];
            if (seed % 8 == 0) {
                _tamper(tried, _next(seed));
            } else if (seed % 2 == 0) {
                signatures[0] = mutated(marketDomain(), RENTER_KEY, structHash, _next(seed));
            } else {
                signatures[1] = mutated(marketDomain(), STRANGER_KEY, structHash, _next(seed));
            }
            _expectInvalid(abi.encodeCall(succession.transfer, (terms, tried, signatures[0], signatures[1])));
        }
        bytes memory transfer = abi.encodeCall(succession.transfer, (terms, sale, sellers, buyers));
        _expectGood(transfer);
        _expectRevert(transfer, abi.encodeWithSelector(ILeaseBook.OnlyRenter.selector, STRANGER, RENTER));
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_RelayedCall(uint256 seed) external {
        RelayedCall memory call = relayedCall(RENTER, abi.encodeCall(amendments.cancelSalt, (7)));
        bytes32 structHash = digests.hashRelayedCall(call);
        bytes memory genuine = signAs(RENTER_KEY, structHash);
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            RelayedCall memory tried = abi.decode(abi.encode(call), (RelayedCall));
            bytes memory signature = genuine;
            if (seed % 4 == 0) _tamper(tried, _next(seed));
            else signature = mutated(marketDomain(), RENTER_KEY, structHash, _next(seed));
            _expectInvalid(abi.encodeCall(amendments.relay, (tried, signature)));
            assertEq(market.nonces(RENTER), 0);
        }
        _expectGood(abi.encodeCall(amendments.relay, (call, genuine)));
        _expectRevert(
            abi.encodeCall(amendments.relay, (call, genuine)),
            abi.encodeWithSignature("InvalidAccountNonce(address,uint256)", RENTER, 1)
        );
    }

    /// forge-config: nightly.fuzz.runs = 2000
    function testFuzz_Permit(uint256 seed) external {
        vm.prank(RENTER);
        token.approve(address(market), 0);
        uint256 deadline = vm.getBlockTimestamp();
        bytes32 structHash = _permitHash(5e6, deadline);
        for (uint256 i = 0; i < TRIES; ++i) {
            seed = _next(seed);
            Domain memory domain = tokenDomain();
            bytes memory signature = signIn(domain, RENTER_KEY, structHash);
            uint256 amount = 5e6;
            if (seed % 4 == 0) amount = bound(_next(seed), 5e6 + 1, type(uint256).max);
            else signature = mutatedWhole(domain, RENTER_KEY, structHash, _next(seed));
            _usePermit(RENTER, amount, deadline, signature);
            assertEq(token.allowance(RENTER, address(market)), 0);
        }
        bytes memory genuine = signIn(tokenDomain(), RENTER_KEY, structHash);
        _usePermit(STRANGER, 5e6, deadline, genuine);
        assertEq(token.allowance(STRANGER, address(market)), 0);
        _usePermit(RENTER, 5e6, deadline, genuine);
        assertEq(token.allowance(RENTER, address(market)), 5e6);
        vm.prank(RENTER);
        market.topUp(terms, terms.end + 1 hours);
        _usePermit(RENTER, 5e6, deadline, genuine);
        assertEq(token.allowance(RENTER, address(market)), 5e6 - 3.6e6, "once only");
    }

    function quorumDomain() internal view returns (Domain memory) {
        return Domain("GPGPU", "1", block.chainid, address(quorum));
    }

    function tokenDomain() internal view returns (Domain memory) {
        return Domain("Dollar", "1", block.chainid, address(token));
    }

    function _usePermit(address caller, uint256 amount, uint256 deadline, bytes memory signature) private {
        (bytes32 r, bytes32 s, uint8 v) = partsOf(signature);
        vm.prank(caller);
        amendments.usePermit(address(token), amount, deadline, v, r, s);
    }

    function _permitHash(uint256 amount, uint256 deadline) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                RENTER,
                address(market),
                amount,
                token.nonces(RENTER),
                deadline
            )
        );
    }

    function _tamper(Offer memory offer, uint256 seed) private view {
        uint256 field = seed % 11;
        uint256 noise = uint256(keccak256(abi.encode(seed)));
        if (field == 0) offer.provider = PROVIDER;
        else if (field == 1) offer.unitId = bytes32(noise);
        else if (field == 2) offer.gpuClass = bytes32(noise);
        else if (field == 3) offer.gpuCount += uint16(bound(noise, 1, 100));
        else if (field == 4) offer.pricePerHour -= uint96(bound(noise, 1, offer.pricePerHour));
        else if (field == 5) offer.kind = OfferKind.IDLE;
        else if (field == 6) offer.weeklyHours ^= uint168(1) << uint8(noise % 168);
        else if (field == 7) offer.minSeconds -= uint32(bound(noise, 1, offer.minSeconds));
        else if (field == 8) offer.bond += uint96(bound(noise, 1, 1e24));
        else if (field == 9) offer.validUntil += uint40(bound(noise, 1, 1e9));
        else offer.salt ^= uint256(1) << (noise % 256);
    }

    function _tamper(CompletionProof memory proof, uint256 seed) private pure {
        uint256 field = seed % 7;
        uint256 noise = uint256(keccak256(abi.encode(seed)));
        if (field == 0) proof.provenSeconds -= uint32(bound(noise, 1, proof.provenSeconds));
        else if (field == 1) proof.jobsCompleted ^= uint32(1) << uint8(noise % 32);
        else if (field == 2) proof.leafCount ^= uint32(1) << uint8(noise % 32);
        else if (field == 3) proof.jobsRoot = bytes32(noise);
        else if (field == 4) proof.availabilityRoot = bytes32(noise);
        else if (field == 5) proof.energyJoules ^= uint64(1) << uint8(noise % 64);
        else proof.previousProof = bytes32(noise);
    }

    function _tamper(LeaseTransfer memory sale, uint256 seed) private pure {
        uint256 field = seed % 3;
        uint256 noise = uint256(keccak256(abi.encode(seed)));
        if (field == 0) sale.price ^= uint96(1) << uint8(noise % 96);
        else if (field == 1) sale.to = address(uint160(noise));
        else sale.deadline += uint40(bound(noise, 1, 1e9));
    }

    function _tamper(RelayedCall memory call, uint256 seed) private view {
        uint256 field = seed % 3;
        uint256 noise = uint256(keccak256(abi.encode(seed)));
        if (field == 0) call.data = abi.encodeCall(amendments.cancelSalt, (noise | 1 << 255));
        else if (field == 1) call.deadline += uint40(bound(noise, 1, 1e9));
        else call.account = STRANGER;
    }

    function _nextTerms() private view returns (Terms memory next) {
        next = currentTerms();
        next.offer.provider = NEXT_PROVIDER;
        next.offer.unitId = nextUnitId;
    }

    function _listedNext() private returns (Terms memory next) {
        next = _nextTerms();
        next.offer.minSeconds = 0;
        next.end = next.start + 2 hours;
        next.policyHash = terms.policyHash;
        next.previousLeaseId = leaseId;
        listOffer(next.offer);
    }

    function _sale() private view returns (LeaseTransfer memory) {
        return LeaseTransfer({
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
    }

    function _failover(Terms memory next, FailureProof memory failure) private view returns (bytes memory) {
        AllowedProvider memory allowed;
        return abi.encodeCall(succession.failover, (terms, policy, next, LISTED, allowed, failure));
    }

    function _copy(Terms memory terms_) private pure returns (Terms memory) {
        return abi.decode(abi.encode(terms_), (Terms));
    }

    function _next(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
    }

    function _expectGood(bytes memory data) private {
        vm.prank(KEEPER);
        (bool ok, bytes memory reason) = address(market).call(data);
        assertTrue(ok, string(reason));
    }

    /// Refused for the signature, and for nothing else.
    function _expectInvalid(bytes memory data) private {
        vm.prank(KEEPER);
        (bool ok, bytes memory reason) = address(market).call(data);
        assertFalse(ok, "a tampered signature passed");
        assertEq(bytes4(reason), IRelayedContext.SignatureInvalid.selector);
    }

    function _expectRevert(bytes memory data, bytes memory expected) private {
        vm.prank(KEEPER);
        (bool ok, bytes memory reason) = address(market).call(data);
        assertFalse(ok);
        assertEq(reason, expected);
    }
}
