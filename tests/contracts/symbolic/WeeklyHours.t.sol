// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { WeeklyHours } from "../../../contracts/libraries/WeeklyHours.sol";

/// @title What WeeklyHours counts, for all masks and instants: docs/proofs.md joins these steps
/// @notice Instants are those of Terms, 40 bits: fewer than 2^21 weeks.
contract WeeklyHoursBits is Test {
    uint256 private constant WEEKS = 1 << 21;

    /// One more hour adds its own bit to the count of hours, and the last one completes the mask.
    function check_OneHourCounts(uint168 mask, uint256 hour) external pure {
        vm.assume(hour < 168);
        for (uint256 each = 0; each < 168; ++each) {
            if (hour == each) {
                uint256 count = WeeklyHours.popcount(_below(mask, each)) + _bit(mask, each);
                assert(WeeklyHours.popcount(_below(mask, each + 1)) == count);
                return;
            }
        }
        assert(false);
    }

    function check_OneSecondInsideAnHour(uint168 mask, uint256 week, uint256 hour, uint256 second)
        external
        pure
    {
        vm.assume(week < WEEKS && hour < 168 && second < 3600);
        uint256 now_ = WeeklyHours.sinceMonday(mask, week, hour, second);
        assert(WeeklyHours.sinceMonday(mask, week, hour, second + 1) == now_ + _bit(mask, hour));
    }

    /// The 3600th second of an hour is the first of the next.
    function check_EndOfAnHour(uint168 mask, uint256 week, uint256 hour) external pure {
        vm.assume(week < WEEKS && hour < 167);
        uint256 count = WeeklyHours.popcount(_below(mask, hour)) + _bit(mask, hour);
        vm.assume(WeeklyHours.popcount(_below(mask, hour + 1)) == count); // check_OneHourCounts
        assert(
            WeeklyHours.sinceMonday(mask, week, hour + 1, 0)
                == WeeklyHours.sinceMonday(mask, week, hour, 3600)
        );
    }

    /// The 168th hour of a week is the first of the next.
    function check_EndOfAWeek(uint168 mask, uint256 week) external pure {
        vm.assume(week < WEEKS);
        uint256 count = WeeklyHours.popcount(_below(mask, 167)) + _bit(mask, 167);
        vm.assume(WeeklyHours.popcount(mask) == count); // check_OneHourCounts
        assert(
            WeeklyHours.sinceMonday(mask, week + 1, 0, 0) == WeeklyHours.sinceMonday(mask, week, 167, 3600)
        );
    }

    /// An instant is counted at its week, hour and second.
    function check_InstantIsItsWeekHourAndSecond(uint168 mask, uint40 instant) external pure {
        uint256 shifted = uint256(instant) + 3 days;
        uint256 inWeek = shifted % 7 days;
        assert(
            WeeklyHours.sinceEpoch(mask, instant)
                == WeeklyHours.sinceMonday(mask, shifted / 7 days, inWeek / 1 hours, inWeek % 1 hours)
        );
    }

    function check_SpanIsADifference(uint168 mask, uint40 from, uint40 to) external pure {
        vm.assume(from < to && mask != type(uint168).max);
        uint256 before = WeeklyHours.sinceEpoch(mask, from);
        uint256 later = WeeklyHours.sinceEpoch(mask, to);
        vm.assume(before <= later); // by the steps above
        assert(WeeklyHours.scheduled(mask, from, to) == later - before);
    }

    function check_AlwaysIsEverySecond(uint256 from, uint256 to) external pure {
        vm.assume(from <= to);
        assert(WeeklyHours.scheduled(type(uint168).max, from, to) == to - from);
    }

    function check_NothingBackwards(uint168 mask, uint256 from, uint256 to) external pure {
        vm.assume(to <= from);
        assert(WeeklyHours.scheduled(mask, from, to) == 0);
    }

    function _below(uint256 mask, uint256 hour) private pure returns (uint256) {
        return mask & ((1 << hour) - 1);
    }

    function _bit(uint256 mask, uint256 hour) private pure returns (uint256) {
        return (mask >> hour) & 1;
    }
}

contract WeeklyHoursIntegers is Test {
    /// Each week, hour and second is one instant's, and division finds them.
    function check_WeekHourAndSecondOfAnInstant(uint256 week, uint256 hour, uint256 second) external pure {
        vm.assume(week < 1 << 21);
        vm.assume(hour < 168);
        vm.assume(second < 3600);
        uint256 shifted = week * 7 days + hour * 1 hours + second;
        assert(shifted / 7 days == week);
        assert(shifted % 7 days / 1 hours == hour);
        assert(shifted % 7 days % 1 hours == second);
    }
}
