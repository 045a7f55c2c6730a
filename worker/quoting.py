"""Which offer this worker bids when a renter asks for quotes.

An offer must carry the signature of the provider's cold wallet, which is not on this host and must not be:
its key moves the stake. So the provider signs a ladder of offers of the unit beforehand (`gpgpu provider
list --signed`, at several prices and hours) and puts the files into the worker's folder; the policy here
chooses which rung to show for a request, or none. What a renter was shown it may take until it expires, so
that rungs are signed for days, not months; those that lost are void at once by `gpgpu provider cancel
--salt`. Whoever gets into this host can show the cheapest rung, and no more.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError

from protocol import link
from protocol.accrual import ALWAYS
from protocol.errors import BadInput
from protocol.json_text import parse_json
from protocol.market_bodies import RequirementsBody
from protocol.matching import Requirements, term_refusals, window_of
from protocol.signed import SignedOffer
from protocol.units import UnitId

_log: Final = structlog.get_logger(__name__)
_WATTS_A_KILOWATT: Final = 1000
MAX_FILE_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Policy:
    """When and how low this worker bids. Money in base units of the offer's token, for the whole unit.

    A lease of at least `discount_seconds` is bid at so much below the dearest rung that fits. No bid is
    below the floor and the cost of energy.
    """

    floor_units_per_hour: int = 0
    energy_units_per_kwh: int = 0
    watts: int = 0
    max_seconds: int | None = None
    weekly_hours: int = ALWAYS
    gpu_classes: frozenset[str] = frozenset()
    """That may be asked for; empty: any."""
    discount_per_cent: int = 0
    discount_seconds: int = 0

    @property
    def least_units_per_hour(self) -> int:
        """Rounded up: a bid at cost earns nothing."""
        energy = -(-self.energy_units_per_kwh * self.watts // _WATTS_A_KILOWATT)
        return self.floor_units_per_hour + energy


def choose(
    ladder: Iterable[SignedOffer], booked_hours: int, wanted: Requirements, policy: Policy, now: int
) -> SignedOffer | None:
    """The cheapest rung that the policy sells at for this request; None where it bids nothing."""
    fitting = sorted(
        (
            rung
            for rung in ladder
            if not any(term_refusals(rung.offer, booked_hours, wanted, now))
            and _allows(policy, rung, wanted, now)
        ),
        key=lambda rung: (rung.offer.price_per_hour, rung.offer_hash),
    )
    if not fitting:
        return None
    least = max(policy.least_units_per_hour, _discounted(policy, fitting, wanted))
    return next((rung for rung in fitting if rung.offer.price_per_hour >= least), None)


def _allows(policy: Policy, rung: SignedOffer, wanted: Requirements, now: int) -> bool:
    if policy.gpu_classes and wanted.gpu_class not in policy.gpu_classes:
        return False
    if wanted.schedule is None:
        return policy.max_seconds is None and policy.weekly_hours == ALWAYS
    window = window_of(rung.offer, now, wanted.schedule)
    if policy.max_seconds is not None and window.max_end - window.start > policy.max_seconds:
        return False
    return not window.weekly_hours & ~policy.weekly_hours


def _discounted(policy: Policy, fitting: Sequence[SignedOffer], wanted: Requirements) -> int:
    dearest = fitting[-1].offer.price_per_hour
    schedule = wanted.schedule
    if schedule is None:
        return dearest
    seconds = schedule.seconds
    if schedule.start is not None and schedule.end is not None:
        seconds = schedule.end - schedule.start
    if seconds < policy.discount_seconds:
        return dearest
    return -(-dearest * (100 - policy.discount_per_cent) // 100)


class Quoter:
    """Answers requests for quotes. The folder is read at each: rungs come and go without a restart."""

    def __init__(
        self,
        folder: Path,
        unit_id: UnitId,
        policy: Policy,
        *,
        booked_hours: Callable[[], int],
        now: Callable[[], float],
        send: Callable[[link.Quote], None],
    ) -> None:
        self._folder = folder
        self._unit_id = unit_id
        self._policy = policy
        self._booked_hours = booked_hours
        self._now = now
        self._send = send

    def answer(self, request: link.QuoteRequest) -> None:
        """A bid, or the word that there is none, is on its way; a late one is not worth the showing."""
        now = int(self._now())
        bid = self._bid(request.requirements, now) if now <= request.deadline else None
        shown = None if bid is None else bid.to_json()
        price = None if bid is None else bid.offer.price_per_hour
        _log.info("quote_answered", request_id=request.request_id, price_per_hour=price)
        self._send(link.Quote(request_id=request.request_id, signed_offer=shown))

    def _bid(self, requirements: dict[str, Any], now: int) -> SignedOffer | None:
        try:
            wanted = RequirementsBody.model_validate(requirements).read()
        except ValidationError as error:
            _log.warning("quote_request_malformed", faults=error.error_count())
            return None
        ladder = [rung for rung in read_offers(self._folder) if rung.offer.unit_id == self._unit_id]
        return choose(ladder, self._booked_hours(), wanted, self._policy, now)


def read_offers(folder: Path) -> list[SignedOffer]:
    """The signed offers in a folder's .json files; what is none is left out, and said."""
    found: list[SignedOffer] = []
    for path in sorted(folder.glob("*.json")):
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BadInput(f"expected at most {MAX_FILE_BYTES} bytes")
            found.append(SignedOffer.from_json(parse_json(path.read_bytes(), "signed offer")))
        except (OSError, BadInput) as error:
            _log.warning("offer_unreadable", file=path.name, reason=str(error))
    return found
