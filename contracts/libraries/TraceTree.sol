// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";

import { TraceLeaf } from "./Types.sol";

/// @title Leaves of traces, and the shape of their trees
library TraceTree {
    /// @return as VERIFICATION.md lays a leaf out: prefix 0x00, numbers of 8 bytes, big endian
    function leafHash(TraceLeaf calldata leaf) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                bytes1(0x00),
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

    /// As MerkleTree.verify, of branches where they lie in calldata.
    function verify(bytes32 root, bytes32 leaf, uint256 index, uint256 count, bytes32[] calldata branch)
        internal
        pure
        returns (bool)
    {
        if (index >= count) return false;
        bytes32 node = leaf;
        uint256 used = 0;
        for (uint256 last = count - 1; last > 0; last /= 2) {
            if (index % 2 == 1 || index != last) {
                if (used == branch.length) return false;
                bytes32 sibling = branch[used++];
                node = index % 2 == 0
                    ? keccak256(abi.encodePacked(bytes1(0x01), node, sibling))
                    : keccak256(abi.encodePacked(bytes1(0x01), sibling, node));
            }
            index /= 2;
        }
        return used == branch.length && node == root;
    }

    /// @param count of leaves, at least two
    /// @return of them under the left child: pairing level by level with odd nodes promoted fills the left side, so it is
    /// the largest power of two below `count`
    function leftCount(uint256 count) internal pure returns (uint256) {
        return 2 ** Math.log2(count - 1);
    }
}
