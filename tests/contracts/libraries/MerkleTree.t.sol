// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { MerkleTree } from "../../../contracts/libraries/MerkleTree.sol";

contract MerkleTreeTest is Test {
    function test_WhenThereAreNoLeaves() external pure {
        assertEq(MerkleTree.root(new bytes32[](0)), bytes32(0));
        assertFalse(MerkleTree.verify(bytes32(0), bytes32(0), 0, 0, new bytes32[](0)));
    }

    function test_WhenThereIsOneLeaf() external pure {
        bytes32[] memory leaves = _leaves(1, 7);
        bytes32 leaf = leaves[0];
        assertEq(leaf, keccak256(abi.encodePacked(uint8(0), uint256(7), uint256(0))));
        assertEq(MerkleTree.root(leaves), leaf);
        assertTrue(MerkleTree.verify(leaf, leaf, 0, 1, new bytes32[](0)));
    }

    function test_WhenCountIsOdd() external pure {
        bytes32[] memory leaves = _leaves(3, 0);
        bytes32 left = keccak256(abi.encodePacked(uint8(1), leaves[0], leaves[1]));
        bytes32 root = keccak256(abi.encodePacked(uint8(1), left, leaves[2]));
        bytes32 last = leaves[2];
        assertEq(MerkleTree.root(leaves), root);
        bytes32[] memory branch = new bytes32[](1);
        branch[0] = left;
        assertTrue(MerkleTree.verify(root, last, 2, 3, branch));
        assertFalse(MerkleTree.verify(root, last, 3, 4, branch), "leaf 3 of 4 has two siblings");
    }

    function test_WhenANodeIsOfferedAsALeaf() external pure {
        bytes32[] memory leaves = _leaves(4, 0);
        bytes memory payload = bytes.concat(leaves[0], leaves[1]);
        bytes32 node = MerkleTree.nodeHash(leaves[0], leaves[1]);
        bytes32[] memory branch = new bytes32[](1);
        branch[0] = MerkleTree.nodeHash(leaves[2], leaves[3]);
        bytes32 root = MerkleTree.root(leaves);
        assertNotEq(MerkleTree.leafHash(payload), node);
        assertFalse(MerkleTree.verify(root, MerkleTree.leafHash(payload), 0, 2, branch));
        assertFalse(MerkleTree.verify(root, node, 0, 4, branch), "the true count asks for two siblings");
    }

    function test_WhenBranchIsTooShortOrTooLong() external pure {
        bytes32[] memory leaves = _leaves(5, 0);
        bytes32[] memory branch = _branch(leaves, 1);
        bytes32 leaf = leaves[1];
        bytes32 root = _root(leaves, 0, 5);
        assertTrue(MerkleTree.verify(root, leaf, 1, 5, branch));
        bytes32[] memory longer = new bytes32[](branch.length + 1);
        bytes32[] memory shorter = new bytes32[](branch.length - 1);
        for (uint256 i = 0; i < branch.length; ++i) {
            longer[i] = branch[i];
            if (i < shorter.length) shorter[i] = branch[i];
        }
        assertFalse(MerkleTree.verify(root, leaf, 1, 5, longer));
        assertFalse(MerkleTree.verify(root, leaf, 1, 5, shorter));
    }

    function test_WhenIndexIsNotBelowCount() external pure {
        bytes32[] memory leaves = _leaves(4, 0);
        bytes32[] memory branch = _branch(leaves, 0);
        bytes32 leaf = leaves[0];
        bytes32 root = _root(leaves, 0, 4);
        assertTrue(MerkleTree.verify(root, leaf, 0, 4, branch));
        assertFalse(MerkleTree.verify(root, leaf, 4, 4, branch));
    }

    function test_WhenLeavesChangePlaces() external pure {
        bytes32[] memory leaves = _leaves(2, 0);
        bytes32[] memory swapped = new bytes32[](2);
        (swapped[0], swapped[1]) = (leaves[1], leaves[0]);
        assertNotEq(MerkleTree.root(leaves), MerkleTree.root(swapped));
    }

    function testFuzz_RootAgreesWithRecursion(uint8 count, uint256 seed) external pure {
        bytes32[] memory leaves = _leaves(count, seed);
        bytes32 expected = _root(leaves, 0, count);
        assertEq(MerkleTree.root(leaves), expected);
    }

    function testFuzz_EveryBranchVerifies(uint8 count, uint256 seed) external pure {
        uint256 size = bound(count, 1, 48);
        bytes32[] memory leaves = _leaves(size, seed);
        bytes32 root = _root(leaves, 0, size);
        for (uint256 i = 0; i < size; ++i) {
            assertTrue(MerkleTree.verify(root, leaves[i], i, size, _branch(leaves, i)));
        }
    }

    function testFuzz_ForgedBranchesAreRejected(
        uint8 count,
        uint8 place,
        uint8 otherIndex,
        uint8 height,
        bytes32 noise
    ) external pure {
        uint256 size = bound(count, 2, 64);
        uint256 index = bound(place, 0, size - 1);
        bytes32[] memory leaves = _leaves(size, 1);
        bytes32 root = _root(leaves, 0, size);
        bytes32[] memory branch = _branch(leaves, index);
        bytes32 leaf = leaves[index];

        if (noise != leaf) assertFalse(MerkleTree.verify(root, noise, index, size, branch), "another leaf");
        uint256 wrong = bound(otherIndex, 0, size - 1);
        if (wrong != index) assertFalse(MerkleTree.verify(root, leaf, wrong, size, branch), "another place");
        uint256 level = bound(height, 0, branch.length - 1);
        if (noise != branch[level]) {
            branch[level] = noise;
            assertFalse(MerkleTree.verify(root, leaf, index, size, branch), "another sibling");
        }
    }

    function _leaves(uint256 count, uint256 seed) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = MerkleTree.leafHash(abi.encode(seed, i));
        }
    }

    /// A subtree's left half is the largest power of two below its size: that is what promotion amounts to.
    function _root(bytes32[] memory leaves, uint256 from, uint256 count) private pure returns (bytes32) {
        if (count == 0) return bytes32(0);
        if (count == 1) return leaves[from];
        uint256 left = _leftSize(count);
        return keccak256(
            abi.encodePacked(uint8(1), _root(leaves, from, left), _root(leaves, from + left, count - left))
        );
    }

    function _branch(bytes32[] memory leaves, uint256 index) private pure returns (bytes32[] memory branch) {
        bytes32[] memory fromTheTop = new bytes32[](64);
        uint256 depth = 0;
        uint256 from = 0;
        uint256 count = leaves.length;
        while (count > 1) {
            uint256 left = _leftSize(count);
            if (index - from < left) {
                fromTheTop[depth++] = _root(leaves, from + left, count - left);
                count = left;
            } else {
                fromTheTop[depth++] = _root(leaves, from, left);
                from += left;
                count -= left;
            }
        }
        branch = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            branch[i] = fromTheTop[depth - 1 - i];
        }
    }

    function _leftSize(uint256 count) private pure returns (uint256 left) {
        left = 1;
        while (left * 2 < count) left *= 2;
    }
}
