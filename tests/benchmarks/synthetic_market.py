"""Events as a market full of short leases emits them, without a chain: opened, proven, settled, closed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from protocol import events as ev
from protocol.accrual import ALWAYS, deposit_units, fee_units, pay_units
from protocol.events import Event
from protocol.ledger import Parameters
from protocol.ledger.state import unit_id_of
from protocol.orders import lease_id
from protocol.structs import NO_PROOF, CompletionProof, LeaseTerms, Offer, OfferKind, Terms, Unit
from protocol.typed_data import Domain, hash_struct
from protocol.units import (
    ZERO_DIGEST,
    BlockNumber,
    LeaseId,
    OfferHash,
    ProofHash,
    UnitId,
    UnixTime,
    address_of,
    pack_name,
)

UNITS: Final = 100
EVENTS_A_LEASE: Final = 4
EVENTS_A_BLOCK: Final = 50
LEASE_SECONDS: Final = 60
ROUND_SECONDS: Final = 200
START: Final = 1_767_571_200
PRICE: Final = 3_600_000
BOND: Final = 10**18
PROVIDER, RENTER, WORKER, TOKEN, TREASURY, COURT, MARKET = (address_of(bytes([n]) * 20) for n in range(1, 8))
DOMAIN: Final = Domain(31_337, MARKET)
PARAMETERS: Final = Parameters(DOMAIN, COURT, 10, 20, 15, 30)

Timed = tuple[Event, UnixTime]


def timed_events(count: int) -> list[Timed]:
    """At least so many, `EVENTS_A_BLOCK` in a block."""
    made: list[Timed] = []
    for event, timestamp in _events():
        if len(made) >= count and timestamp > made[-1][1]:
            break
        number, index = divmod(len(made), EVENTS_A_BLOCK)
        name = (number + 1).to_bytes(32)
        position = ev.LogPosition(BlockNumber(number + 1), index, name, len(made).to_bytes(32))
        made.append((replace(event, position=position), UnixTime(timestamp)))
    return made


def _events() -> Iterator[tuple[Event, int]]:
    nowhere = ev.LogPosition(BlockNumber(0), 0, bytes(32), bytes(32))
    yield ev.TreasuryChanged(nowhere, TREASURY), START - 900
    yield ev.TokenSet(nowhere, TOKEN, True, 100), START - 900
    yield ev.Staked(nowhere, PROVIDER, UNITS * BOND), START - 900
    offers: list[tuple[OfferHash, Offer]] = []
    for number in range(1, UNITS + 1):
        node_id, gpu_ids = number.to_bytes(32), (number.to_bytes(32),)
        unit = Unit(PROVIDER, WORKER, bytes(32), node_id, pack_name("CPU"), 1, 0)
        unit_id = unit_id_of(PROVIDER, node_id, gpu_ids)
        offer = _offer(unit_id)
        offers.append((OfferHash(hash_struct(offer)), offer))
        yield ev.UnitRegistered(nowhere, unit_id, PROVIDER, unit, gpu_ids), START - 800
        yield ev.OfferListed(nowhere, offers[-1][0], PROVIDER, offer), START - 800
    salt = 0
    while True:
        leases = [(hash_, _terms(offer, salt)) for hash_, offer in offers]
        yield from _round(leases, START + salt * ROUND_SECONDS)
        salt += 1


def _round(leases: list[tuple[OfferHash, Terms]], start: int) -> Iterator[tuple[Event, int]]:
    nowhere = ev.LogPosition(BlockNumber(0), 0, bytes(32), bytes(32))
    deposit, pay = deposit_units(PRICE, LEASE_SECONDS), pay_units(PRICE, LEASE_SECONDS)
    fee = fee_units(pay, 100)
    ids = [lease_id(DOMAIN, terms) for _, terms in leases]
    for id_, (hash_, terms) in zip(ids, leases, strict=True):
        opened = ev.LeaseOpened(nowhere, id_, RENTER, PROVIDER, hash_, LeaseTerms.of(terms), deposit)
        yield opened, start - 10
    posted, closing = start + LEASE_SECONDS, start + LEASE_SECONDS + 15
    for id_ in ids:
        proof = CompletionProof(id_, NO_PROOF, LEASE_SECONDS, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 0)
        hash_ = ProofHash(hash_struct(proof))
        yield ev.ProofPosted(nowhere, id_, hash_, proof, posted + PARAMETERS.challenge_seconds), posted
    for id_ in ids:
        yield ev.Settled(nowhere, id_, LEASE_SECONDS, pay - fee, fee), closing
        yield ev.LeaseClosed(nowhere, id_, LEASE_SECONDS, deposit - pay, 0), closing


def _offer(unit_id: UnitId) -> Offer:
    return Offer(
        provider=PROVIDER,
        unit_id=unit_id,
        gpu_class=pack_name("CPU"),
        gpu_count=1,
        token=TOKEN,
        price_per_hour=PRICE,
        kind=OfferKind.RESERVED,
        weekly_hours=ALWAYS,
        min_seconds=1,
        max_seconds=30 * 24 * 3600,
        notice_seconds=1,
        bond=BOND,
        valid_until=2**39,
        salt=0,
    )


def _terms(offer: Offer, salt: int) -> Terms:
    start = START + salt * ROUND_SECONDS
    return Terms(
        offer=offer,
        renter=RENTER,
        start=start,
        end=start + LEASE_SECONDS,
        max_end=start + LEASE_SECONDS,
        weekly_hours=ALWAYS,
        fee_bps=100,
        policy_hash=ZERO_DIGEST,
        first_order=ZERO_DIGEST,
        gang_id=ZERO_DIGEST,
        previous_lease_id=LeaseId(ZERO_DIGEST),
        salt=salt,
    )
