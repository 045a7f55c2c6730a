"""Search among 100,000 offers, a quarter of them signed: what renters ask for, and the worst of it."""

import atexit
import functools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from oracle.matcher import find
from oracle.store.book import post_offer
from oracle.store.engine import Store, Transaction, open_store
from oracle.store.entities import write_changes
from oracle.store.facts import replace_facts
from protocol.accrual import ALWAYS
from protocol.ledger import (
    Changes,
    FindingEntry,
    LedgerState,
    OfferEntry,
    Parameters,
    ProviderEntry,
    UnitEntry,
)
from protocol.logs import LogPosition
from protocol.matching import Requirements, Schedule
from protocol.reputation import Custom, weight_at
from protocol.signed import SignedOffer
from protocol.structs import GpuAttestation, Offer, OfferKind, Unit
from protocol.typed_data import Domain, hash_struct
from protocol.units import (
    ZERO_DIGEST,
    Address,
    BlockNumber,
    OfferHash,
    UnitId,
    address_of,
    pack_name,
)
from tests.benchmarks.harness import Figure

OFFERS = 100_000
OFFERS_A_UNIT = 4
UNITS_A_PROVIDER = 5
NOW = 1_800_000_000
HOUR = 3600
GOAL_SECONDS = 0.05
TOKENS = tuple(address_of(bytes([n]) * 20) for n in (0xA1, 0xA2))
# Most of a market is of a few classes: the worst case is the most common one.
CLASSES = {"RTX 4090": 45, "RTX 3090": 25, "H100": 12, "A100": 10, "L40S": 5, "CPU": 3}
COUNTS = {1: 60, 2: 20, 4: 12, 8: 8}
NIGHTS = sum(0x3F << 24 * day + 18 for day in range(7)) & ALWAYS
POSITION = LogPosition(BlockNumber(1), 0, bytes(32), bytes(32))


def fill(transaction: Transaction, count: int = OFFERS, seed: int = 1) -> None:
    """A market of so many offers, all of whose facts vary."""
    draw = random.Random(seed)
    units = [_unit(draw, number) for number in range(count // OFFERS_A_UNIT)]
    providers = {unit.unit.provider for unit in units}
    state = _state(draw, sorted(providers), units)
    changes = Changes(
        providers=tuple(state.providers.values()),
        units=tuple(units),
        offers=tuple(_listed(draw, unit) for unit in units for _ in range(OFFERS_A_UNIT - 1)),
    )
    write_changes(transaction, [changes])
    replace_facts(transaction, state)
    for unit in units:
        post_offer(transaction, SignedOffer(_offer(draw, unit), bytes(65)), NOW - draw.randrange(10**6))


def requests(seed: int = 2) -> Iterator[Requirements]:
    """What renters ask for, without end: from a plain class and count to all that can be required."""
    draw = random.Random(seed)
    while True:
        wanted = Requirements(
            _pick(draw, CLASSES), _pick(draw, COUNTS), schedule=Schedule(2 * HOUR, 4 * HOUR)
        )
        if draw.random() < 0.7:
            wanted = replace(wanted, token=draw.choice(TOKENS))
        if draw.random() < 0.4:
            wanted = replace(
                wanted, min_gops=draw.randrange(100_000), max_attestation_age_seconds=10 * 86_400
            )
        if draw.random() < 0.3:
            wanted = replace(wanted, min_reputation_units=draw.randrange(10**8))
        if draw.random() < 0.3:
            wanted = replace(wanted, max_price_per_hour=draw.randrange(10**5, 10**6))
        if draw.random() < 0.2:
            calendar = Schedule(7 * 86_400, 7 * 86_400, weekly_hours=NIGHTS)
            wanted = replace(wanted, schedule=calendar, kind=OfferKind.RESERVED)
        yield wanted


WORST = Requirements(
    "RTX 4090",
    1,
    schedule=Schedule(7 * 86_400, 7 * 86_400, weekly_hours=ALWAYS),
    min_gops=10**6,
    min_reputation_units=10**15,
)
"""Of the most common kind, and nothing does: every one of them is looked at."""


def search_seconds(store: Store, wanted: Requirements, limit: int = 20) -> float:
    """One search as the API does it, its transaction included."""
    began = time.perf_counter()
    with store.read() as transaction:
        find(transaction, wanted, NOW, lambda _: True, None, limit)
    return time.perf_counter() - began


def offers_search(rounds: int) -> Figure:
    """95th percentile of what renters ask for."""
    store, asked = filled(), requests()
    search_seconds(store, next(asked))
    seconds = [search_seconds(store, next(asked)) for _ in range(20 * rounds)]
    return _figure(statistics.quantiles(seconds, n=20)[-1])


def offers_search_in_vain(rounds: int) -> Figure:
    """Median of the worst that can be asked for."""
    store = filled()
    search_seconds(store, WORST)
    return _figure(statistics.median(search_seconds(store, WORST) for _ in range(rounds)))


@functools.cache
def filled() -> Store:
    """A store of 100,000 offers that is gone with this process."""
    folder = tempfile.mkdtemp(prefix="gpgpu-offers-")
    atexit.register(shutil.rmtree, folder)
    store = open_store(f"sqlite:///{Path(folder) / 'store.sqlite'}")
    with store.write() as transaction:
        fill(transaction)
    return store


def _figure(seconds: float) -> Figure:
    milliseconds = round(seconds * 1e3, 3)
    goal = f"p95 <= {GOAL_SECONDS * 1e3:g} ms, index used"
    return Figure(milliseconds, {}, "ms", None, goal, seconds <= GOAL_SECONDS)


def _state(draw: random.Random, providers: list[Address], units: list[UnitEntry]) -> LedgerState:
    parameters = Parameters(
        Domain(1, TOKENS[0]), TOKENS[0], 10, 10, 10, 10, token_fees=dict.fromkeys(TOKENS, 100)
    )
    state = LedgerState.empty(parameters)
    state.providers = {p: ProviderEntry(p, stake_units=draw.choice((10**18, 10**21))) for p in providers}
    state.findings = {unit.unit_id: _finding(draw, unit) for unit in units if draw.random() < 0.7}
    for provider in providers:
        for renter in range(draw.randrange(6)):
            key = (provider, draw.choice(TOKENS), address_of(renter.to_bytes(20)))
            state.customs[key] = Custom(*key, fees=weight_at(NOW) * draw.randrange(10**8))
    return state


def _unit(draw: random.Random, number: int) -> UnitEntry:
    provider = address_of((1 + number // UNITS_A_PROVIDER).to_bytes(20))
    gpu_class, count = _pick(draw, CLASSES), _pick(draw, COUNTS)
    unit = Unit(
        provider, provider, bytes(32), bytes(32), pack_name(gpu_class), count, draw.choice((24, 48, 80)) << 10
    )
    booked = draw.choice((0, 0, 0, NIGHTS, ALWAYS))
    return UnitEntry(UnitId(number.to_bytes(32)), unit, (), booked, draw.random() < 0.02, False, POSITION)


def _offer(draw: random.Random, entry: UnitEntry) -> Offer:
    unit = entry.unit
    return Offer(
        provider=unit.provider,
        unit_id=entry.unit_id,
        gpu_class=unit.gpu_class,
        gpu_count=unit.gpu_count,
        token=draw.choice(TOKENS),
        price_per_hour=draw.randrange(100, 1000) * 1000 * unit.gpu_count,
        kind=draw.choice(tuple(OfferKind)),
        weekly_hours=draw.choice((ALWAYS, ALWAYS, NIGHTS)),
        min_seconds=draw.choice((60, HOUR)),
        max_seconds=draw.choice((HOUR, 86_400, 30 * 86_400)),
        notice_seconds=60,
        bond=draw.choice((10**17, 10**19)),
        valid_until=NOW + draw.randrange(-86_400, 30 * 86_400),
        salt=draw.getrandbits(64),
    )


def _listed(draw: random.Random, unit: UnitEntry) -> OfferEntry:
    offer = _offer(draw, unit)
    since = NOW - draw.randrange(10**6)
    return OfferEntry(OfferHash(hash_struct(offer)), offer, draw.random() < 0.9, POSITION, None, since)


def _finding(draw: random.Random, entry: UnitEntry) -> FindingEntry:
    unit, expires_at = entry.unit, NOW + draw.randrange(-86_400, 20 * 86_400)
    attestation = GpuAttestation(
        *(entry.unit_id, unit.provider, unit.node_id, (), unit.gpu_class, unit.vram_mib),
        *(draw.randrange(200_000), 1, bytes(32), ZERO_DIGEST, expires_at),
    )
    return FindingEntry(attestation, expires_at, NOW - draw.randrange(20 * 86_400))


def _pick(draw: random.Random, weights: dict[Any, int]) -> Any:
    return draw.choices(list(weights), list(weights.values()))[0]
