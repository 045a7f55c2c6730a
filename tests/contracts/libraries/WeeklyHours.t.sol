// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { WeeklyHours } from "../../../contracts/libraries/WeeklyHours.sol";

contract WeeklyHoursTest is Test {
    uint256 private constant MONDAY = 1_893_974_400; // 2030-01-07 00:00 UTC
    uint168 private constant ALWAYS = type(uint168).max;

    function test_WhenSpanIsEmptyOrReversed() external pure {
        assertEq(WeeklyHours.scheduled(ALWAYS, MONDAY, MONDAY), 0);
        assertEq(WeeklyHours.scheduled(ALWAYS, MONDAY + 1, MONDAY), 0);
        assertEq(WeeklyHours.scheduled(1, MONDAY + 1 hours, MONDAY), 0);
    }

    function test_WhenMaskIsEmpty() external pure {
        assertEq(WeeklyHours.scheduled(0, MONDAY, MONDAY + 400 days), 0);
    }

    function test_WhenMaskIsFull() external pure {
        assertEq(WeeklyHours.scheduled(ALWAYS, MONDAY + 17, MONDAY + 400 days), 400 days - 17);
    }

    function test_WhenSpanLiesInOneScheduledHour() external pure {
        uint256 from = MONDAY + 5 hours + 10 minutes;
        assertEq(WeeklyHours.scheduled(uint168(1) << 5, from, from + 7), 7);
        assertEq(WeeklyHours.scheduled(uint168(1) << 6, from, from + 7), 0);
        assertEq(WeeklyHours.scheduled(uint168(1) << 4, from, from + 7), 0);
    }

    function test_WhenSpanCrossesTheEndOfAScheduledHour() external pure {
        uint256 from = MONDAY + 5 hours + 59 minutes;
        assertEq(WeeklyHours.scheduled(uint168(1) << 5, from, from + 10 minutes), 1 minutes);
        assertEq(WeeklyHours.scheduled(uint168(1) << 6, from, from + 10 minutes), 9 minutes);
    }

    function test_WhenSpanIsOneWeek() external pure {
        uint168 mask = (uint168(1) << 167) | (uint168(1) << 84) | 1;
        for (uint256 offset = 0; offset < 7 days; offset += 5 hours + 13 minutes) {
            assertEq(WeeklyHours.scheduled(mask, MONDAY + offset, MONDAY + offset + 7 days), 3 hours);
        }
    }

    function test_WhenSpanCrossesFromSundayToMonday() external pure {
        uint256 sundayHalfPastEleven = MONDAY + 7 days - 30 minutes;
        assertEq(
            WeeklyHours.scheduled(1, sundayHalfPastEleven, sundayHalfPastEleven + 45 minutes), 15 minutes
        );
        assertEq(
            WeeklyHours.scheduled(uint168(1) << 167, sundayHalfPastEleven, sundayHalfPastEleven + 45 minutes),
            30 minutes
        );
    }

    function test_WhenInstantsLieInTheFirstWeekOfTheEpoch() external pure {
        assertEq(WeeklyHours.scheduled(uint168(1) << 72, 0, 1 days), 1 hours, "Thursday 00:00");
        assertEq(WeeklyHours.scheduled(1, 0, 4 days + 1 hours), 1 hours, "Monday 00:00");
    }

    function testFuzz_AgreesWithALoopOverHours(uint168 mask, uint40 from, uint32 duration) external pure {
        uint256 span = bound(duration, 0, 40 days);
        uint256 to = from + span;
        uint256 naive = 0;
        // Whole hours and their rests, one by one.
        for (uint256 instant = from; instant < to;) {
            uint256 hourEnd = instant - instant % 1 hours + 1 hours;
            uint256 next = hourEnd < to ? hourEnd : to;
            if (_isScheduled(mask, instant)) naive += next - instant;
            instant = next;
        }
        assertEq(WeeklyHours.scheduled(mask, from, to), naive);
    }

    function testFuzz_AgreesWithALoopOverSeconds(uint168 mask, uint40 from, uint16 duration) external pure {
        uint256 to = uint256(from) + duration % 7000;
        uint256 naive = 0;
        for (uint256 instant = from; instant < to; ++instant) {
            if (_isScheduled(mask, instant)) ++naive;
        }
        assertEq(WeeklyHours.scheduled(mask, from, to), naive);
    }

    function testFuzz_SpansAddUp(uint168 mask, uint40 a, uint40 b, uint40 c) external pure {
        uint256[3] memory t = [uint256(a), b, c];
        if (t[0] > t[1]) (t[0], t[1]) = (t[1], t[0]);
        if (t[1] > t[2]) (t[1], t[2]) = (t[2], t[1]);
        if (t[0] > t[1]) (t[0], t[1]) = (t[1], t[0]);
        uint256 whole = WeeklyHours.scheduled(mask, t[0], t[2]);
        assertEq(
            WeeklyHours.scheduled(mask, t[0], t[1]) + WeeklyHours.scheduled(mask, t[1], t[2]), whole, "sum"
        );
        assertLe(whole, t[2] - t[0], "never more than the span");
        assertEq(whole + WeeklyHours.scheduled(~mask, t[0], t[2]), t[2] - t[0], "mask and its complement");
    }

    /// By the calendar: 1970-01-01 was a Thursday.
    function _isScheduled(uint168 mask, uint256 instant) private pure returns (bool) {
        uint256 dayOfWeek = (instant / 1 days + 3) % 7; // Monday is 0
        uint256 hourOfDay = instant % 1 days / 1 hours;
        return (mask >> (dayOfWeek * 24 + hourOfDay)) & 1 == 1;
    }
}
