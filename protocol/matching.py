"""Which offers do for what a renter requires, why others do not, and which comes first. Pure, and shared.

The oracle searches with it, a renter checks the answer with it, a worker chooses its bid with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.accrual import ALWAYS, HOUR_SECONDS, scheduled_seconds
from protocol.structs import Offer, OfferKind
from protocol.units import Address, unpack_name

MAX_START_DELAY_SECONDS: Final = 7 * 24 * HOUR_SECONDS
_WEEK_HOURS: Final = 168
_EPOCH_OFFSET_HOURS: Final = 3 * 24  # 1970-01-01 was a Thursday, bit 0 is Monday 00:00


class Refusal(StrEnum):
    """Why an offer does not do: the name is a stable code, the value says it to people."""

    EXPIRED = "expired"
    GPU_CLASS = "of another class"
    GPU_COUNT = "with another number of GPUs"
    TOKEN = "in another token"  # noqa: S105 - no secret
    PRICE = "above your price"
    KIND = "of another kind"
    BOND = "with too small a bond"
    DURATION = "for other durations"
    START = "not opened so long before its start"
    HOURS = "not in all of these hours"
    NO_SECOND = "not in these hours"
    RENTED = "rented already"
    UNLISTED = "no longer listed"
    STAKE = "with its provider's stake locked elsewhere"
    VRAM = "with too little memory"
    SPEED = "not measured to be so fast"
    ATTESTATION = "not measured so lately"
    REPUTATION = "of a provider without such a name"
    WORKER = "with its worker away"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A lease of `seconds` from `start` on, or up to `end`, in Unix seconds. No start: as soon as can be.

    `weekly_hours` are those of a calendar lease; None: every hour that the lease touches. Its end can be
    moved up to `max_seconds` after its start.
    """

    seconds: int
    max_seconds: int
    start: int | None = None
    end: int | None = None
    weekly_hours: int | None = None


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a renter requires; None and zero: anything does. Money in base units.

    `min_gops` are 10^9 operations a second that the quorum measured, `min_reputation_units` a score in the
    offer's token. Without a schedule no hour is looked at.
    """

    gpu_class: str | None = None
    gpu_count: int | None = None
    token: Address | None = None
    max_price_per_hour: int | None = None
    schedule: Schedule | None = None
    kind: OfferKind | None = None
    min_bond: int = 0
    min_vram_mib: int = 0
    min_gops: int = 0
    max_attestation_age_seconds: int | None = None
    min_reputation_units: int = 0
    connected: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an offer beside its terms. `attested_until` zero: never measured.

    `free_stake_units` None: not known, and not looked at. `known_since` in Unix seconds.
    """

    booked_hours: int = 0
    vram_mib: int = 0
    gops: int = 0
    attested_at: int = 0
    attested_until: int = 0
    free_stake_units: int | None = None
    reputation_units: int = 0
    known_since: int = 0
    worker_connected: bool = False
    available: bool = True
    """Listed, or signed and not cancelled."""


@dataclass(frozen=True, slots=True)
class Window:
    """When a lease would run, how far it can be topped up, and which hours of the week it books."""

    start: int
    end: int
    max_end: int
    weekly_hours: int


def window_of(offer: Offer, earliest: int, schedule: Schedule) -> Window:
    """The lease that a schedule means on this offer, on those of its hours that the lease touches.

    A start that is over by `earliest` is `earliest`: what lies before can be rented no more.
    """
    start = earliest if schedule.start is None else max(earliest, schedule.start)
    end = start + schedule.seconds if schedule.end is None else schedule.end
    max_end = max(end, start + min(schedule.max_seconds, offer.max_seconds))
    wanted = offer.weekly_hours if schedule.weekly_hours is None else schedule.weekly_hours
    hours = offer.weekly_hours & wanted & touched_hours(start, max_end)
    return Window(start, end, max_end, hours)


def touched_hours(start: int, end: int) -> int:
    """The mask of the hours of the week that [start, end) has a second in."""
    first, last = start // HOUR_SECONDS, (end - 1) // HOUR_SECONDS
    if last - first + 1 >= _WEEK_HOURS:
        return ALWAYS
    return sum(1 << (hour + _EPOCH_OFFSET_HOURS) % _WEEK_HOURS for hour in range(first, last + 1))


def refusals(offer: Offer, facts: Facts, wanted: Requirements, now: int) -> Iterator[Refusal]:
    """Every requirement that the offer fails at this instant; none where it does."""
    if not facts.available:
        yield Refusal.UNLISTED
    yield from term_refusals(offer, facts.booked_hours, wanted, now)
    age, oldest = now - facts.attested_at, wanted.max_attestation_age_seconds
    measured = facts.attested_until > now
    failed = (
        (facts.free_stake_units is not None and facts.free_stake_units < offer.bond, Refusal.STAKE),
        (facts.vram_mib < wanted.min_vram_mib, Refusal.VRAM),
        (wanted.min_gops > 0 and (not measured or facts.gops < wanted.min_gops), Refusal.SPEED),
        (oldest is not None and (not measured or age > oldest), Refusal.ATTESTATION),
        (facts.reputation_units < wanted.min_reputation_units, Refusal.REPUTATION),
        (wanted.connected and not facts.worker_connected, Refusal.WORKER),
    )
    yield from (reason for applies, reason in failed if applies)


def term_refusals(offer: Offer, booked_hours: int, wanted: Requirements, now: int) -> Iterator[Refusal]:
    """As `refusals`, of what the offer itself and the hours booked of its unit say."""
    failed = (
        (offer.valid_until < now, Refusal.EXPIRED),
        (_differs(unpack_name(offer.gpu_class), wanted.gpu_class), Refusal.GPU_CLASS),
        (_differs(offer.gpu_count, wanted.gpu_count), Refusal.GPU_COUNT),
        (_differs(offer.token, wanted.token), Refusal.TOKEN),
        (_above(offer.price_per_hour, wanted.max_price_per_hour), Refusal.PRICE),
        (_differs(offer.kind, wanted.kind), Refusal.KIND),
        (offer.bond < wanted.min_bond, Refusal.BOND),
    )
    yield from (reason for applies, reason in failed if applies)
    if wanted.schedule is not None:
        yield from _hour_refusals(offer, booked_hours, wanted.schedule, now)


def rank_key(offer: Offer, facts: Facts, offer_hash: bytes) -> tuple[int, int, int, bytes]:
    """Best first: the cheapest; of equals the best name, then the oldest.

    Of offers in one token: prices in two do not compare.
    """
    return offer.price_per_hour, -facts.reputation_units, facts.known_since, offer_hash


def _hour_refusals(offer: Offer, booked_hours: int, schedule: Schedule, now: int) -> Iterator[Refusal]:
    window = window_of(offer, now, schedule)
    hours = schedule.weekly_hours
    seconds = scheduled_seconds(window.weekly_hours, window.start, window.end)
    failed = (
        (not offer.min_seconds <= window.end - window.start <= offer.max_seconds, Refusal.DURATION),
        (window.start > now + MAX_START_DELAY_SECONDS, Refusal.START),
        (hours is not None and bool(hours & ~offer.weekly_hours), Refusal.HOURS),
        (seconds == 0, Refusal.NO_SECOND),
        (bool(window.weekly_hours & booked_hours), Refusal.RENTED),
    )
    yield from (reason for applies, reason in failed if applies)


def _differs(actual: object, wanted: object) -> bool:
    return wanted is not None and actual != wanted


def _above(price: int, limit: int | None) -> bool:
    return limit is not None and price > limit
