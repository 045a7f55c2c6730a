// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Sets of at most 64 members: bit i stands for member i
library MemberSet {
    function has(uint64 set, uint8 member) internal pure returns (bool) {
        return member < 64 && set & bit(member) != 0;
    }

    function bit(uint8 member) internal pure returns (uint64) {
        return uint64(1) << member;
    }

    function count(uint64 set) internal pure returns (uint256 members) {
        for (; set != 0; set &= set - 1) {
            ++members;
        }
    }

    /// @return members ascending
    function list(uint64 set) internal pure returns (uint8[] memory members) {
        members = new uint8[](count(set));
        for (uint256 i = 0; i < members.length; ++i) {
            // log2 of one of 64 bits fits
            members[i] = uint8(Math.log2(set & (~set + 1)));
            set &= set - 1;
        }
    }
}
