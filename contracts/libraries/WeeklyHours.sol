// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Seconds that a weekly mask of hours schedules between two instants, in constant time
/// @notice Bit h of a mask is hour h of the week in UTC, bit 0 is Monday 00:00.
library WeeklyHours {
    uint168 internal constant ALWAYS = type(uint168).max;
    uint256 private constant WEEK = 7 days;
    /// 1970-01-01 was a Thursday: three days after its week's Monday.
    uint256 private constant EPOCH_OFFSET = 3 days;

    /// @return seconds of `mask` in [from, to); zero where `to` is not after `from`
    function scheduled(uint168 mask, uint256 from, uint256 to) internal pure returns (uint256) {
        if (to <= from) return 0;
        if (mask == ALWAYS) return to - from;
        return sinceEpoch(mask, to) - sinceEpoch(mask, from);
    }

    /// Scheduled seconds from the Monday before the epoch to `instant`.
    function sinceEpoch(uint168 mask, uint256 instant) internal pure returns (uint256) {
        uint256 shifted = instant + EPOCH_OFFSET;
        uint256 inWeek = shifted % WEEK;
        return sinceMonday(mask, shifted / WEEK, inWeek / 1 hours, inWeek % 1 hours);
    }

    /// Scheduled seconds from a Monday to `second` of `hour` of the week that comes `week` weeks later.
    function sinceMonday(uint168 mask, uint256 week, uint256 hour, uint256 second)
        internal
        pure
        returns (uint256 total)
    {
        // No more than all the seconds since that Monday, which their caller holds in one word.
        unchecked {
            total = (week * popcount(mask) + popcount(mask & ((uint256(1) << hour) - 1))) * 1 hours;
            total += ((mask >> hour) & 1) * second;
        }
    }

    /// Number of ones, by adding neighbouring fields of doubling width.
    function popcount(uint256 x) internal pure returns (uint256) {
        // No addition here can carry out of its field: a field of w bits counts at most w ones.
        unchecked {
            x -= (x >> 1) & 0x5555555555555555555555555555555555555555555555555555555555555555;
            x = (x & 0x3333333333333333333333333333333333333333333333333333333333333333)
                + ((x >> 2) & 0x3333333333333333333333333333333333333333333333333333333333333333);
            x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f;
            x += x >> 8;
            x += x >> 16;
            x += x >> 32;
            x += x >> 64;
            x += x >> 128;
            return x & 0xff;
        }
    }
}
