// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { Digests } from "../../../contracts/Digests.sol";
import { Hashing } from "../../../contracts/libraries/Hashing.sol";
import {
    Acceptance,
    ArtifactRef,
    CompletionProof,
    FailoverPolicy,
    GpuAttestation,
    Heartbeat,
    JobClass,
    JobLimits,
    JobOrder,
    JobOutcome,
    JobReceipt,
    JobSpec,
    LeaseTransfer,
    Offer,
    OfferKind,
    OrderAcknowledgement,
    Outage,
    RelayedCall,
    SignedRequest,
    Terms,
    Yield
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// A digest over words that are laid down one by one, as EIP-712 says, without the compiler's struct encoder.
library Words {
    function add(bytes memory words, uint256 value) internal pure returns (bytes memory) {
        return bytes.concat(words, bytes32(value));
    }

    function add(bytes memory words, address value) internal pure returns (bytes memory) {
        return bytes.concat(words, bytes32(uint256(uint160(value))));
    }

    function add(bytes memory words, bytes32 value) internal pure returns (bytes memory) {
        return bytes.concat(words, value);
    }

    function add(bytes memory words, string memory value) internal pure returns (bytes memory) {
        return bytes.concat(words, keccak256(bytes(value)));
    }
}

contract HashingTest is Base {
    using Words for bytes;

    string private constant OFFER =
        "Offer(address provider,bytes32 unitId,bytes32 gpuClass,uint16 gpuCount,address token,uint96 pricePerHour,uint8 kind,uint168 weeklyHours,uint32 minSeconds,uint32 maxSeconds,uint32 noticeSeconds,uint96 bond,uint40 validUntil,uint256 salt)";
    string private constant TERMS =
        "Terms(Offer offer,address renter,uint40 start,uint40 end,uint40 maxEnd,uint168 weeklyHours,uint16 feeBps,bytes32 policyHash,bytes32 firstOrder,bytes32 gangId,bytes32 previousLeaseId,uint256 salt)";
    string private constant ARTIFACT_REF =
        "ArtifactRef(bytes32 plaintextDigest,bytes32 ciphertextDigest,uint64 size,bytes[] wrappedKeys)";
    string private constant JOB_LIMITS =
        "JobLimits(uint32 wallSeconds,uint64 memoryBytes,uint32 processes,uint64 outputBytes,uint64 logBytes)";
    string private constant JOB_SPEC =
        "JobSpec(bytes32 bundleDigest,string entrypoint,string[] arguments,bytes32 dataRoot,bytes32 initialStateRoot,uint64 seed,uint64 steps,uint64 checkpointEvery,string precision,uint8 jobClass,bytes32 toleranceProfile,bytes32 environmentDigest)";
    string private constant JOB_ORDER =
        "JobOrder(bytes32 leaseId,bytes32 specDigest,ArtifactRef bundle,ArtifactRef data,JobLimits limits,uint64 nonce,uint40 deadline)";
    string private constant JOB_RECEIPT =
        "JobReceipt(bytes32 leaseId,bytes32 orderDigest,bytes32 specDigest,bytes32 unitId,uint32 attempt,bytes32 inputDigest,bytes32 outputDigest,bytes32 traceRoot,uint32 leafCount,bytes32 environmentDigest,uint8 outcome,int32 exitCode,uint64 gpuMilliseconds,uint64 energyJoules,uint40 startedAt,uint40 finishedAt)";
    string private constant HEARTBEAT =
        "Heartbeat(bytes32 leaseId,bytes32 unitId,uint64 blockNumber,bytes32 blockHash,uint40 blockTimestamp,bool atDisposal)";
    string private constant COMPLETION_PROOF =
        "CompletionProof(bytes32 leaseId,bytes32 previousProof,uint32 provenSeconds,uint32 jobsCompleted,uint32 leafCount,bytes32 jobsRoot,bytes32 availabilityRoot,uint64 energyJoules)";
    string private constant FAILOVER_POLICY =
        "FailoverPolicy(address delegate,uint96 maxPricePerHour,bytes32 gpuClass,uint96 minBond,bytes32 allowedProvidersRoot,uint32 allowedProvidersCount,uint8 maxHops,uint40 deadline)";
    string private constant ACCEPTANCE = "Acceptance(bytes32 leaseId,bytes32 proofHash)";
    string private constant ORDER_ACKNOWLEDGEMENT =
        "OrderAcknowledgement(bytes32 leaseId,bytes32 orderDigest,bool accepted)";
    string private constant YIELD = "Yield(bytes32 leaseId,uint40 since)";
    string private constant OUTAGE = "Outage(bytes32 leaseId,uint40 since)";
    string private constant LEASE_TRANSFER =
        "LeaseTransfer(bytes32 leaseId,address from,address to,uint96 price,uint96 deposit,uint40 end,uint32 settledSeconds,uint8 transfers,uint40 deadline)";
    string private constant RELAYED_CALL =
        "RelayedCall(address account,bytes data,uint256 nonce,uint40 deadline)";
    string private constant GPU_ATTESTATION =
        "GpuAttestation(bytes32 unitId,address provider,bytes32 nodeId,bytes32[] gpuIds,bytes32 gpuClass,uint32 vramMiB,uint64 measuredGops,uint64 seedBlock,bytes32 seedBlockHash,bytes32 reportDigest,uint40 expiresAt)";
    string private constant SIGNED_REQUEST =
        "SignedRequest(string method,string target,bytes32 bodyDigest,uint40 expiresAt,bytes32 nonce)";

    uint256 private seed;

    function test_WhenTypesAreWrittenOut() external pure {
        assertEq(Hashing.OFFER_TYPEHASH, _typeHash(OFFER));
        assertEq(Hashing.TERMS_TYPEHASH, _typeHash(string.concat(TERMS, OFFER)));
        assertEq(Hashing.ARTIFACT_REF_TYPEHASH, _typeHash(ARTIFACT_REF));
        assertEq(Hashing.JOB_LIMITS_TYPEHASH, _typeHash(JOB_LIMITS));
        assertEq(Hashing.JOB_SPEC_TYPEHASH, _typeHash(JOB_SPEC));
        assertEq(Hashing.JOB_ORDER_TYPEHASH, _typeHash(string.concat(JOB_ORDER, ARTIFACT_REF, JOB_LIMITS)));
        assertEq(Hashing.JOB_RECEIPT_TYPEHASH, _typeHash(JOB_RECEIPT));
        assertEq(Hashing.HEARTBEAT_TYPEHASH, _typeHash(HEARTBEAT));
        assertEq(Hashing.COMPLETION_PROOF_TYPEHASH, _typeHash(COMPLETION_PROOF));
        assertEq(Hashing.FAILOVER_POLICY_TYPEHASH, _typeHash(FAILOVER_POLICY));
        assertEq(Hashing.ACCEPTANCE_TYPEHASH, _typeHash(ACCEPTANCE));
        assertEq(Hashing.ORDER_ACKNOWLEDGEMENT_TYPEHASH, _typeHash(ORDER_ACKNOWLEDGEMENT));
        assertEq(Hashing.YIELD_TYPEHASH, _typeHash(YIELD));
        assertEq(Hashing.OUTAGE_TYPEHASH, _typeHash(OUTAGE));
        assertEq(Hashing.LEASE_TRANSFER_TYPEHASH, _typeHash(LEASE_TRANSFER));
        assertEq(Hashing.RELAYED_CALL_TYPEHASH, _typeHash(RELAYED_CALL));
        assertEq(Hashing.GPU_ATTESTATION_TYPEHASH, _typeHash(GPU_ATTESTATION));
        assertEq(Hashing.SIGNED_REQUEST_TYPEHASH, _typeHash(SIGNED_REQUEST));
    }

    function test_WhenDynamicMembersAreEmpty() external view {
        ArtifactRef memory artifact;
        bytes32 empty = keccak256("");
        bytes memory words = _start(ARTIFACT_REF).add(bytes32(0)).add(bytes32(0)).add(uint256(0)).add(empty);
        assertEq(digests.hashArtifactRef(artifact), keccak256(words));
        JobSpec memory spec;
        words = _start(JOB_SPEC).add(bytes32(0)).add(empty).add(empty).add(bytes32(0)).add(bytes32(0));
        words = words.add(uint256(0)).add(uint256(0)).add(uint256(0)).add(empty).add(uint256(0));
        assertEq(digests.hashJobSpec(spec), keccak256(words.add(bytes32(0)).add(bytes32(0))));
    }

    function testFuzz_OfferAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        Offer memory offer = _offer();
        assertEq(digests.hashOffer(offer), _hash(offer));
    }

    function testFuzz_TermsAgreeWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        Terms memory terms = _terms();
        assertEq(digests.hashTerms(terms), _hash(terms));
    }

    function testFuzz_LeaseIdIsTheDigestOfTheTerms(uint256 seed_) external {
        seed = seed_;
        Terms memory terms = _terms();
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("GPGPU"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        assertEq(market.domainSeparator(), domain);
        assertEq(market.leaseIdOf(terms), keccak256(bytes.concat(hex"1901", domain, _hash(terms))));
    }

    function testFuzz_ArtifactRefAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        ArtifactRef memory artifact = _artifact();
        assertEq(digests.hashArtifactRef(artifact), _hash(artifact));
    }

    function testFuzz_JobSpecAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        JobSpec memory spec = JobSpec({
            bundleDigest: _word(),
            entrypoint: _text(),
            arguments: new string[](_number(3)),
            dataRoot: _word(),
            initialStateRoot: _word(),
            seed: uint64(_number(64)),
            steps: uint64(_number(64)),
            checkpointEvery: uint64(_number(64)),
            precision: _text(),
            jobClass: JobClass(_number(256) % 3),
            toleranceProfile: _word(),
            environmentDigest: _word()
        });
        bytes memory arguments;
        for (uint256 i = 0; i < spec.arguments.length; ++i) {
            spec.arguments[i] = _text();
            arguments = arguments.add(spec.arguments[i]);
        }
        bytes memory words = _start(JOB_SPEC).add(spec.bundleDigest).add(spec.entrypoint)
            .add(keccak256(arguments)).add(spec.dataRoot).add(spec.initialStateRoot).add(spec.seed);
        words = words.add(spec.steps).add(spec.checkpointEvery).add(spec.precision)
            .add(uint256(spec.jobClass)).add(spec.toleranceProfile).add(spec.environmentDigest);
        assertEq(digests.hashJobSpec(spec), keccak256(words));
    }

    function testFuzz_JobOrderAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        JobLimits memory limits = JobLimits({
            wallSeconds: uint32(_number(32)),
            memoryBytes: uint64(_number(64)),
            processes: uint32(_number(32)),
            outputBytes: uint64(_number(64)),
            logBytes: uint64(_number(64))
        });
        JobOrder memory order = JobOrder({
            leaseId: _word(),
            specDigest: _word(),
            bundle: _artifact(),
            data: _artifact(),
            limits: limits,
            nonce: uint64(_number(64)),
            deadline: uint40(_number(40))
        });
        bytes memory words = _start(JOB_LIMITS).add(limits.wallSeconds).add(limits.memoryBytes)
            .add(limits.processes).add(limits.outputBytes).add(limits.logBytes);
        bytes32 limitsHash = keccak256(words);
        assertEq(digests.hashJobLimits(limits), limitsHash);
        words = _start(string.concat(JOB_ORDER, ARTIFACT_REF, JOB_LIMITS)).add(order.leaseId)
            .add(order.specDigest).add(_hash(order.bundle)).add(_hash(order.data)).add(limitsHash);
        assertEq(digests.hashJobOrder(order), keccak256(words.add(order.nonce).add(order.deadline)));
    }

    function testFuzz_JobReceiptAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        JobReceipt memory receipt = JobReceipt({
            leaseId: _word(),
            orderDigest: _word(),
            specDigest: _word(),
            unitId: _word(),
            attempt: uint32(_number(32)),
            inputDigest: _word(),
            outputDigest: _word(),
            traceRoot: _word(),
            leafCount: uint32(_number(32)),
            environmentDigest: _word(),
            outcome: JobOutcome(_number(256) % 5),
            exitCode: int32(uint32(_number(32))),
            gpuMilliseconds: uint64(_number(64)),
            energyJoules: uint64(_number(64)),
            startedAt: uint40(_number(40)),
            finishedAt: uint40(_number(40))
        });
        bytes memory words = _start(JOB_RECEIPT).add(receipt.leaseId).add(receipt.orderDigest)
            .add(receipt.specDigest).add(receipt.unitId).add(receipt.attempt).add(receipt.inputDigest);
        words = words.add(receipt.outputDigest).add(receipt.traceRoot).add(receipt.leafCount)
            .add(receipt.environmentDigest).add(uint256(receipt.outcome));
        // A negative number fills its word with ones.
        words = words.add(uint256(int256(receipt.exitCode))).add(receipt.gpuMilliseconds)
            .add(receipt.energyJoules).add(receipt.startedAt).add(receipt.finishedAt);
        assertEq(digests.hashJobReceipt(receipt), keccak256(words));
    }

    function testFuzz_HeartbeatAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        Heartbeat memory heartbeat = Heartbeat({
            leaseId: _word(),
            unitId: _word(),
            blockNumber: uint64(_number(64)),
            blockHash: _word(),
            blockTimestamp: uint40(_number(40)),
            atDisposal: _number(256) % 2 == 1
        });
        bytes memory words = _start(HEARTBEAT).add(heartbeat.leaseId).add(heartbeat.unitId)
            .add(heartbeat.blockNumber).add(heartbeat.blockHash).add(heartbeat.blockTimestamp);
        words = words.add(heartbeat.atDisposal ? uint256(1) : 0);
        assertEq(digests.hashHeartbeat(heartbeat), keccak256(words));
    }

    function testFuzz_CompletionProofAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        CompletionProof memory proof = CompletionProof({
            leaseId: _word(),
            previousProof: _word(),
            provenSeconds: uint32(_number(32)),
            jobsCompleted: uint32(_number(32)),
            leafCount: uint32(_number(32)),
            jobsRoot: _word(),
            availabilityRoot: _word(),
            energyJoules: uint64(_number(64))
        });
        bytes memory words = _start(COMPLETION_PROOF).add(proof.leaseId).add(proof.previousProof)
            .add(proof.provenSeconds).add(proof.jobsCompleted).add(proof.leafCount);
        words = words.add(proof.jobsRoot).add(proof.availabilityRoot).add(proof.energyJoules);
        assertEq(digests.hashCompletionProof(proof), keccak256(words));
    }

    function testFuzz_FailoverPolicyAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        FailoverPolicy memory policy = FailoverPolicy({
            delegate: _account(),
            maxPricePerHour: uint96(_number(96)),
            gpuClass: _word(),
            minBond: uint96(_number(96)),
            allowedProvidersRoot: _word(),
            allowedProvidersCount: uint32(_number(32)),
            maxHops: uint8(_number(8)),
            deadline: uint40(_number(40))
        });
        bytes memory words = _start(FAILOVER_POLICY).add(policy.delegate).add(policy.maxPricePerHour)
            .add(policy.gpuClass).add(policy.minBond).add(policy.allowedProvidersRoot);
        words = words.add(policy.allowedProvidersCount).add(policy.maxHops).add(policy.deadline);
        assertEq(digests.hashFailoverPolicy(policy), keccak256(words));
    }

    function testFuzz_AcceptanceAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        Acceptance memory acceptance = Acceptance({ leaseId: _word(), proofHash: _word() });
        bytes memory words = _start(ACCEPTANCE).add(acceptance.leaseId).add(acceptance.proofHash);
        assertEq(digests.hashAcceptance(acceptance), keccak256(words));
    }

    function testFuzz_OrderAcknowledgementAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        OrderAcknowledgement memory acknowledgement =
            OrderAcknowledgement({ leaseId: _word(), orderDigest: _word(), accepted: _number(256) % 2 == 1 });
        bytes memory words = _start(ORDER_ACKNOWLEDGEMENT).add(acknowledgement.leaseId)
            .add(acknowledgement.orderDigest).add(acknowledgement.accepted ? uint256(1) : 0);
        assertEq(digests.hashOrderAcknowledgement(acknowledgement), keccak256(words));
    }

    function testFuzz_YieldAndOutageAgreeWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        Yield memory yielded = Yield({ leaseId: _word(), since: uint40(_number(40)) });
        Outage memory outage = Outage({ leaseId: yielded.leaseId, since: yielded.since });
        bytes memory words = _start(YIELD).add(yielded.leaseId).add(yielded.since);
        assertEq(digests.hashYield(yielded), keccak256(words));
        words = _start(OUTAGE).add(outage.leaseId).add(outage.since);
        assertEq(digests.hashOutage(outage), keccak256(words));
    }

    function testFuzz_LeaseTransferAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        LeaseTransfer memory deal = LeaseTransfer({
            leaseId: _word(),
            from: _account(),
            to: _account(),
            price: uint96(_number(96)),
            deposit: uint96(_number(96)),
            end: uint40(_number(40)),
            settledSeconds: uint32(_number(32)),
            transfers: uint8(_number(8)),
            deadline: uint40(_number(40))
        });
        bytes memory words = _start(LEASE_TRANSFER).add(deal.leaseId).add(deal.from).add(deal.to);
        words = words.add(deal.price).add(deal.deposit).add(deal.end).add(deal.settledSeconds);
        words = words.add(deal.transfers).add(deal.deadline);
        assertEq(digests.hashLeaseTransfer(deal), keccak256(words));
    }

    function testFuzz_RelayedCallAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        RelayedCall memory call = RelayedCall({
            account: _account(), data: bytes(_text()), nonce: _number(256), deadline: uint40(_number(40))
        });
        bytes memory words = _start(RELAYED_CALL).add(call.account).add(keccak256(call.data));
        words = words.add(call.nonce).add(call.deadline);
        assertEq(digests.hashRelayedCall(call), keccak256(words));
    }

    function testFuzz_GpuAttestationAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        GpuAttestation memory attestation = GpuAttestation({
            unitId: _word(),
            provider: _account(),
            nodeId: _word(),
            gpuIds: new bytes32[](_number(256) % 4),
            gpuClass: _word(),
            vramMiB: uint32(_number(32)),
            measuredGops: uint64(_number(64)),
            seedBlock: uint64(_number(64)),
            seedBlockHash: _word(),
            reportDigest: _word(),
            expiresAt: uint40(_number(40))
        });
        bytes memory gpuIds;
        for (uint256 i = 0; i < attestation.gpuIds.length; ++i) {
            attestation.gpuIds[i] = _word();
            gpuIds = gpuIds.add(attestation.gpuIds[i]);
        }
        bytes memory words = _start(GPU_ATTESTATION).add(attestation.unitId).add(attestation.provider)
            .add(attestation.nodeId).add(keccak256(gpuIds)).add(attestation.gpuClass);
        words = words.add(attestation.vramMiB).add(attestation.measuredGops).add(attestation.seedBlock);
        words = words.add(attestation.seedBlockHash).add(attestation.reportDigest).add(attestation.expiresAt);
        assertEq(digests.hashGpuAttestation(attestation), keccak256(words));
    }

    function testFuzz_SignedRequestAgreesWithEncodingByHand(uint256 seed_) external {
        seed = seed_;
        SignedRequest memory request = SignedRequest({
            method: _text(),
            target: _text(),
            bodyDigest: _word(),
            expiresAt: uint40(_number(40)),
            nonce: _word()
        });
        bytes memory words = _start(SIGNED_REQUEST).add(request.method).add(request.target)
            .add(request.bodyDigest).add(request.expiresAt).add(request.nonce);
        assertEq(digests.hashSignedRequest(request), keccak256(words));
    }

    function _hash(Offer memory offer) private pure returns (bytes32) {
        bytes memory words = _start(OFFER).add(offer.provider).add(offer.unitId).add(offer.gpuClass);
        words = words.add(offer.gpuCount).add(offer.token).add(offer.pricePerHour);
        words = words.add(uint256(offer.kind)).add(offer.weeklyHours).add(offer.minSeconds);
        words = words.add(offer.maxSeconds).add(offer.noticeSeconds).add(offer.bond);
        return keccak256(words.add(offer.validUntil).add(offer.salt));
    }

    function _hash(Terms memory terms) private pure returns (bytes32) {
        bytes memory words = _start(string.concat(TERMS, OFFER)).add(_hash(terms.offer));
        words = words.add(terms.renter).add(terms.start).add(terms.end).add(terms.maxEnd);
        words = words.add(terms.weeklyHours).add(terms.feeBps).add(terms.policyHash);
        words = words.add(terms.firstOrder).add(terms.gangId).add(terms.previousLeaseId).add(terms.salt);
        return keccak256(words);
    }

    function _hash(ArtifactRef memory artifact) private pure returns (bytes32) {
        bytes memory keys;
        for (uint256 i = 0; i < artifact.wrappedKeys.length; ++i) {
            keys = keys.add(keccak256(artifact.wrappedKeys[i]));
        }
        bytes memory words = _start(ARTIFACT_REF).add(artifact.plaintextDigest).add(artifact.ciphertextDigest)
            .add(artifact.size).add(keccak256(keys));
        return keccak256(words);
    }

    function _offer() private returns (Offer memory) {
        return Offer({
            provider: _account(),
            unitId: _word(),
            gpuClass: _word(),
            gpuCount: uint16(_number(16)),
            token: _account(),
            pricePerHour: uint96(_number(96)),
            kind: OfferKind(_number(256) % 2),
            weeklyHours: uint168(_number(168)),
            minSeconds: uint32(_number(32)),
            maxSeconds: uint32(_number(32)),
            noticeSeconds: uint32(_number(32)),
            bond: uint96(_number(96)),
            validUntil: uint40(_number(40)),
            salt: _number(256)
        });
    }

    function _terms() private returns (Terms memory) {
        return Terms({
            offer: _offer(),
            renter: _account(),
            start: uint40(_number(40)),
            end: uint40(_number(40)),
            maxEnd: uint40(_number(40)),
            weeklyHours: uint168(_number(168)),
            feeBps: uint16(_number(16)),
            policyHash: _word(),
            firstOrder: _word(),
            gangId: _word(),
            previousLeaseId: _word(),
            salt: _number(256)
        });
    }

    function _artifact() private returns (ArtifactRef memory artifact) {
        artifact.plaintextDigest = _word();
        artifact.ciphertextDigest = _word();
        artifact.size = uint64(_number(64));
        artifact.wrappedKeys = new bytes[](_number(256) % 4);
        for (uint256 i = 0; i < artifact.wrappedKeys.length; ++i) {
            artifact.wrappedKeys[i] = bytes(_text());
        }
    }

    function _account() private returns (address) {
        return address(uint160(_number(160)));
    }

    function _word() private returns (bytes32) {
        return bytes32(_number(256));
    }

    function _text() private returns (string memory) {
        bytes memory text = new bytes(_number(256) % 70);
        uint256 noise = _number(256);
        for (uint256 i = 0; i < text.length; ++i) {
            text[i] = bytes1(uint8(32 + (noise >> (i % 32)) % 95));
        }
        return string(text);
    }

    /// Up to `bits` wide; every eighth is zero, every eighth is the greatest.
    function _number(uint256 bits) private returns (uint256) {
        seed = uint256(keccak256(abi.encode(seed)));
        uint256 greatest = bits == 256 ? type(uint256).max : (1 << bits) - 1;
        if (seed % 8 == 0) return 0;
        if (seed % 8 == 1) return greatest;
        return (seed >> 3) & greatest;
    }

    function _start(string memory typeString) private pure returns (bytes memory) {
        return bytes.concat(_typeHash(typeString));
    }

    function _typeHash(string memory typeString) private pure returns (bytes32) {
        return keccak256(bytes(typeString));
    }
}
