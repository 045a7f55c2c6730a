"""The worker's own look at the chain: which leases its unit has, and where each stands."""

from dataclasses import dataclass
from typing import Final

from web3 import Web3

from protocol.accrual import scheduled_seconds
from protocol.chain import Block, BlockTag, read_block
from protocol.contracts import Market, Registry
from protocol.errors import BadInput, Expired, RejectedError, UnknownEvent
from protocol.events import LeaseOpened, LeaseTransferred, OfferListed, OfferTaken, decode, emitters
from protocol.logs import LogEntry, fetch_logs
from protocol.manifest import DeploymentManifest
from protocol.orders import lease_id
from protocol.structs import (
    NO_ORDER,
    JobOrder,
    LeaseFlag,
    LeaseState,
    LeaseStatus,
    PostedOrder,
    Terms,
)
from protocol.typed_data import Domain
from protocol.units import ZERO_ADDRESS, Address, LeaseId, Seconds, UnitId, to_hex
from worker.journal import Journal

REORG_BLOCKS: Final = 64
"""So many blocks are searched again each time: a reorganisation may have put a lease there."""
_BLOCKS_A_QUERY: Final = 2000
NO_POSTED_ORDER: Final = PostedOrder()


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease as of one block. Times are Unix seconds."""

    lease_id: LeaseId
    terms: Terms
    state: LeaseState
    block: Block
    proof_grace_seconds: int
    renters: tuple[Address, ...]
    """All whose orders may have run."""
    posted_order: PostedOrder = NO_POSTED_ORDER

    @property
    def renter(self) -> Address:
        """Of today."""
        changed = self.state.renter_override
        return self.terms.renter if changed == ZERO_ADDRESS else changed

    @property
    def is_open(self) -> bool:
        return self.state.status is LeaseStatus.OPEN

    @property
    def end(self) -> int:
        return self.terms.start + self.state.end_offset

    @property
    def last_post(self) -> int:
        return max(self.end + self.proof_grace_seconds, self.terms.start + self.state.last_post_offset)

    @property
    def matures_at(self) -> int | None:
        """Of the pending proof; None where none is pending."""
        offset = self.state.mature_offset
        return self.terms.start + offset if offset else None

    @property
    def has_started(self) -> bool:
        return self.block.timestamp >= self.terms.start

    @property
    def has_ended(self) -> bool:
        return self.block.timestamp >= self.end

    @property
    def claimable_seconds(self) -> Seconds:
        """The most that a proof posted now may claim."""
        scheduled = self.scheduled_so_far
        if self.posted_order.order_digest != NO_ORDER:
            scheduled = min(scheduled, self.posted_order.answer_within)
        return Seconds(scheduled - self.posted_order.lost_seconds)

    @property
    def scheduled_so_far(self) -> Seconds:
        until = min(self.block.timestamp, self.end)
        return scheduled_seconds(self.terms.weekly_hours, self.terms.start, until)

    def holds(self, instant: int) -> bool:
        """Whether the renter has hired this second."""
        return (
            self.is_open
            and self.terms.start <= instant < self.end
            and scheduled_seconds(self.terms.weekly_hours, instant, instant + 1) == 1
        )


class LeaseBook:
    """Finds the unit's leases in the chain's logs and reads their states. Not thread-safe."""

    def __init__(
        self, web3: Web3, manifest: DeploymentManifest, domain: Domain, unit_id: UnitId, journal: Journal
    ) -> None:
        self._web3 = web3
        self._market = Market(web3, manifest.market)
        self._domain = domain
        self._unit_id = unit_id
        self._journal = journal
        self._emitters = emitters(manifest)
        self._first_block = manifest.block_number
        self._proof_grace_seconds = int(manifest.parameters.proof_grace_seconds)

    def turn(self) -> tuple[LeaseView, ...]:
        """Every lease that is not done, as of the latest block. ChainUnavailable."""
        block = read_block(self._web3, "latest")
        self._discover(block)
        views = [self._view(row.lease_id, row.terms, block) for row in self._journal.leases.live()]
        for view in views:
            if view.state.status in (LeaseStatus.CLOSED, LeaseStatus.BREACHED):
                self._journal.leases.set_done(view.lease_id, done=True)
        return tuple(view for view in views if view.is_open)

    def renters(self, terms: Terms) -> tuple[Address, ...]:
        """All whose orders under the lease of these terms may run, or might have, as far as is known here."""
        return self._journal.leases.renters(lease_id(self._domain, terms), terms)

    def check(self, terms: Terms, order: JobOrder) -> LeaseView:
        """The lease of these terms, where the order may start under it now. RejectedError otherwise."""
        identity = lease_id(self._domain, terms)
        if terms.offer.unit_id != self._unit_id:
            raise BadInput(f"lease: expected unit {to_hex(self._unit_id)}, got {to_hex(terms.offer.unit_id)}")
        view = self._view(identity, terms, read_block(self._web3, "latest"))
        if not view.is_open:
            raise RejectedError(
                f"lease {to_hex(identity)}: expected open, got {view.state.status.name.lower()}",
                code="lease_not_open",
            )
        now = view.block.timestamp
        if not view.holds(now):
            raise RejectedError(
                f"lease {to_hex(identity)}: the second {now} is not leased", code="lease_not_running"
            )
        if now > order.deadline:
            raise Expired(f"order: expected to start by {order.deadline}, it is {now}")
        self._journal.leases.add(identity, terms)
        return view

    def _view(self, identity: LeaseId, terms: Terms, block: Block) -> LeaseView:
        state = self._market.lease_state(identity, block.number)
        renters = self._journal.leases.renters(identity, terms)
        posted = posted_order(self._market, identity, state, block.number)
        return LeaseView(identity, terms, state, block, self._proof_grace_seconds, renters, posted)

    def _discover(self, block: Block) -> None:
        cursor = self._journal.leases.cursor()
        if cursor == block.number:
            return
        first = self._first_block if cursor is None else max(self._first_block, cursor - REORG_BLOCKS)
        for start in range(first, block.number + 1, _BLOCKS_A_QUERY):
            end = min(start + _BLOCKS_A_QUERY - 1, block.number)
            for log in fetch_logs(self._web3, [self._market.address], start, end):
                self._take(log)
            self._journal.leases.set_cursor(end)

    def _take(self, log: LogEntry) -> None:
        try:
            event = decode(log, self._emitters)
        except UnknownEvent:
            return  # of a later contract's version: leases are what counts here
        leases = self._journal.leases
        match event:
            case OfferListed() | OfferTaken() if event.offer.unit_id == self._unit_id:
                leases.add_offer(event.offer_hash, event.offer)
            case LeaseOpened():
                offer = leases.get_offer(event.offer_hash)
                if offer is not None:
                    leases.add(event.lease_id, event.terms.under(offer, event.renter))
            case LeaseTransferred():
                leases.add_renter(event.lease_id, event.to)
            case _:
                pass


def posted_order(market: Market, identity: LeaseId, state: LeaseState, block: BlockTag) -> PostedOrder:
    """What the renter posted on-chain, and what late answers have cost."""
    return market.posted_order_of(identity, block) if state.flags & LeaseFlag.ORDERED else NO_POSTED_ORDER


def check_unit(
    registry: Registry, unit_id: UnitId, worker: Address, gpu_ids: frozenset[bytes]
) -> frozenset[bytes]:
    """The GPUs of this host that are in the unit. RejectedError where the unit is not this worker's, or not
    whole.
    """
    unit, _ = registry.unit_of(unit_id)
    if unit.gpu_count == 0:
        raise BadInput(f"unit {to_hex(unit_id)}: expected a registered unit, got none", code="unknown_unit")
    if unit.worker != worker:
        raise RejectedError(
            f"unit {to_hex(unit_id)}: expected worker {unit.worker}, got {worker}", code="not_the_worker"
        )
    present = frozenset(gpu_id for gpu_id in gpu_ids if registry.unit_of_gpu(gpu_id) == unit_id)
    if len(present) != unit.gpu_count:
        raise RejectedError(
            f"unit {to_hex(unit_id)}: expected {unit.gpu_count} GPUs on this host, got {len(present)}",
            code="unit_incomplete",
        )
    return present
