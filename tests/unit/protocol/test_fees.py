"""What is offered for gas."""

import pytest

from protocol.fees import FeeMarket, FeeRules, Fees, better_fees, first_fees, raised
from protocol.units import BlockNumber

RULES = FeeRules(bump_percent=25, min_priority_fee_wei=10, max_fee_cap_wei=1000)


def market(base_fee: int, priority: int = 0) -> FeeMarket:
    return FeeMarket(BlockNumber(1), base_fee, priority)


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        (market(100), Fees(210, 10)),
        (market(100, 50), Fees(250, 50)),
        (market(600, 50), Fees(1000, 50)),  # the cap
        (market(1, 5000), Fees(1000, 1000)),
    ],
)
def test_first_fees__market__leaves_room_below_the_cap(asked: FeeMarket, offered: Fees) -> None:
    assert first_fees(asked, RULES) == offered


@pytest.mark.parametrize(
    ("asked", "last", "offered"),
    [
        (market(10), Fees(210, 10), Fees(263, 13)),  # both by more than 25 %
        (market(300), Fees(210, 10), Fees(610, 13)),  # what the chain asks by now
        (market(10), Fees(100, 90), Fees(126, 113)),
        (market(600), Fees(700, 10), Fees(1000, 13)),
        (market(10), Fees(799, 10), Fees(999, 13)),
        (market(10), Fees(900, 10), None),  # 1,126 is above the cap
    ],
)
def test_better_fees__last_offer__is_outbid_by_what_nodes_demand(
    asked: FeeMarket, last: Fees, offered: Fees | None
) -> None:
    assert better_fees(asked, RULES, last) == offered


def test_raised__small_value__grows() -> None:
    assert (raised(0, 25), raised(1, 25), raised(100, 25)) == (1, 2, 126)
