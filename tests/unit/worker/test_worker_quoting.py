"""What a worker bids: the cheapest rung at which its policy sells, or nothing; and what it says to whom."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from protocol import link
from protocol.accrual import ALWAYS
from protocol.errors import RejectedError, ServiceUnavailable
from protocol.market_bodies import RequirementsBody
from protocol.matching import Requirements, Schedule
from protocol.signed import SignedOffer
from protocol.units import UnitId, to_hex
from tests.unit.protocol.parties import OFFER, START
from worker.publishing import Publisher
from worker.quoting import Policy, Quoter, choose, read_offers

HOUR = 3600
NOW = START
LADDER = [
    SignedOffer(replace(OFFER, price_per_hour=price, salt=price, max_seconds=50 * HOUR), bytes([price]) * 65)
    for price in (40, 10, 30, 20)
]
WANTED = Requirements("CPU", 1, schedule=Schedule(HOUR, HOUR))


def price_of(
    policy: Policy, wanted: Requirements = WANTED, booked: int = 0, ladder: Sequence[SignedOffer] = LADDER
) -> int | None:
    chosen = choose(ladder, booked, wanted, policy, NOW)
    return None if chosen is None else chosen.offer.price_per_hour


def asking(**changes: object) -> Requirements:
    return replace(WANTED, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "wanted", "price"),
    [
        (Policy(), WANTED, 40),
        (Policy(discount_per_cent=50), WANTED, 20),
        (Policy(discount_per_cent=49), WANTED, 30),
        (Policy(discount_per_cent=100), WANTED, 10),
        (Policy(discount_per_cent=100, floor_units_per_hour=11), WANTED, 20),
        (Policy(discount_per_cent=100, floor_units_per_hour=40), WANTED, 40),
        (Policy(floor_units_per_hour=41), WANTED, None),
        # 0.5 kW at 30 an hour, and one more: rounded up, 16.
        (Policy(discount_per_cent=100, energy_units_per_kwh=30, watts=500), WANTED, 20),
        (Policy(1, energy_units_per_kwh=19, watts=500, discount_per_cent=100), WANTED, 20),
        (Policy(energy_units_per_kwh=19, watts=500, discount_per_cent=100), WANTED, 10),
        (Policy(discount_per_cent=50, discount_seconds=HOUR), WANTED, 20),
        (Policy(discount_per_cent=50, discount_seconds=HOUR + 1), WANTED, 40),
        (Policy(), asking(max_price_per_hour=30), 30),
        (Policy(floor_units_per_hour=31), asking(max_price_per_hour=30), None),
        (Policy(max_seconds=HOUR), WANTED, 40),
        (Policy(max_seconds=HOUR - 1), WANTED, None),
        (Policy(max_seconds=HOUR), asking(schedule=Schedule(HOUR, 2 * HOUR)), None),
        (Policy(max_seconds=HOUR), asking(schedule=None), None),
        (Policy(), asking(schedule=None), 40),
        (Policy(gpu_classes=frozenset({"CPU"})), WANTED, 40),
        (Policy(gpu_classes=frozenset({"RTX 4090"})), WANTED, None),
        (Policy(weekly_hours=0), WANTED, None),
        (Policy(), asking(gpu_class="RTX 4090"), None),
        (Policy(), asking(gpu_count=2), None),
        (Policy(), asking(schedule=Schedule(51 * HOUR, 51 * HOUR)), None),
    ],
)
def test_choose__request_and_policy__cheapest_rung_that_is_sold_at(
    policy: Policy, wanted: Requirements, price: int | None
) -> None:
    assert price_of(policy, wanted) == price


def test_choose__hours_booked_or_offers_expired__nothing() -> None:
    assert price_of(Policy(), booked=ALWAYS) is None
    expired = [replace(rung, offer=replace(rung.offer, valid_until=NOW - 1)) for rung in LADDER]
    assert price_of(Policy(), ladder=expired) is None
    assert price_of(Policy(), ladder=[]) is None


def write(folder: Path, *ladder: SignedOffer) -> None:
    for signed in ladder:
        (folder / f"{signed.offer.price_per_hour}.json").write_text(json.dumps(signed.to_json()))


def quoter(folder: Path, sent: list[link.Quote], policy: Policy = Policy(), now: int = NOW) -> Quoter:  # noqa: B008 - frozen
    return Quoter(
        folder, OFFER.unit_id, policy, booked_hours=lambda: 0, now=lambda: float(now), send=sent.append
    )


def request(wanted: Requirements = WANTED, deadline: int = NOW + 5) -> link.QuoteRequest:
    body = RequirementsBody.of(wanted).model_dump(mode="json", exclude_defaults=True)
    return link.QuoteRequest(request_id=to_hex(b"\x0a" * 32), requirements=body, deadline=deadline)


def test_quoter__request__shows_one_rung_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, *LADDER)
    (tmp_path / "broken.json").write_text("{")
    sent: list[link.Quote] = []
    quoter(tmp_path, sent, Policy(discount_per_cent=50)).answer(request())
    (quote,) = sent
    assert quote.read() == LADDER[3]
    frame = link.encode(quote)
    assert all(to_hex(rung.signature) not in frame for rung in LADDER[:3])


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        (Policy(floor_units_per_hour=100), request()),
        (Policy(), request(deadline=NOW - 1)),
        (Policy(), link.QuoteRequest(request_id=to_hex(bytes(32)), requirements={"no": 1}, deadline=NOW)),
    ],
)
def test_quoter__refused_late_or_malformed__says_nothing_of_its_ladder(
    tmp_path: Path, policy: Policy, asked: link.QuoteRequest
) -> None:
    write(tmp_path, *LADDER)
    sent: list[link.Quote] = []
    quoter(tmp_path, sent, policy).answer(asked)
    assert [quote.signed_offer for quote in sent] == [None]


def test_quoter__offers_of_another_unit__are_not_shown(tmp_path: Path) -> None:
    write(tmp_path, replace(LADDER[0], offer=replace(LADDER[0].offer, unit_id=UnitId(bytes(32)))))
    sent: list[link.Quote] = []
    quoter(tmp_path, sent).answer(request())
    assert sent[0].signed_offer is None


def test_read_offers__folder__whole_files_alone(tmp_path: Path) -> None:
    write(tmp_path, *LADDER[:2])
    (tmp_path / "large.json").write_bytes(b" " * (1 << 17))
    (tmp_path / "note.txt").write_text("no offer")
    assert read_offers(tmp_path) == [LADDER[1], LADDER[0]]
    assert read_offers(tmp_path / "nowhere") == []


def test_publisher__refused_and_unreachable__goes_on_or_waits(tmp_path: Path) -> None:
    write(tmp_path, *LADDER)
    posted: list[SignedOffer] = []

    def post(signed: SignedOffer) -> None:
        posted.append(signed)
        if signed == LADDER[3]:
            raise RejectedError("no")
        if signed == LADDER[2] and len(posted) < 4:
            raise ServiceUnavailable("away")

    publisher = Publisher(tmp_path, post)
    publisher.turn()
    assert posted == [LADDER[1], LADDER[3], LADDER[2]]
    publisher.turn()
    assert posted[3:] == [LADDER[1], LADDER[3], LADDER[2], LADDER[0]]
