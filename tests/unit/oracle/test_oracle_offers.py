"""Searching offers on a real database: what is found, in which order, by which index, what is not, why."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from oracle.matcher import explain, find, match
from oracle.store.engine import Store, open_store
from oracle.store.entities import replace_all
from oracle.store.market_tables import signed_offers
from oracle.store.offers import get_found
from oracle.store.tables import offers
from protocol.accrual import ALWAYS
from protocol.ledger import FindingEntry, LedgerState
from protocol.matching import Refusal, Requirements, Schedule, refusals
from protocol.reputation import Custom, weight_at
from protocol.structs import GpuAttestation, OfferKind
from protocol.units import ZERO_DIGEST, UnitId, address_of, pack_name
from tests.benchmarks import offers_search as synthetic
from tests.unit.oracle import market_samples as market
from tests.unit.oracle.market_samples import NOW, STAKED, change, offer, search, unit, write
from tests.unit.oracle.oracle_samples import HOUR, MONDAY, PROVIDER, TOKEN, UNIT_ID

CROWD, ASKED = 800, 30
OTHER = address_of(b"\x31" * 20)
CUSTOMS = [Custom(OTHER, TOKEN, address_of(bytes([n]) * 20), fees=100 * weight_at(NOW)) for n in range(4)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes URLs of empty stores, on each database in turn."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").new_database
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('market') / 'store.sqlite'}"


@pytest.fixture(scope="module")
def opened(new_url: Callable[[], str]) -> Iterator[Store]:
    made = open_store(new_url())
    yield made
    made.close()


@pytest.fixture
def store(opened: Store) -> Store:
    """One for all these tests, empty for each."""
    with opened.write() as transaction:
        replace_all(transaction, LedgerState.empty(replace(market.PARAMETERS, token_fees={})))
    return opened


@pytest.fixture(scope="module")
def crowd(new_url: Callable[[], str]) -> Iterator[Store]:
    made = open_store(new_url())
    with made.write() as transaction:
        synthetic.fill(transaction, CROWD)
    yield made
    made.close()


def finding(gops: int = 80_000, attested_at: int = NOW - 100, expires_at: int = NOW + 100) -> FindingEntry:
    attestation = GpuAttestation(
        *(UNIT_ID, PROVIDER, bytes(32), (), pack_name("CPU"), 0, gops, 1, bytes(32), ZERO_DIGEST, expires_at)
    )
    return FindingEntry(attestation, expires_at, attested_at)


def prices(store: Store, wanted: Requirements | None = None) -> list[int]:
    return [found.offer.price_per_hour for found in search(store, wanted)]


def test_search__several__cheapest_first_each_page_once(store: Store) -> None:
    every = [5, 2**90, 5, 10, 1, 2**64]
    write(store, *(offer(price, salt) for salt, price in enumerate(every)))
    seen, after = [], None
    while page := search(store, Requirements("CPU", token=TOKEN), after, 2):
        seen += [found.offer.price_per_hour for found in page]
        after = page[-1].place
    assert seen == sorted(every)


def test_search__equal_prices__best_name_then_oldest_then_hash(store: Store) -> None:
    second = UnitId(b"\x12" * 32)
    named = replace(offer(unit_id=second, provider=OTHER), known_since=9)
    old, new = offer(salt=1, since=4), offer(salt=2, since=5)
    same = sorted((offer(salt=n, since=7) for n in (3, 4, 5)), key=lambda entry: entry.offer_hash)
    providers = (STAKED, replace(STAKED, provider=OTHER))
    write(
        store,
        *(new, *same, old, named),
        providers=providers,
        units=(unit(), unit(second, OTHER)),
        customs=tuple(CUSTOMS),
    )
    found = search(store)
    assert [item.offer_hash for item in found] == [e.offer_hash for e in (named, old, new, *same)]
    assert [item.facts.reputation_units for item in found] == [400, 0, 0, 0, 0, 0]
    # From any place on, the rest.
    for index, item in enumerate(found):
        assert search(store, after=item.place) == found[index + 1 :]


VOID: list[dict[str, Any]] = [
    {"units": (replace(unit(), retired=True),)},
    {"units": (replace(unit(), evicted=True),)},
    {"units": (unit(gpu_class=pack_name("RTX 4090")),)},
    {"units": (unit(gpu_count=2),)},
    {"providers": (replace(STAKED, epoch=1),)},
    {"providers": (replace(STAKED, locked_units=10**21 - 10**20 + 1),)},
    {"providers": (replace(STAKED, unbonding_units=10**21),)},
    {"parameters": replace(market.PARAMETERS, token_fees={OTHER: 1})},
]


@pytest.mark.parametrize("changes", VOID, ids=[next(iter(changes)) for changes in VOID])
def test_search__no_lease_can_be_opened__not_found_until_one_can(
    store: Store, changes: dict[str, Any]
) -> None:
    write(store, offer())
    assert len(search(store)) == 1
    change(store, **changes)
    assert search(store) == []
    write(store, offer())
    assert len(search(store)) == 1


@pytest.mark.parametrize(
    ("wanted", "changes", "why"),
    [
        (Requirements("RTX 4090"), {}, Refusal.GPU_CLASS),
        (Requirements("CPU", 2), {}, Refusal.GPU_COUNT),
        (Requirements(token=OTHER), {}, Refusal.TOKEN),
        (Requirements(max_price_per_hour=3599), {}, Refusal.PRICE),
        (Requirements(kind=OfferKind.IDLE), {}, Refusal.KIND),
        (Requirements(min_bond=10**20 + 1), {}, Refusal.BOND),
        (Requirements(min_bond=2**90), {}, Refusal.BOND),
        (Requirements(min_vram_mib=1), {}, Refusal.VRAM),
        (Requirements(min_gops=1), {}, Refusal.SPEED),
        (Requirements(min_gops=80_001), {"findings": (finding(),)}, Refusal.SPEED),
        (Requirements(min_gops=1), {"findings": (finding(expires_at=NOW),)}, Refusal.SPEED),
        (Requirements(max_attestation_age_seconds=99), {"findings": (finding(),)}, Refusal.ATTESTATION),
        (Requirements(max_attestation_age_seconds=10**9), {}, Refusal.ATTESTATION),
        (Requirements(min_reputation_units=1), {}, Refusal.REPUTATION),
        (Requirements(min_reputation_units=2**250), {}, Refusal.REPUTATION),
        (Requirements(connected=True), {}, Refusal.WORKER),
        (Requirements(schedule=Schedule(59, 59)), {}, Refusal.DURATION),
        (Requirements(schedule=Schedule(31 * 24 * HOUR, 0)), {}, Refusal.DURATION),
        (Requirements(schedule=Schedule(2**70, 0)), {}, Refusal.DURATION),
        (Requirements(schedule=Schedule(HOUR, 0, start=MONDAY + 8 * 24 * HOUR)), {}, Refusal.START),
        (Requirements(schedule=Schedule(HOUR, HOUR)), {"units": (unit(booked_hours=2),)}, Refusal.RENTED),
        (
            Requirements(schedule=Schedule(60, 60)),
            {"offers": (offer(weekly_hours=2),)},
            Refusal.NO_SECOND,
        ),
        (
            Requirements(schedule=Schedule(HOUR, HOUR, weekly_hours=1 | 1 << 167)),
            {"offers": (offer(weekly_hours=ALWAYS >> 1),)},
            Refusal.HOURS,
        ),
    ],
)
def test_search__one_requirement_failed__left_out_and_named(
    store: Store, wanted: Requirements, changes: dict[str, Any], why: Refusal
) -> None:
    entry = changes.get("offers", (offer(),))[0]
    write(store, entry, **{name: value for name, value in changes.items() if name != "offers"})
    assert search(store, wanted) == []
    with store.read() as transaction:
        found = get_found(transaction, entry.offer_hash, NOW)
    assert found is not None
    assert why in explain(found, wanted, NOW)
    assert explain(found, Requirements(), NOW) == ()


def test_search__all_requirements_met__found_with_its_facts(store: Store) -> None:
    customs = tuple(replace(custom, provider=PROVIDER) for custom in CUSTOMS)
    write(
        store, offer(), units=(unit(vram_mib=24_000, booked_hours=4),), findings=(finding(),), customs=customs
    )
    wanted = Requirements(
        "CPU",
        1,
        TOKEN,
        3600,
        Schedule(HOUR, HOUR, weekly_hours=3),
        OfferKind.RESERVED,
        min_bond=10**20,
        min_vram_mib=24_000,
        min_gops=80_000,
        max_attestation_age_seconds=100,
        min_reputation_units=400,
    )
    (found,) = search(store, wanted)
    facts = found.facts
    assert (facts.vram_mib, facts.gops, facts.attested_at, facts.attested_until) == (
        24_000,
        80_000,
        NOW - 100,
        NOW + 100,
    )
    assert (facts.booked_hours, facts.reputation_units, facts.free_stake_units) == (4, 400, 10**21)


def test_find__worker_wanted__those_that_are_away_are_passed_over(store: Store) -> None:
    second = UnitId(b"\x12" * 32)
    away, here = offer(1), offer(2, unit_id=second)
    write(store, away, here, units=(unit(), unit(second)))
    with store.read() as transaction:
        found = find(
            transaction, Requirements(connected=True), NOW, lambda unit_id: unit_id == second, None, 1
        )
    assert [item.offer_hash for item in found] == [here.offer_hash]


def test_search__any_requirements__finds_what_the_pure_matcher_finds(crowd: Store) -> None:
    """SQL leaves out nothing that does, keeps nothing that does not, and orders as the ranking says."""
    with crowd.read() as transaction:
        rows = [transaction.execute(table.select()).all() for table in (offers, signed_offers)]
        names = {row.offer_hash for found in rows for row in found}
        everything = [get_found(transaction, name, synthetic.NOW) for name in names]
    known = [found for found in everything if found is not None]
    assert len(known) == CROWD
    counts: list[int] = []
    draw = random.Random(5)
    for _, wanted in zip(range(ASKED), synthetic.requests(3), strict=False):
        if draw.random() < 0.5:
            wanted = replace(wanted, gpu_class=None, gpu_count=None)
        with crowd.read() as transaction:
            found = find(transaction, wanted, synthetic.NOW, lambda _: False, None, 10_000)
        expected = list(match(known, wanted, synthetic.NOW))
        assert [item.offer_hash for item in found] == [item.offer_hash for item in expected]
        counts.append(len(found))
    assert sum(count > 3 for count in counts) > ASKED // 3, counts


def test_refusals__synthetic_market__each_reason_is_given_somewhere(crowd: Store) -> None:
    with crowd.read() as transaction:
        found = find(transaction, Requirements(), synthetic.NOW, lambda _: False, None, 10_000)
    seen = {
        reason
        for _, wanted in zip(range(ASKED), synthetic.requests(4), strict=False)
        for item in found
        for reason in refusals(item.offer, item.facts, wanted, synthetic.NOW)
    }
    assert seen >= {
        *(Refusal.GPU_CLASS, Refusal.GPU_COUNT, Refusal.TOKEN, Refusal.PRICE, Refusal.KIND, Refusal.DURATION),
        *(Refusal.RENTED, Refusal.SPEED, Refusal.ATTESTATION, Refusal.REPUTATION),
    }


def test_search__class_and_count__by_index_without_a_scan(crowd: Store) -> None:
    """The index orders by price: only ties are sorted, so that the first page costs the first page."""
    plans: list[str] = []
    on_sqlite = False

    def explain_too(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT offers.", "SELECT signed_offers.")):
            how = "EXPLAIN QUERY PLAN" if on_sqlite else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{how} {statement}", parameters).all()
            plans.append("\n".join(str(row[-1]) for row in rows))

    with crowd.read() as transaction:
        on_sqlite = transaction.dialect.name == "sqlite"
        event.listen(transaction.engine, "before_cursor_execute", explain_too)
        find(transaction, next(synthetic.requests()), synthetic.NOW, lambda _: False, None, 20)
        event.remove(transaction.engine, "before_cursor_execute", explain_too)
    for plan, table in zip(plans, ("offers", "signed_offers"), strict=True):
        assert f"ix_{table}_search" in plan
        if on_sqlite:
            assert f"SEARCH {table} USING INDEX ix_{table}_search" in plan
            assert "SCAN" not in plan
            assert "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY" in plan
        else:
            assert "Incremental Sort" in plan
            assert "Seq Scan" not in plan
