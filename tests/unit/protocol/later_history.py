"""What follows on `history`: leases that are extended, disputed, transferred, breached and failed over."""

from dataclasses import replace

from eth_abi.abi import encode as abi_encode

from protocol import events as ev
from protocol.accrual import deposit_units, fee_units, pay_units
from protocol.keccak import keccak256
from protocol.orders import lease_id
from protocol.structs import (
    NO_PROOF,
    CompletionProof,
    LeaseTerms,
    NoticeReason,
    Offer,
    Terms,
    Unit,
)
from protocol.typed_data import hash_struct
from protocol.units import (
    ZERO_DIGEST,
    BlockNumber,
    Digest,
    JobId,
    LeaseId,
    OfferHash,
    ProofHash,
    UnitId,
    address_of,
    pack_name,
)
from tests.unit.protocol.history import (
    ANSWER,
    CHALLENGE,
    COURT,
    GRACE,
    RENTER_ADDRESS,
    TREASURY,
    UNIT,
)
from tests.unit.protocol.parties import DOMAIN, OFFER, TERMS, TOKEN

OWNER = address_of(b"\x77" * 20)  # of the units of these leases
BUYER = address_of(b"\x78" * 20)
STAKE, BOND, PRICE = 10_000, 1000, OFFER.price_per_hour
GPUS = tuple(bytes([number]) * 32 for number in range(0x10, 0x15))
EPOCH = 1
FROM = 1_900_000_000
POLICY, ORDER = Digest(b"\x0f" * 32), JobId(b"\x0e" * 32)
SLASHED = (300, 400, 300)  # restitution, reward, burned


def unit_of(gpu: bytes) -> tuple[UnitId, Unit]:
    unit = replace(UNIT, provider=OWNER, node_id=pack_name(f"node {gpu[0]}"), gpu_count=1)
    encoded = abi_encode(("address", "bytes32", "bytes32[]"), (OWNER, unit.node_id, [gpu]))
    return UnitId(keccak256(encoded)), unit


def offer_of(number: int) -> Offer:
    return replace(
        OFFER,
        provider=OWNER,
        unit_id=unit_of(GPUS[number])[0],
        bond=BOND,
        valid_until=FROM + 1000,
        salt=EPOCH << 232 | number,
    )


def terms_of(number: int, **changes: object) -> Terms:
    drawn = replace(TERMS, offer=offer_of(number), start=FROM, end=FROM + 1000, max_end=FROM + 2000)
    return replace(drawn, salt=number, **changes)


EXTENDED = terms_of(0)
BREACHED = terms_of(1)
FAILED = terms_of(2, policy_hash=POLICY)
FAILED_ID = lease_id(DOMAIN, FAILED)
MOVED_AT = FROM + 400
NEXT = terms_of(
    3,
    policy_hash=POLICY,
    start=MOVED_AT,
    end=MOVED_AT + 500,
    max_end=MOVED_AT + 500,
    previous_lease_id=FAILED_ID,
)
EXTENDED_ID, BREACHED_ID, NEXT_ID = (lease_id(DOMAIN, terms) for terms in (EXTENDED, BREACHED, NEXT))
NEW_END = FROM + 2500
ENDED = NEW_END + 1000
CUT = 600  # seconds that are left of the second claim


def claim(lease: LeaseId, seconds: int, previous: ProofHash) -> CompletionProof:
    return CompletionProof(lease, previous, seconds, 1, 1, Digest(b"\x0d" * 32), ZERO_DIGEST, 7)


FIRST = claim(EXTENDED_ID, 300, NO_PROOF)
FIRST_HASH = ProofHash(hash_struct(FIRST))
SECOND = claim(EXTENDED_ID, 700, FIRST_HASH)
SECOND_HASH = ProofHash(hash_struct(SECOND))
FALSE = claim(BREACHED_ID, 100, NO_PROOF)
FALSE_HASH = ProofHash(hash_struct(FALSE))


class Story:
    """Events one a block, or joined to the transaction before."""

    def __init__(self) -> None:
        self.events: list[tuple[ev.Event, int]] = []
        self._block, self._log = 10_000, 0

    def add(self, time: int, cls: type[ev.Event], *fields: object) -> None:
        self._block, self._log = self._block + 1, 0
        self._put(time, cls, fields)

    def join(self, time: int, cls: type[ev.Event], *fields: object) -> None:
        self._log += 1
        self._put(time, cls, fields)

    def _put(self, time: int, cls: type[ev.Event], fields: tuple[object, ...]) -> None:
        mark = self._block.to_bytes(32)
        self.events.append(
            (cls(ev.LogPosition(BlockNumber(self._block), self._log, mark, mark), *fields), time)
        )

    def open(self, time: int, terms: Terms) -> None:
        """A lease on an offer that is not listed but signed."""
        offer_hash = OfferHash(hash_struct(terms.offer))
        deposit = deposit_units(PRICE, terms.end - terms.start)
        self.add(time, ev.OfferTaken, offer_hash, OWNER, terms.offer)
        self.join(
            time,
            ev.LeaseOpened,
            lease_id(DOMAIN, terms),
            RENTER_ADDRESS,
            OWNER,
            offer_hash,
            LeaseTerms.of(terms),
            deposit,
        )


def later_history() -> list[tuple[ev.Event, int]]:
    story = Story()
    set_up(story)
    extended_and_disputed(story)
    breached(story)
    failed_over(story)
    paid_out(story)
    return story.events


def set_up(story: Story) -> None:
    story.add(FROM - 900, ev.Staked, OWNER, STAKE)
    for gpu in GPUS[:4]:
        unit_id, unit = unit_of(gpu)
        story.add(FROM - 800, ev.UnitRegistered, unit_id, OWNER, unit, (gpu,))
    story.add(FROM - 700, ev.EpochRaised, OWNER, EPOCH)
    story.add(FROM - 600, ev.SaltCancelled, OWNER, EPOCH << 232 | 99)
    story.add(FROM - 500, ev.Relayed, RENTER_ADDRESS, 0, TREASURY)


def extended_and_disputed(story: Story) -> None:
    """Extended, an order answered late, one claim accepted, one cut, its bond slashed, sold, closed."""
    lease = EXTENDED_ID
    gross = [pay_units(PRICE, seconds) for seconds in (300, CUT)]
    fees = [fee_units(amount, 100) for amount in gross]
    story.open(FROM - 100, EXTENDED)
    story.add(FROM + 10, ev.LeaseExtended, lease, RENTER_ADDRESS, NEW_END, deposit_units(PRICE, 2500))
    story.add(FROM + 20, ev.OrderPosted, lease, ORDER, 20 + ANSWER)
    story.add(FROM + 20 + ANSWER + 7, ev.OrderAnswered, lease, ORDER, True, 7)
    story.add(FROM + 320, ev.ProofPosted, lease, FIRST_HASH, FIRST, FROM + 320 + CHALLENGE)
    story.add(FROM + 321, ev.ProofAccepted, lease, FIRST_HASH)
    story.join(FROM + 321, ev.Settled, lease, 300, gross[0] - fees[0], fees[0])
    story.add(FROM + 400, ev.LeaseTransferred, lease, RENTER_ADDRESS, BUYER, 55)
    story.add(FROM + 800, ev.ProofPosted, lease, SECOND_HASH, SECOND, FROM + 800 + CHALLENGE)
    story.add(FROM + 801, ev.DisputeOpened, lease, SECOND_HASH, 1)
    story.add(FROM + 802, ev.DisputeOpened, lease, SECOND_HASH, 2)
    story.add(FROM + 900, ev.BondSlashed, lease, BOND)
    story.join(FROM + 900, ev.Slashed, OWNER, BUYER, *SLASHED)
    story.join(FROM + 900, ev.DisputeEnded, lease, SECOND_HASH, 1, CUT, NEW_END + GRACE)
    moved = NEW_END + 500 + GRACE
    story.add(NEW_END + 500, ev.DisputeEnded, lease, SECOND_HASH, 0, CUT, moved)
    pay = gross[1] - fees[1] - (gross[0] - fees[0])
    story.add(NEW_END + 501, ev.Settled, lease, CUT, pay, fees[1] - fees[0])
    refund = deposit_units(PRICE, 2500) - gross[1]
    story.add(moved + 1, ev.LeaseClosed, lease, CUT, refund, 0)


def breached(story: Story) -> None:
    story.open(FROM - 90, BREACHED)
    story.add(FROM + 200, ev.ProofPosted, BREACHED_ID, FALSE_HASH, FALSE, FROM + 200 + CHALLENGE)
    story.add(FROM + 201, ev.DisputeOpened, BREACHED_ID, FALSE_HASH, 1)
    story.add(FROM + 300, ev.LeaseBreached, BREACHED_ID, FALSE_HASH, FROM + 300, BOND)
    story.join(FROM + 300, ev.Slashed, OWNER, RENTER_ADDRESS, *SLASHED)
    story.add(FROM + 301, ev.HoursReleased, BREACHED_ID, BREACHED.offer.unit_id)
    story.add(FROM + 302, ev.UnitRetired, BREACHED.offer.unit_id, OWNER)
    story.add(FROM + 303, ev.LeaseClosed, BREACHED_ID, 0, deposit_units(PRICE, 1000), 0)


def failed_over(story: Story) -> None:
    """Its provider gives notice, and what is left of the deposit pays for another lease."""
    noticed = FROM + 390 + OFFER.notice_seconds
    penalty, moved = FROM + 1000 - noticed, deposit_units(PRICE, 500)
    notice = (noticed, penalty, NoticeReason.HARDWARE_FAULT, ZERO_DIGEST)
    story.open(FROM - 80, FAILED)
    story.add(FROM + 390, ev.NoticeGiven, FAILED_ID, OWNER, *notice)
    story.open(MOVED_AT, NEXT)
    story.join(MOVED_AT, ev.FailedOver, FAILED_ID, NEXT_ID, moved, noticed, penalty, 1)
    served_none = noticed + GRACE + 1
    refund = deposit_units(PRICE, 1000) - moved
    story.add(served_none, ev.LeaseClosed, FAILED_ID, 0, refund, BOND)
    story.add(MOVED_AT + 500 + GRACE + 1, ev.LeaseClosed, NEXT_ID, 0, moved, BOND)


def paid_out(story: Story) -> None:
    """Every credit, fee and compensation; what was burned; and a unit that was claimed with another's GPU."""
    gross = pay_units(PRICE, CUT)
    fee = fee_units(gross, 100)
    refunds = deposit_units(PRICE, 1000) * 2
    for account, amount in (
        (OWNER, gross - fee),
        (RENTER_ADDRESS, refunds + 55),
        (BUYER, deposit_units(PRICE, 2500) - gross),
    ):
        story.add(ENDED, ev.Withdrawn, TOKEN, account, account, amount)
    story.add(ENDED, ev.FeesWithdrawn, TOKEN, TREASURY, fee)
    for account, amount in ((COURT, 800), (RENTER_ADDRESS, 300 + 2 * BOND), (BUYER, 300)):
        story.add(ENDED, ev.CompensationWithdrawn, account, account, amount)
    story.add(ENDED, ev.BurnedSwept, 600)
    evicted, other = unit_of(GPUS[0])[0], replace(UNIT, provider=BUYER, gpu_count=1)
    encoded = abi_encode(("address", "bytes32", "bytes32[]"), (BUYER, other.node_id, [GPUS[0]]))
    other_id = UnitId(keccak256(encoded))
    story.add(ENDED, ev.UnitEvicted, evicted, other_id)
    story.join(ENDED, ev.UnitRegistered, other_id, BUYER, other, (GPUS[0],))
    story.add(ENDED, ev.UnitRetired, evicted, OWNER)
