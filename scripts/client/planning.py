"""What a launch would do, decided before anything is sent: which offer, on which terms, with which orders."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from protocol.accrual import HOUR_SECONDS, deposit_units, scheduled_seconds
from protocol.bodies import OfferBody
from protocol.errors import BadInput, Expired
from protocol.structs import NO_ARTIFACT, ArtifactRef, JobLimits, JobOrder, JobSpec, Offer, Terms
from protocol.typed_data import Domain, digest, hash_struct
from protocol.units import ZERO_BYTES32, ZERO_DIGEST, Address, Digest, JobId, LeaseId, to_hex, unpack_name
from scripts.client.schedules import Schedule

NO_LEASE = LeaseId(ZERO_BYTES32)
MAX_START_DELAY_SECONDS = 7 * 24 * HOUR_SECONDS
_WEEK_HOURS = 168
_EPOCH_OFFSET_HOURS = 3 * 24  # 1970-01-01 was a Thursday, bit 0 is Monday 00:00


@dataclass(frozen=True, slots=True)
class Needs:
    """What a task asks of an offer. `max_price_per_hour` is in base units of the token; None: any price."""

    gpu_class: str
    gpu_count: int
    token: Address | None
    max_price_per_hour: int | None
    schedule: Schedule


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
        return (1 << _WEEK_HOURS) - 1
    return sum(1 << (hour + _EPOCH_OFFSET_HOURS) % _WEEK_HOURS for hour in range(first, last + 1))


def objection(body: OfferBody, needs: Needs, now: int) -> str | None:
    """Why a listed offer does not do, in a few words, or None where it does."""
    if not body.listed:
        return "no longer listed"
    reason = objection_to_terms(body.offer, body.booked_hours, needs, now)
    return reason or (None if body.worker_connected else "with its worker away")


def objection_to_terms(offer: Offer, booked_hours: int, needs: Needs, now: int) -> str | None:
    """As `objection`, of what the offer itself says, listed or signed."""
    schedule = needs.schedule
    window = window_of(offer, now, schedule)
    hours = schedule.weekly_hours
    objections = (
        (offer.valid_until < now, "expired"),
        (unpack_name(offer.gpu_class) != needs.gpu_class, "of another class"),
        (offer.gpu_count != needs.gpu_count, "with another number of GPUs"),
        (needs.token is not None and offer.token != needs.token, "in another token"),
        (_above(offer.price_per_hour, needs.max_price_per_hour), "above your price"),
        (not offer.min_seconds <= window.end - window.start <= offer.max_seconds, "for other durations"),
        (window.start > now + MAX_START_DELAY_SECONDS, "not opened so long before its start"),
        (hours is not None and bool(hours & ~offer.weekly_hours), "not in all of these hours"),
        (scheduled_seconds(window.weekly_hours, window.start, window.end) == 0, "not in these hours"),
        (bool(window.weekly_hours & booked_hours), "rented already"),
    )
    return next((reason for applies, reason in objections if applies), None)


def _above(price: int, limit: int | None) -> bool:
    return limit is not None and price > limit


def choose_offer(offers: Iterable[OfferBody], needs: Needs, now: int) -> OfferBody:
    """The cheapest offer that does; BadInput says how many do not, and why."""
    objections: Counter[str] = Counter()
    fitting: list[OfferBody] = []
    for body in offers:
        reason = objection(body, needs, now)
        if reason is None:
            fitting.append(body)
        else:
            objections[reason] += 1
    if fitting:
        return min(fitting, key=lambda body: (body.offer.price_per_hour, body.offer_hash))
    seen = ", ".join(f"{count} {reason}" for reason, count in objections.most_common()) or "there are none"
    raise BadInput(f"no offer of {needs.gpu_count} x {needs.gpu_class} fits: {seen}", code="no_offer")


def require_fitting(offer: Offer, reason: str | None, now: int) -> None:
    """Returns where there is no objection to the offer that was asked for by name. Expired, BadInput."""
    name = to_hex(hash_struct(offer))
    if reason == "expired":
        raise Expired(f"offer {name}: valid until {offer.valid_until}, now it is {now}")
    if reason is not None:
        raise BadInput(f"offer {name} is {reason}", code="no_offer")


def draft_orders(
    specs: Sequence[JobSpec], bundle: ArtifactRef, limits: JobLimits, deadline: int, first_nonce: int
) -> tuple[JobOrder, ...]:
    """One order for each spec, not yet of any lease."""
    return tuple(
        JobOrder(
            lease_id=NO_LEASE,
            spec_digest=hash_struct(spec),
            bundle=bundle,
            data=NO_ARTIFACT,
            limits=limits,
            nonce=first_nonce + index,
            deadline=deadline,
        )
        for index, spec in enumerate(specs)
    )


def draft_terms(
    offer: Offer, renter: Address, window: Window, fee_bps: int, first_order: Digest, salt: int
) -> Terms:
    """Terms of a lease whose first order rides in its opening."""
    return Terms(
        offer=offer,
        renter=renter,
        start=window.start,
        end=window.end,
        max_end=window.max_end,
        weekly_hours=window.weekly_hours,
        fee_bps=fee_bps,
        policy_hash=ZERO_DIGEST,
        first_order=first_order,
        gang_id=ZERO_DIGEST,
        previous_lease_id=NO_LEASE,
        salt=salt,
    )


def deposit_of(terms: Terms, end: int | None = None) -> int:
    """Base units that fund the lease up to `end`, its first one by default: the most that it can cost."""
    seconds = scheduled_seconds(terms.weekly_hours, terms.start, terms.end if end is None else end)
    return deposit_units(terms.offer.price_per_hour, seconds)


def order_of_lease(order: JobOrder, lease_id: LeaseId) -> JobOrder:
    return replace(order, lease_id=lease_id)


def job_id_of(domain: Domain, order: JobOrder) -> JobId:
    return JobId(digest(domain, order))
