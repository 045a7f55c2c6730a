"""What a provider's name is worth: the protocol fees that its finished leases really paid, and what it broke.

A score is in base units of a token, of leases in that token alone: nothing converts prices.

- Only a closed lease counts, by the fee that it paid: the one thing that two wallets of one hand lose when
  they rent from each other. What a breached lease paid counts nothing.
- Everything loses half of its worth in HALF_LIFE_DAYS after the lease's end.
- One renter counts for at most 1/COUNTERPARTIES of all that the provider's leases paid: a single friend, or a
  single customer, makes no name.
- What is left is multiplied by the share of owed seconds served on RESERVED leases, each second weighed by
  its fee, so that cheap seconds do not hide dear ones.
- A breached lease, or a slashed bond, halves all that was counted before it, in every token.

So a score is never negative, a newcomer's is zero, and it never exceeds the fees paid. Whoever has no honest
customers pays S in fees for a score of S, in any number of wallets, half of it again each half-life, and
moves S * 10,000 / fee_bps through the escrow meanwhile; honest fees H spare at most H of it. Gas, the unit's
hours and the locked bond come on top. Where a token's fee is zero, or its treasury is the attacker's, fees
prove nothing.

Amounts are kept as weights: multiplied by 2^(days since 2025 / HALF_LIFE_DAYS) in 32 bits of fraction as of
the lease's end. Weights are integers that only add up: no order of leases, and no day on which one looks,
changes them. All rounding is down.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from protocol.units import Address

HALF_LIFE_DAYS: Final = 128
COUNTERPARTIES: Final = 4

_DAY_SECONDS: Final = 86_400
_ORIGIN: Final = 1_735_689_600  # 2025-01-01 00:00 UTC
_FRACTION_BITS: Final = 32


def _root(day: int) -> int:
    """2^(day / 128) with 32 bits of fraction, exact: seven square roots are the 128th one."""
    value = 1 << HALF_LIFE_DAYS * _FRACTION_BITS + day
    for _ in range(7):
        value = math.isqrt(value)
    return value


_ROOTS: Final = tuple(_root(day) for day in range(HALF_LIFE_DAYS))


@dataclass(frozen=True, slots=True)
class Custom:
    """Weights of all closed leases between a provider and one renter, in one token.

    `served` and `owed` are the fees of the seconds that RESERVED leases served and owed.
    """

    provider: Address
    token: Address
    renter: Address
    fees: int = 0
    served: int = 0
    owed: int = 0


def weight_at(instant: int) -> int:
    """What one base unit of a lease that ended then weighs; a day's weight is the same all day."""
    half_lives, day = divmod((instant - _ORIGIN) // _DAY_SECONDS, HALF_LIFE_DAYS)
    root = _ROOTS[day]
    return root << half_lives if half_lives >= 0 else root >> -half_lives


def with_lease(custom: Custom, ended_at: int, fee_units: int, served_units: int, owed_units: int) -> Custom:
    """The custom with one more closed lease. `ended_at` in Unix seconds, fees in base units of the token."""
    weight = weight_at(ended_at)
    return replace(
        custom,
        fees=custom.fees + weight * fee_units,
        served=custom.served + weight * served_units,
        owed=custom.owed + weight * owed_units,
    )


def halved(custom: Custom) -> Custom:
    """As a breach leaves it. The share of seconds served is a fact, and stays."""
    return replace(custom, fees=custom.fees // 2)


def score_weight(customs: Iterable[Custom]) -> int:
    """The score of one provider in one token, out of all its custom there, as a weight.

    Weights of any two providers compare as their scores do, on any day.
    """
    found = list(customs)
    most = sum(custom.fees for custom in found) // COUNTERPARTIES
    counted = sum(min(custom.fees, most) for custom in found)
    owed = sum(custom.owed for custom in found)
    return counted if owed == 0 else counted * sum(custom.served for custom in found) // owed


def score_units(weight: int, now: int) -> int:
    """A weight as a score, in base units of its token as of that instant (Unix seconds)."""
    return weight // max(weight_at(now), 1)
