// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    ArtifactRef,
    CompletionProof,
    FailoverPolicy,
    GpuAttestation,
    Heartbeat,
    JobLimits,
    JobOrder,
    JobReceipt,
    JobSpec,
    LeaseTransfer,
    Offer,
    OrderAcknowledgement,
    Outage,
    RelayedCall,
    SignedRequest,
    Terms,
    Yield
} from "./Types.sol";

/// @title EIP-712 hashStruct of every struct of the protocol
/// @dev abi.encode of a struct of value types lays its fields out just as EIP-712's encodeData does.
library Hashing {
    bytes private constant OFFER_TYPE =
        "Offer(address provider,bytes32 unitId,bytes32 gpuClass,uint16 gpuCount,address token,uint96 pricePerHour,uint8 kind,uint168 weeklyHours,uint32 minSeconds,uint32 maxSeconds,uint32 noticeSeconds,uint96 bond,uint40 validUntil,uint256 salt)";
    bytes private constant ARTIFACT_REF_TYPE =
        "ArtifactRef(bytes32 plaintextDigest,bytes32 ciphertextDigest,uint64 size,bytes[] wrappedKeys)";
    bytes private constant JOB_LIMITS_TYPE =
        "JobLimits(uint32 wallSeconds,uint64 memoryBytes,uint32 processes,uint64 outputBytes,uint64 logBytes)";

    bytes32 internal constant OFFER_TYPEHASH = keccak256(OFFER_TYPE);
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        bytes.concat(
            "Terms(Offer offer,address renter,uint40 start,uint40 end,uint40 maxEnd,uint168 weeklyHours,uint16 feeBps,bytes32 policyHash,bytes32 firstOrder,bytes32 gangId,bytes32 previousLeaseId,uint256 salt)",
            OFFER_TYPE
        )
    );
    bytes32 internal constant ARTIFACT_REF_TYPEHASH = keccak256(ARTIFACT_REF_TYPE);
    bytes32 internal constant JOB_LIMITS_TYPEHASH = keccak256(JOB_LIMITS_TYPE);
    bytes32 internal constant JOB_SPEC_TYPEHASH = keccak256(
        "JobSpec(bytes32 bundleDigest,string entrypoint,string[] arguments,bytes32 dataRoot,bytes32 initialStateRoot,uint64 seed,uint64 steps,uint64 checkpointEvery,string precision,uint8 jobClass,bytes32 toleranceProfile,bytes32 environmentDigest)"
    );
    bytes32 internal constant JOB_ORDER_TYPEHASH = keccak256(
        bytes.concat(
            "JobOrder(bytes32 leaseId,bytes32 specDigest,ArtifactRef bundle,ArtifactRef data,JobLimits limits,uint64 nonce,uint40 deadline)",
            ARTIFACT_REF_TYPE,
            JOB_LIMITS_TYPE
        )
    );
    bytes32 internal constant JOB_RECEIPT_TYPEHASH = keccak256(
        "JobReceipt(bytes32 leaseId,bytes32 orderDigest,bytes32 specDigest,bytes32 unitId,uint32 attempt,bytes32 inputDigest,bytes32 outputDigest,bytes32 traceRoot,uint32 leafCount,bytes32 environmentDigest,uint8 outcome,int32 exitCode,uint64 gpuMilliseconds,uint64 energyJoules,uint40 startedAt,uint40 finishedAt)"
    );
    bytes32 internal constant HEARTBEAT_TYPEHASH = keccak256(
        "Heartbeat(bytes32 leaseId,bytes32 unitId,uint64 blockNumber,bytes32 blockHash,uint40 blockTimestamp,bool atDisposal)"
    );
    bytes32 internal constant COMPLETION_PROOF_TYPEHASH = keccak256(
        "CompletionProof(bytes32 leaseId,bytes32 previousProof,uint32 provenSeconds,uint32 jobsCompleted,uint32 leafCount,bytes32 jobsRoot,bytes32 availabilityRoot,uint64 energyJoules)"
    );
    bytes32 internal constant FAILOVER_POLICY_TYPEHASH = keccak256(
        "FailoverPolicy(address delegate,uint96 maxPricePerHour,bytes32 gpuClass,uint96 minBond,bytes32 allowedProvidersRoot,uint32 allowedProvidersCount,uint8 maxHops,uint40 deadline)"
    );
    bytes32 internal constant ACCEPTANCE_TYPEHASH =
        keccak256("Acceptance(bytes32 leaseId,bytes32 proofHash)");
    bytes32 internal constant ORDER_ACKNOWLEDGEMENT_TYPEHASH =
        keccak256("OrderAcknowledgement(bytes32 leaseId,bytes32 orderDigest,bool accepted)");
    bytes32 internal constant YIELD_TYPEHASH = keccak256("Yield(bytes32 leaseId,uint40 since)");
    bytes32 internal constant OUTAGE_TYPEHASH = keccak256("Outage(bytes32 leaseId,uint40 since)");
    bytes32 internal constant LEASE_TRANSFER_TYPEHASH = keccak256(
        "LeaseTransfer(bytes32 leaseId,address from,address to,uint96 price,uint96 deposit,uint40 end,uint32 settledSeconds,uint8 transfers,uint40 deadline)"
    );
    bytes32 internal constant RELAYED_CALL_TYPEHASH =
        keccak256("RelayedCall(address account,bytes data,uint256 nonce,uint40 deadline)");
    bytes32 internal constant GPU_ATTESTATION_TYPEHASH = keccak256(
        "GpuAttestation(bytes32 unitId,address provider,bytes32 nodeId,bytes32[] gpuIds,bytes32 gpuClass,uint32 vramMiB,uint64 measuredGops,uint64 seedBlock,bytes32 seedBlockHash,bytes32 reportDigest,uint40 expiresAt)"
    );
    bytes32 internal constant SIGNED_REQUEST_TYPEHASH = keccak256(
        "SignedRequest(string method,string target,bytes32 bodyDigest,uint40 expiresAt,bytes32 nonce)"
    );

    /// @dev Every call on a lease hashes its terms and offer, so their words are copied as they lie in calldata, for
    /// 3,000 gas less than encoding them anew. Words with bits beyond their types hash to what cannot be listed or
    /// opened: the events encode, and so check, them all.
    function hash(Offer calldata offer) internal pure returns (bytes32 digest) {
        bytes32 typeHash = OFFER_TYPEHASH;
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typeHash)
            calldatacopy(add(words, 0x20), offer, 0x1c0) // 14 words
            digest := keccak256(words, 0x1e0)
        }
    }

    /// @param offerHash of `terms.offer`, which callers need too
    function hash(Terms calldata terms, bytes32 offerHash) internal pure returns (bytes32 digest) {
        bytes32 typeHash = TERMS_TYPEHASH;
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typeHash)
            mstore(add(words, 0x20), offerHash)
            calldatacopy(add(words, 0x40), add(terms, 0x1c0), 0x160) // 11 words after the offer's 14
            digest := keccak256(words, 0x1a0)
        }
    }

    function hash(CompletionProof memory proof) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMPLETION_PROOF_TYPEHASH, proof));
    }

    function hash(JobReceipt calldata receipt) internal pure returns (bytes32) {
        return keccak256(abi.encode(JOB_RECEIPT_TYPEHASH, receipt));
    }

    function hash(Heartbeat calldata heartbeat) internal pure returns (bytes32) {
        return keccak256(abi.encode(HEARTBEAT_TYPEHASH, heartbeat));
    }

    function hash(FailoverPolicy calldata policy) internal pure returns (bytes32) {
        return keccak256(abi.encode(FAILOVER_POLICY_TYPEHASH, policy));
    }

    function hash(Acceptance memory acceptance) internal pure returns (bytes32) {
        return keccak256(abi.encode(ACCEPTANCE_TYPEHASH, acceptance));
    }

    function hash(OrderAcknowledgement memory acknowledgement) internal pure returns (bytes32) {
        return keccak256(abi.encode(ORDER_ACKNOWLEDGEMENT_TYPEHASH, acknowledgement));
    }

    function hash(Yield memory yielded) internal pure returns (bytes32) {
        return keccak256(abi.encode(YIELD_TYPEHASH, yielded));
    }

    function hash(Outage memory outage) internal pure returns (bytes32) {
        return keccak256(abi.encode(OUTAGE_TYPEHASH, outage));
    }

    function hash(LeaseTransfer calldata transfer) internal pure returns (bytes32) {
        return keccak256(abi.encode(LEASE_TRANSFER_TYPEHASH, transfer));
    }

    function hash(RelayedCall calldata call) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(RELAYED_CALL_TYPEHASH, call.account, keccak256(call.data), call.nonce, call.deadline)
        );
    }

    function hash(GpuAttestation calldata attestation) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encode(
                    GPU_ATTESTATION_TYPEHASH,
                    attestation.unitId,
                    attestation.provider,
                    attestation.nodeId,
                    keccak256(abi.encodePacked(attestation.gpuIds)),
                    attestation.gpuClass
                ),
                abi.encode(
                    attestation.vramMiB,
                    attestation.measuredGops,
                    attestation.seedBlock,
                    attestation.seedBlockHash,
                    attestation.reportDigest,
                    attestation.expiresAt
                )
            )
        );
    }

    function hash(JobLimits calldata limits) internal pure returns (bytes32) {
        return keccak256(abi.encode(JOB_LIMITS_TYPEHASH, limits));
    }

    function hash(ArtifactRef calldata artifact) internal pure returns (bytes32) {
        bytes32[] memory keys = new bytes32[](artifact.wrappedKeys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            keys[i] = keccak256(artifact.wrappedKeys[i]);
        }
        return keccak256(
            abi.encode(
                ARTIFACT_REF_TYPEHASH,
                artifact.plaintextDigest,
                artifact.ciphertextDigest,
                artifact.size,
                keccak256(abi.encodePacked(keys))
            )
        );
    }

    function hash(JobOrder calldata order) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                JOB_ORDER_TYPEHASH,
                order.leaseId,
                order.specDigest,
                hash(order.bundle),
                hash(order.data),
                hash(order.limits),
                order.nonce,
                order.deadline
            )
        );
    }

    function hash(JobSpec calldata spec) internal pure returns (bytes32) {
        bytes32[] memory arguments = new bytes32[](spec.arguments.length);
        for (uint256 i = 0; i < arguments.length; ++i) {
            arguments[i] = keccak256(bytes(spec.arguments[i]));
        }
        return keccak256(
            bytes.concat(
                abi.encode(
                    JOB_SPEC_TYPEHASH,
                    spec.bundleDigest,
                    keccak256(bytes(spec.entrypoint)),
                    keccak256(abi.encodePacked(arguments)),
                    spec.dataRoot,
                    spec.initialStateRoot,
                    spec.seed
                ),
                abi.encode(
                    spec.steps,
                    spec.checkpointEvery,
                    keccak256(bytes(spec.precision)),
                    spec.jobClass,
                    spec.toleranceProfile,
                    spec.environmentDigest
                )
            )
        );
    }

    function hash(SignedRequest calldata request) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                SIGNED_REQUEST_TYPEHASH,
                keccak256(bytes(request.method)),
                keccak256(bytes(request.target)),
                request.bodyDigest,
                request.expiresAt,
                request.nonce
            )
        );
    }
}
