"""Weekly hours between the words that people use and the 168-bit mask: bit 0 is Monday 00:00 UTC."""

import re
from collections.abc import Iterable

from protocol.accrual import ALWAYS, HOUR_SECONDS
from protocol.errors import BadInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH_OFFSET_HOURS = 3 * 24  # 1970-01-01 was a Thursday
_RULE = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d{1,2})-(\d{1,2})", re.ASCII)


def parse_hours(rules: Iterable[str]) -> int:
    """The mask of rules such as "mon-fri 18-24" or "sun 22-6"; no rule, or "always": every hour."""
    mask = 0
    given = list(rules)
    for rule in given:
        mask |= ALWAYS if rule.strip().lower() == "always" else _rule_mask(rule.strip().lower())
    return mask if given else ALWAYS


def _rule_mask(rule: str) -> int:
    match = _RULE.fullmatch(rule)
    if match is None or match[1] not in DAYS or (match[2] or match[1]) not in DAYS:
        raise BadInput(f'hours: expected "always" or such as "mon-fri 18-24" (UTC), got {rule!r}')
    first, last = DAYS.index(match[1]), DAYS.index(match[2] or match[1])
    begin, end = int(match[3]), int(match[4])
    if begin > 23 or end > 24 or begin == end:
        raise BadInput(f"hours: expected 0-23 to 1-24, got {rule!r}")
    length = (end - begin) % 24 or 24
    mask = 0
    for day in range(first, first + (last - first) % 7 + 1):
        for hour in range(length):
            mask |= 1 << (day * 24 + begin + hour) % 168
    return mask


def rule_around(instant: int, hours: int) -> str:
    """The rule of so many hours (1 to 23), beginning with the one that `instant` (Unix seconds) is in."""
    since_monday = instant // HOUR_SECONDS + _EPOCH_OFFSET_HOURS
    begin = since_monday % 24
    return f"{DAYS[since_monday // 24 % 7]} {begin}-{(begin + hours) % 24 or 24}"


def format_hours(mask: int) -> str:
    """Such as "always" or "84 h a week"."""
    return "always" if mask == ALWAYS else f"{mask.bit_count()} h a week"
