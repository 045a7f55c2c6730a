// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Positional Merkle trees over keccak-256
/// @notice Leaves are prefixed 0x00 and nodes 0x01, leaf 0 comes first, an odd node is promoted unchanged to the next
/// level, the root of no leaves is zero. Position counts: nothing is sorted.
library MerkleTree {
    function leafHash(bytes memory payload) internal pure returns (bytes32) {
        return keccak256(bytes.concat(bytes1(0x00), payload));
    }

    function nodeHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(bytes.concat(bytes1(0x01), left, right));
    }

    /// @param leaves already hashed; overwritten
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        uint256 count = leaves.length;
        if (count == 0) return bytes32(0);
        while (count > 1) {
            uint256 pairs = count / 2;
            for (uint256 i = 0; i < pairs; ++i) {
                leaves[i] = nodeHash(leaves[2 * i], leaves[2 * i + 1]);
            }
            if (count % 2 == 1) leaves[pairs] = leaves[count - 1];
            count = pairs + count % 2;
        }
        return leaves[0];
    }

    /// @param leaf already hashed
    /// @param branch siblings from the leaf up; levels on which the node was promoted have none
    /// @return whether `leaf` is leaf `index` of the tree of `count` leaves under `expectedRoot`
    function verify(bytes32 expectedRoot, bytes32 leaf, uint256 index, uint256 count, bytes32[] memory branch)
        internal
        pure
        returns (bool)
    {
        if (index >= count) return false;
        bytes32 node = leaf;
        uint256 used = 0;
        while (count > 1) {
            bool promoted = index == count - 1 && count % 2 == 1;
            if (!promoted) {
                if (used == branch.length) return false;
                bytes32 sibling = branch[used++];
                node = index % 2 == 0 ? nodeHash(node, sibling) : nodeHash(sibling, node);
            }
            index /= 2;
            count = count / 2 + count % 2;
        }
        return used == branch.length && node == expectedRoot;
    }
}
