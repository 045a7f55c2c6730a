// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ICourtBook, Ruling } from "../interfaces/ICourtBook.sol";
import { MemberSet } from "./MemberSet.sol";

/// @title What the revealed ballots of a committee say together
/// @dev Ballots are given with their members, in the same order. Nine arbiters at most: squares are small.
library Verdicts {
    using MemberSet for uint8;
    using MemberSet for uint64;

    /// @return those who ruled so
    function ruled(uint8[] memory members, ICourtBook.Ballot[] memory ballots, Ruling ruling)
        internal
        pure
        returns (uint64 those)
    {
        for (uint256 i = 0; i < members.length; ++i) {
            if (ballots[i].ruling == ruling) those |= members[i].bit();
        }
    }

    /// @return those who refuted with one and the same state, if more than half of all; one outlier cannot undo them
    function sameState(uint8[] memory members, ICourtBook.Ballot[] memory ballots)
        internal
        pure
        returns (uint64)
    {
        for (uint256 i = 0; i < members.length; ++i) {
            if (ballots[i].ruling != Ruling.REFUTED) continue;
            uint64 those = 0;
            for (uint256 j = 0; j < members.length; ++j) {
                if (ballots[j].ruling != Ruling.REFUTED) continue;
                if (ballots[j].stateTag == ballots[i].stateTag) those |= members[j].bit();
            }
            if (isMajority(those, members.length)) return those;
        }
        return 0;
    }

    /// @return those who refuted with errors that lie within `maxSpread` of each other, if more than half of all
    function closeErrors(uint8[] memory members, ICourtBook.Ballot[] memory ballots, uint64 maxSpread)
        internal
        pure
        returns (uint64)
    {
        for (uint256 i = 0; i < members.length; ++i) {
            if (ballots[i].ruling != Ruling.REFUTED) continue;
            uint64 those = 0;
            for (uint256 j = 0; j < members.length; ++j) {
                if (ballots[j].ruling != Ruling.REFUTED || ballots[j].errorPpb < ballots[i].errorPpb) {
                    continue;
                }
                if (ballots[j].errorPpb - ballots[i].errorPpb <= maxSpread) those |= members[j].bit();
            }
            if (isMajority(those, members.length)) return those;
        }
        return 0;
    }

    /// @return the middle of the seconds of those who ruled other than INCONCLUSIVE; of two the greater
    function medianSeconds(ICourtBook.Ballot[] memory ballots) internal pure returns (uint32) {
        uint32[] memory ascending = new uint32[](ballots.length);
        uint256 found = 0;
        for (uint256 i = 0; i < ballots.length; ++i) {
            if (ballots[i].ruling == Ruling.INCONCLUSIVE) continue;
            uint32 provenSeconds = ballots[i].provenSeconds;
            uint256 j = found++;
            for (; j > 0 && ascending[j - 1] > provenSeconds; --j) {
                ascending[j] = ascending[j - 1];
            }
            ascending[j] = provenSeconds;
        }
        return ascending[found / 2];
    }

    /// @return those who found seconds at most `tolerance` away from `provenSeconds`
    function nearSeconds(
        uint8[] memory members,
        ICourtBook.Ballot[] memory ballots,
        uint32 provenSeconds,
        uint256 tolerance
    ) internal pure returns (uint64 those) {
        for (uint256 i = 0; i < members.length; ++i) {
            if (ballots[i].ruling == Ruling.INCONCLUSIVE) continue;
            uint32 actual = ballots[i].provenSeconds;
            uint256 distance = actual > provenSeconds ? actual - provenSeconds : provenSeconds - actual;
            if (distance <= tolerance) those |= members[i].bit();
        }
    }

    function isMajority(uint64 those, uint256 all) internal pure returns (bool) {
        return 2 * those.count() > all;
    }
}
