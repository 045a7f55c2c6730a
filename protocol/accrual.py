"""Seconds and money: what a weekly mask schedules, what proven seconds are worth, what heartbeats cover.

All in integers, as the contracts compute it, rounded against the claimant. Bit h of a mask is hour h of the
week in UTC, bit 0 is Monday 00:00; intervals are half open.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from protocol.errors import BadInput
from protocol.units import Seconds, Units

HEARTBEAT_SECONDS: Final = 30
ALWAYS: Final = (1 << 168) - 1
HOUR_SECONDS: Final = 3600
BPS: Final = 10_000

_WEEK_HOURS: Final = 168
_WEEK_SECONDS: Final = _WEEK_HOURS * HOUR_SECONDS
_EPOCH_OFFSET_SECONDS: Final = 3 * 24 * HOUR_SECONDS  # 1970-01-01 was a Thursday


def scheduled_seconds(mask: int, start: int, end: int) -> Seconds:
    """Seconds of `mask` in [start, end), in constant time; zero where `end` is not after `start`."""
    if not 0 <= mask <= ALWAYS:
        raise BadInput(f"weekly hours: expected 0 to 2**168 - 1, got {mask:#x}")
    if end <= start:
        return Seconds(0)
    return Seconds(_since_epoch(mask, end) - _since_epoch(mask, start))


def deposit_units(price_per_hour: int, seconds: int) -> Units:
    """What so many scheduled seconds cost, rounded up: the end is always funded."""
    return Units(-(-price_per_hour * seconds // HOUR_SECONDS))


def pay_units(price_per_hour: int, seconds: int) -> Units:
    """What so many proven seconds are worth, fee included, rounded down. Settle by differences of it."""
    return Units(price_per_hour * seconds // HOUR_SECONDS)


def fee_units(pay: int, fee_bps: int) -> Units:
    """The treasury's share of cumulative pay, rounded down."""
    return Units(pay * fee_bps // BPS)


def compensation_units(bond: int, owed_seconds: int, settled_seconds: int) -> Units:
    """Of a RESERVED lease's bond, the share that the seconds not served have in those owed, rounded down."""
    if owed_seconds == 0:
        return Units(0)
    return Units(bond * (owed_seconds - settled_seconds) // owed_seconds)


def covered_seconds(block_timestamps: Iterable[int], mask: int, start: int, end: int) -> Seconds:
    """Scheduled seconds of [start, end) that heartbeats cover; one of block time t covers [t - 30, t)."""
    spans = _merged(sorted(block_timestamps))
    clipped = ((max(begin, start), min(finish, end)) for begin, finish in spans)
    return Seconds(sum(scheduled_seconds(mask, begin, finish) for begin, finish in clipped))


def _merged(timestamps: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Disjoint spans, ascending, of what ascending heartbeats cover."""
    begin = finish = 0
    for timestamp in timestamps:
        if timestamp - HEARTBEAT_SECONDS > finish or begin == finish:
            if finish > begin:
                yield begin, finish
            begin = timestamp - HEARTBEAT_SECONDS
        finish = timestamp
    if finish > begin:
        yield begin, finish


def _since_epoch(mask: int, instant: int) -> int:
    """Scheduled seconds from the Monday before the epoch to `instant`."""
    weeks, in_week = divmod(instant + _EPOCH_OFFSET_SECONDS, _WEEK_SECONDS)
    hour, in_hour = divmod(in_week, HOUR_SECONDS)
    whole_hours = weeks * mask.bit_count() + (mask & ((1 << hour) - 1)).bit_count()
    return whole_hours * HOUR_SECONDS + (in_hour if mask >> hour & 1 else 0)
