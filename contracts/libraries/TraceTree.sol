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

    /// @param count of leaves, at least two
    /// @return of them under the left child: pairing level by level with odd nodes promoted fills the left side, so it is
    /// the largest power of two below `count`
    function leftCount(uint256 count) internal pure returns (uint256) {
        return 1 << Math.log2(count - 1);
    }
}
