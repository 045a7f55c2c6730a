// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Hashing } from "./libraries/Hashing.sol";
import { MerkleTree } from "./libraries/MerkleTree.sol";
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
} from "./libraries/Types.sol";

/// @title The protocol's digests, for anyone to call
/// @notice Stateless. hashStruct of every struct, and the Merkle trees; its ABI is where off-chain types come from.
contract Digests {
    function hashOffer(Offer calldata offer) external pure returns (bytes32) {
        return Hashing.hash(offer);
    }

    function hashTerms(Terms calldata terms) external pure returns (bytes32) {
        return Hashing.hash(terms, Hashing.hash(terms.offer));
    }

    function hashArtifactRef(ArtifactRef calldata artifact) external pure returns (bytes32) {
        return Hashing.hash(artifact);
    }

    function hashJobSpec(JobSpec calldata spec) external pure returns (bytes32) {
        return Hashing.hash(spec);
    }

    function hashJobLimits(JobLimits calldata limits) external pure returns (bytes32) {
        return Hashing.hash(limits);
    }

    function hashJobOrder(JobOrder calldata order) external pure returns (bytes32) {
        return Hashing.hash(order);
    }

    function hashJobReceipt(JobReceipt calldata receipt) external pure returns (bytes32) {
        return Hashing.hash(receipt);
    }

    function hashHeartbeat(Heartbeat calldata heartbeat) external pure returns (bytes32) {
        return Hashing.hash(heartbeat);
    }

    function hashCompletionProof(CompletionProof calldata proof) external pure returns (bytes32) {
        return Hashing.hash(proof);
    }

    function hashFailoverPolicy(FailoverPolicy calldata policy) external pure returns (bytes32) {
        return Hashing.hash(policy);
    }

    function hashAcceptance(Acceptance calldata acceptance) external pure returns (bytes32) {
        return Hashing.hash(acceptance);
    }

    function hashGpuAttestation(GpuAttestation calldata attestation) external pure returns (bytes32) {
        return Hashing.hash(attestation);
    }

    function hashLeaseTransfer(LeaseTransfer calldata transfer) external pure returns (bytes32) {
        return Hashing.hash(transfer);
    }

    function hashOrderAcknowledgement(OrderAcknowledgement calldata acknowledgement)
        external
        pure
        returns (bytes32)
    {
        return Hashing.hash(acknowledgement);
    }

    function hashOutage(Outage calldata outage) external pure returns (bytes32) {
        return Hashing.hash(outage);
    }

    function hashRelayedCall(RelayedCall calldata call) external pure returns (bytes32) {
        return Hashing.hash(call);
    }

    function hashYield(Yield calldata yielded) external pure returns (bytes32) {
        return Hashing.hash(yielded);
    }

    function hashSignedRequest(SignedRequest calldata request) external pure returns (bytes32) {
        return Hashing.hash(request);
    }

    function merkleRoot(bytes32[] memory leaves) external pure returns (bytes32) {
        return MerkleTree.root(leaves);
    }

    function merkleVerify(bytes32 root, bytes32 leaf, uint256 index, uint256 count, bytes32[] memory branch)
        external
        pure
        returns (bool)
    {
        return MerkleTree.verify(root, leaf, index, count, branch);
    }
}
