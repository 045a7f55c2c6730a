"""Bodies of the HTTP API about the market: what is required, offers found and posted, quotes, reputations."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol import structs
from protocol.accrual import ALWAYS
from protocol.bodies import AddressField, Body, HashField, Natural, OfferBody, OfferField, UnitsField
from protocol.matching import Requirements, Schedule
from protocol.signed import SignedOffer
from protocol.units import hex_bytes

OfferSignatureField = Annotated[str, Field(pattern=r"^0x([0-9a-f]{2}){1,4096}$")]
Number = Annotated[int, Field(ge=0, le=(1 << 48) - 1)]
"""As it stands in a query: text."""
_SCHEDULE = ("seconds", "max_seconds", "start", "end", "weekly_hours")
_REQUIREMENTS = (
    *("gpu_class", "gpu_count", "token", "max_price_per_hour", "min_bond", "min_vram_mib", "min_gops"),
    *("max_attestation_age_seconds", "min_reputation_units", "connected"),
)


class RequirementsBody(Body):
    """What a renter requires, as query or body: see `protocol.matching.Requirements`. Masks are decimal.

    Hours are looked at where `seconds` or `end` is given: the lease of a `Schedule`.
    """

    gpu_class: Annotated[str, Field(min_length=1, max_length=66)] | None = None
    gpu_count: Annotated[int, Field(ge=1, le=255)] | None = None
    token: AddressField | None = None
    max_price_per_hour: UnitsField | None = None
    kind: Literal["reserved", "idle"] | None = None
    min_bond: UnitsField = 0
    min_vram_mib: Number = 0
    min_gops: Number = 0
    max_attestation_age_seconds: Number | None = None
    min_reputation_units: UnitsField = 0
    connected: bool = False
    seconds: Annotated[int, Field(ge=1, le=(1 << 48) - 1)] | None = None
    max_seconds: Number | None = None
    start: Number | None = None
    end: Number | None = None
    weekly_hours: Annotated[UnitsField, Field(le=ALWAYS)] | None = None

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("end: expected an instant after start")
        return self

    @classmethod
    def of(cls, wanted: Requirements) -> Self:
        schedule = wanted.schedule
        hours = {} if schedule is None else {name: getattr(schedule, name) for name in _SCHEDULE}
        kind = None if wanted.kind is None else wanted.kind.name.lower()
        return cls.model_validate(
            {**{name: getattr(wanted, name) for name in _REQUIREMENTS}, **hours, "kind": kind}
        )

    def read(self) -> Requirements:
        schedule = None
        if self.seconds is not None or self.end is not None:
            seconds = self.seconds or 1
            most = seconds if self.max_seconds is None else self.max_seconds
            schedule = Schedule(seconds, most, self.start, self.end, self.weekly_hours)
        given = {name: getattr(self, name) for name in _REQUIREMENTS}
        kind = None if self.kind is None else structs.OfferKind[self.kind.upper()]
        return Requirements(**given, kind=kind, schedule=schedule)


class OffersQuery(RequirementsBody):
    """GET /v1/offers."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, Field(max_length=256)] | None = None


class FoundOfferBody(Body):
    """GET /v1/offers/{offer_hash}. `signature` is empty where the offer is only listed.

    `refusals`: which of the requirements asked for it fails, by `protocol.matching.Refusal`.
    """

    offer: OfferBody
    signature: OfferSignatureField | None
    refusals: tuple[str, ...]


class SignedOfferBody(Body):
    """POST /v1/offers, by the provider or the worker of the unit."""

    offer: OfferField
    signature: OfferSignatureField

    @classmethod
    def of(cls, signed: SignedOffer) -> Self:
        return cls(offer=signed.offer, signature="0x" + signed.signature.hex())

    def signed_offer(self) -> SignedOffer:
        return SignedOffer(self.offer, hex_bytes(self.signature))


class PostedOfferBody(Body):
    """A signed offer that is in the book now."""

    offer_hash: HashField
    created: bool


class QuoteRequestBody(Body):
    """POST /v1/quotes: workers may answer until `deadline`, Unix seconds."""

    requirements: RequirementsBody
    deadline: Natural


class QuotesBody(Body):
    """What workers have bid so far. `closed`: all that were asked have answered, or the deadline is over."""

    request_id: HashField
    deadline: Natural
    asked: Natural
    answered: Natural
    closed: bool
    quotes: tuple[FoundOfferBody, ...]


class ReputationBody(Body):
    """A score in base units of the token as of the page's block, and the weight that it comes from."""

    provider: AddressField
    token: AddressField
    weight: UnitsField
    score_units: UnitsField


class ReputationsBody(Body):
    """All as of one block; sorted by provider and token."""

    block_number: Natural
    block_timestamp: Natural
    reputations: tuple[ReputationBody, ...]
    next_cursor: str | None
