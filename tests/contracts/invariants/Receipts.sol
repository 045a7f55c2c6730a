// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ProvenReceipt } from "../../../contracts/interfaces/ICourtBook.sol";
import { MerkleTree } from "../../../contracts/libraries/MerkleTree.sol";
import { JobClass, JobOutcome, JobReceipt, JobSpec, TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { Shadows } from "./Shadows.sol";

/// @title The one job of each proof: its receipt and its trace of one leaf
/// @notice Both follow from the lease and the proof before. The trace of every fourth contradicts itself.
abstract contract Receipts is Shadows {
    bytes32 private immutable SPEC_DIGEST;

    constructor() {
        SPEC_DIGEST = DIGESTS.hashJobSpec(_spec());
    }

    function _spec() internal pure returns (JobSpec memory spec) {
        spec.bundleDigest = "bundle";
        spec.entrypoint = "job:Train";
        spec.steps = 1;
        spec.checkpointEvery = 1;
        spec.precision = "fp32";
        spec.jobClass = JobClass.TRACED;
    }

    function _isTraceSound(bytes32 previousProof) internal pure returns (bool) {
        return uint256(keccak256(abi.encode(previousProof))) % 4 != 0;
    }

    function _leafOf(bytes32 previousProof) internal view returns (TraceLeaf memory leaf) {
        leaf.jobSpecDigest = SPEC_DIGEST;
        leaf.index = _isTraceSound(previousProof) ? 0 : 1;
        leaf.stateRoot = previousProof;
    }

    function _receiptOf(bytes32 leaseId, bytes32 previousProof)
        internal
        view
        returns (JobReceipt memory receipt)
    {
        receipt.leaseId = leaseId;
        receipt.orderDigest = previousProof;
        receipt.specDigest = SPEC_DIGEST;
        receipt.traceRoot = _leafHash(_leafOf(previousProof));
        receipt.leafCount = 1;
        receipt.outcome = JobOutcome.COMPLETED;
    }

    function _provenReceiptOf(bytes32 leaseId, bytes32 previousProof)
        internal
        view
        returns (ProvenReceipt memory proven)
    {
        proven.receipt = _receiptOf(leaseId, previousProof);
    }

    /// Workers sign receipts in the market's domain.
    function _receiptDigestOf(bytes32 leaseId, bytes32 previousProof) internal view returns (bytes32) {
        bytes32 structHash = DIGESTS.hashJobReceipt(_receiptOf(leaseId, previousProof));
        return keccak256(abi.encodePacked(hex"1901", MARKET.domainSeparator(), structHash));
    }

    function _jobsRootOf(bytes32 leaseId, bytes32 previousProof) internal view returns (bytes32) {
        return MerkleTree.leafHash(abi.encodePacked(_receiptDigestOf(leaseId, previousProof)));
    }

    function _leafHash(TraceLeaf memory leaf) private pure returns (bytes32) {
        return MerkleTree.leafHash(
            abi.encodePacked(
                leaf.jobSpecDigest,
                leaf.index,
                leaf.step,
                leaf.stateRoot,
                leaf.batchRoot,
                leaf.metricsDigest,
                leaf.previous
            )
        );
    }
}
