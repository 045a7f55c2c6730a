"""What a launch would do, decided before anything is sent: which offer, on which terms, with which orders."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from protocol.accrual import deposit_units, scheduled_seconds
from protocol.bodies import OfferBody
from protocol.errors import BadInput, Expired
from protocol.matching import Facts, Refusal, Requirements, Window, refusals, term_refusals
from protocol.structs import NO_ARTIFACT, ArtifactRef, JobLimits, JobOrder, JobSpec, Offer, Terms
from protocol.typed_data import Domain, digest, hash_struct
from protocol.units import ZERO_BYTES32, ZERO_DIGEST, Address, Digest, JobId, LeaseId, to_hex

NO_LEASE = LeaseId(ZERO_BYTES32)


def objection(body: OfferBody, needs: Requirements, now: int) -> Refusal | None:
    """Why an offer of the oracle's does not do, or None where it does."""
    return next(refusals(body.offer, facts_of(body), replace(needs, connected=True), now), None)


def facts_of(body: OfferBody) -> Facts:
    """What the oracle says of an offer beside its terms."""
    return Facts(
        booked_hours=body.booked_hours,
        vram_mib=body.vram_mib,
        gops=body.measured_gops,
        attested_at=body.attested_at,
        attested_until=body.attested_until,
        reputation_units=body.reputation_units,
        known_since=body.known_since,
        worker_connected=body.worker_connected,
        available=body.listed or body.signed,
    )


def objection_to_terms(offer: Offer, booked_hours: int, needs: Requirements, now: int) -> Refusal | None:
    """As `objection`, of what the offer itself says, listed or signed."""
    return next(term_refusals(offer, booked_hours, needs, now), None)


def choose_offer(
    ranked: Iterable[OfferBody], others: Iterable[OfferBody], needs: Requirements, now: int
) -> OfferBody:
    """The first of the ranked offers that does; BadInput says how many others there are, and why they do not.

    The search is the oracle's: what it found is looked at again.
    """
    for body in ranked:
        if objection(body, needs, now) is None:
            return body
    objections: Counter[str] = Counter(
        objection(body, needs, now) or "not found by the search" for body in others
    )
    seen = ", ".join(f"{count} {reason}" for reason, count in objections.most_common()) or "there are none"
    raise BadInput(f"no offer of {needs.gpu_count} x {needs.gpu_class} fits: {seen}", code="no_offer")


def require_fitting(offer: Offer, reason: Refusal | None, now: int) -> None:
    """Returns where there is no objection to the offer that was asked for by name. Expired, BadInput."""
    name = to_hex(hash_struct(offer))
    if reason is Refusal.EXPIRED:
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
