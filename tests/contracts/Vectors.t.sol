// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { Digests } from "../../contracts/Digests.sol";
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
} from "../../contracts/libraries/Types.sol";
import { WeeklyHours } from "../../contracts/libraries/WeeklyHours.sol";

/// @notice The golden vectors of tests/vectors, which the Python tests read too.
contract VectorsTest is Test {
    Digests private digests = new Digests();

    function test_TypedData_GoldenValues_HashAsFrozen() external view {
        string memory json = vm.readFile("tests/vectors/typed_data.json");
        string[] memory names = vm.parseJsonStringArray(json, ".structs");
        assertEq(names.length, 18);
        for (uint256 i = 0; i < names.length; ++i) {
            string memory path = string.concat(".", names[i]);
            bytes[] memory encoded = vm.parseJsonBytesArray(json, string.concat(path, ".encoded"));
            bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(path, ".hashes"));
            assertGt(encoded.length, 0);
            for (uint256 j = 0; j < encoded.length; ++j) {
                assertEq(_hash(names[i], encoded[j]), hashes[j], names[i]);
            }
        }
    }

    function test_Merkle_GoldenTrees_HaveFrozenRootsAndBranches() external view {
        string memory json = vm.readFile("tests/vectors/merkle.json");
        uint256 count = vm.parseJsonUint(json, ".count");
        assertGt(count, 0);
        for (uint256 i = 0; i < count; ++i) {
            string memory path = string.concat(".trees[", vm.toString(i), "]");
            bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(path, ".leaves"));
            bytes32[] memory branch = vm.parseJsonBytes32Array(json, string.concat(path, ".branch"));
            bytes32 root = vm.parseJsonBytes32(json, string.concat(path, ".root"));
            uint256 index = vm.parseJsonUint(json, string.concat(path, ".index"));
            assertEq(digests.merkleRoot(leaves), root);
            if (leaves.length == 0) continue;
            assertTrue(digests.merkleVerify(root, leaves[index], index, leaves.length, branch));
            assertFalse(digests.merkleVerify(root, ~leaves[index], index, leaves.length, branch));
        }
    }

    function test_Accrual_GoldenIntervals_HaveFrozenSeconds() external view {
        string memory json = vm.readFile("tests/vectors/accrual.json");
        uint256[] memory masks = vm.parseJsonUintArray(json, ".masks");
        uint256[] memory starts = vm.parseJsonUintArray(json, ".starts");
        uint256[] memory ends = vm.parseJsonUintArray(json, ".ends");
        uint256[] memory secondsScheduled = vm.parseJsonUintArray(json, ".seconds");
        assertGt(masks.length, 0);
        for (uint256 i = 0; i < masks.length; ++i) {
            // Golden masks have 168 bits.
            // forge-lint: disable-next-line(unsafe-typecast)
            assertEq(WeeklyHours.scheduled(uint168(masks[i]), starts[i], ends[i]), secondsScheduled[i]);
        }
    }

    function test_Trace_GoldenLeaves_HaveFrozenHashesAndRoot() external view {
        string memory json = vm.readFile("tests/vectors/trace.json");
        bytes32[] memory hashes = vm.parseJsonBytes32Array(json, ".hashes");
        for (uint256 i = 0; i < hashes.length; ++i) {
            string memory path = string.concat(".leaves[", vm.toString(i), "]");
            bytes memory leaf = abi.encodePacked(
                bytes1(0x00),
                vm.parseJsonBytes32(json, string.concat(path, ".job_spec_digest")),
                uint64(vm.parseJsonUint(json, string.concat(path, ".index"))),
                uint64(vm.parseJsonUint(json, string.concat(path, ".step"))),
                vm.parseJsonBytes32(json, string.concat(path, ".state_root")),
                vm.parseJsonBytes32(json, string.concat(path, ".batch_root")),
                vm.parseJsonBytes32(json, string.concat(path, ".metrics_digest")),
                vm.parseJsonBytes32(json, string.concat(path, ".previous"))
            );
            assertEq(keccak256(leaf), hashes[i]);
        }
        assertEq(digests.merkleRoot(hashes), vm.parseJsonBytes32(json, ".root"));
    }

    function _hash(string memory name, bytes memory encoded) private view returns (bytes32) {
        bytes32 id = keccak256(bytes(name));
        if (id == keccak256("Offer")) return digests.hashOffer(abi.decode(encoded, (Offer)));
        if (id == keccak256("Terms")) return digests.hashTerms(abi.decode(encoded, (Terms)));
        if (id == keccak256("ArtifactRef")) {
            return digests.hashArtifactRef(abi.decode(encoded, (ArtifactRef)));
        }
        if (id == keccak256("JobSpec")) return digests.hashJobSpec(abi.decode(encoded, (JobSpec)));
        if (id == keccak256("JobLimits")) return digests.hashJobLimits(abi.decode(encoded, (JobLimits)));
        if (id == keccak256("JobOrder")) return digests.hashJobOrder(abi.decode(encoded, (JobOrder)));
        return _hashOther(id, encoded);
    }

    function _hashOther(bytes32 id, bytes memory encoded) private view returns (bytes32) {
        if (id == keccak256("JobReceipt")) return digests.hashJobReceipt(abi.decode(encoded, (JobReceipt)));
        if (id == keccak256("Heartbeat")) return digests.hashHeartbeat(abi.decode(encoded, (Heartbeat)));
        if (id == keccak256("CompletionProof")) {
            return digests.hashCompletionProof(abi.decode(encoded, (CompletionProof)));
        }
        if (id == keccak256("FailoverPolicy")) {
            return digests.hashFailoverPolicy(abi.decode(encoded, (FailoverPolicy)));
        }
        if (id == keccak256("SignedRequest")) {
            return digests.hashSignedRequest(abi.decode(encoded, (SignedRequest)));
        }
        return _hashOfLease(id, encoded);
    }

    /// What changes a lease, or says what became of its GPUs.
    function _hashOfLease(bytes32 id, bytes memory encoded) private view returns (bytes32) {
        if (id == keccak256("Acceptance")) return digests.hashAcceptance(abi.decode(encoded, (Acceptance)));
        if (id == keccak256("OrderAcknowledgement")) {
            return digests.hashOrderAcknowledgement(abi.decode(encoded, (OrderAcknowledgement)));
        }
        if (id == keccak256("Yield")) return digests.hashYield(abi.decode(encoded, (Yield)));
        if (id == keccak256("Outage")) return digests.hashOutage(abi.decode(encoded, (Outage)));
        if (id == keccak256("LeaseTransfer")) {
            return digests.hashLeaseTransfer(abi.decode(encoded, (LeaseTransfer)));
        }
        if (id == keccak256("RelayedCall")) {
            return digests.hashRelayedCall(abi.decode(encoded, (RelayedCall)));
        }
        assertEq(id, keccak256("GpuAttestation"));
        return digests.hashGpuAttestation(abi.decode(encoded, (GpuAttestation)));
    }
}
