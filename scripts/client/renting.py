"""What a renter does: propose a launch, carry it out in one transaction, send orders, give notice."""

import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from protocol.bodies import LeaseBody, OfferBody
from protocol.chain import read_block
from protocol.errors import BadInput, DigestMismatch, Expired
from protocol.events import LeaseExtended, LeaseOpened
from protocol.matching import Requirements, Schedule, window_of
from protocol.orders import first_order_hash, job_id, lease_id
from protocol.outbox import Receipt
from protocol.readers import renter_key
from protocol.signed import SignedOffer, SignedOrder
from protocol.structs import Acceptance, JobOrder, JobSpec, LeaseStatus, NoticeReason, Offer, OfferKind, Terms
from protocol.typed_data import hash_struct, sign
from protocol.units import ZERO_ADDRESS, ZERO_BYTES32, ZERO_DIGEST, Address, JobId, LeaseId, hex_bytes, to_hex
from scripts.client.answers import ServiceRefused
from scripts.client.api import OracleClient
from scripts.client.bundling import Bundle
from scripts.client.chain import Chain
from scripts.client.offers import check_signed, find_listed
from scripts.client.planning import (
    choose_offer,
    deposit_of,
    draft_orders,
    draft_terms,
    objection,
    objection_to_terms,
    order_of_lease,
    require_fitting,
)
from scripts.client.privacy import Parcel, Privacy, make_parcel, privacy_of
from scripts.client.providing import event_of
from scripts.client.purse import Purse, fresh_intent
from scripts.client.quoting import request_quotes, sound_bids
from scripts.client.schedules import schedule_of
from scripts.task import Task

MIN_START_DELAY_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be rented, to run what: `terms` are the lease's as of now. Nothing has been sent.

    `offer_signature` is empty where the offer is listed.
    """

    task: Task
    bundle: Bundle
    privacy: Privacy
    specs: tuple[JobSpec, ...]
    schedule: Schedule
    terms: Terms
    offer_signature: bytes

    @property
    def offer(self) -> Offer:
        return self.terms.offer

    @property
    def deposit_units(self) -> int:
        return deposit_of(self.terms)


@dataclass(frozen=True, slots=True)
class Launch:
    """Orders of one lease, ready to be sent; the lease itself is open where `is_open`."""

    terms: Terms
    lease_id: LeaseId
    is_open: bool
    parcel: Parcel
    orders: tuple[SignedOrder, ...]
    job_ids: tuple[JobId, ...]
    privacy: Privacy
    offer_signature: bytes = b""


def needs_of(task: Task, chain: Chain, schedule: Schedule) -> Requirements:
    """What the task asks of an offer. BadInput where its token or price make no sense here."""
    section, resources = task.section, task.file.resources
    token = None if section.token is None else chain.tokens.address_of(section.token)
    age = resources.measured_within_hours
    return Requirements(
        gpu_class=resources.gpu_class,
        gpu_count=resources.gpu_count,
        token=token,
        max_price_per_hour=_units(chain, token, "max_price_per_hour", section.max_price_per_hour),
        schedule=schedule,
        kind=None if section.kind is None else OfferKind[section.kind.upper()],
        min_vram_mib=(resources.vram_gib or 0) * 1024,
        min_gops=math.ceil((resources.tflops or 0) * 1000),
        max_attestation_age_seconds=None if age is None else age * 3600,
        min_reputation_units=_units(chain, token, "min_reputation", section.min_reputation) or 0,
    )


def _units(chain: Chain, token: Address | None, key: str, amount: str | None) -> int | None:
    if amount is None:
        return None
    if token is None:
        raise BadInput(f"{key}: expected `token` beside it: an amount is in some token")
    return chain.tokens.parse(token, amount)


def schedule_of_task(task: Task) -> Schedule:
    """As the task alone says."""
    section = task.section
    return schedule_of(section.lease_seconds, section.max_lease_seconds, section.hours)


def propose(
    chain: Chain,
    oracle: OracleClient,
    task: Task,
    bundle: Bundle,
    offer: bytes | SignedOffer | None,
    schedule: Schedule | None = None,
) -> Proposal:
    """The best offer that fits, listed or in the book, the one of this hash, or the signed one at hand.

    Checked against the chain, not the oracle's word.
    """
    schedule = schedule or schedule_of_task(task)
    needs, now = needs_of(task, chain, schedule), next_start(chain)
    if not isinstance(offer, SignedOffer):
        offer = _found_offer(chain, oracle, offer, needs, now)
    chosen, signature = offer.offer, offer.signature
    if signature:
        check_signed(chain, offer)
        _, booked_hours = chain.registry.unit_of(chosen.unit_id)
        require_fitting(chosen, objection_to_terms(chosen, booked_hours, needs, now), now)
    elif chain.market.listed_by(offer.offer_hash) != chosen.provider:
        name = to_hex(offer.offer_hash)
        raise BadInput(f"offer {name}: not listed by its provider on chain", code="no_offer")
    fee_bps = chain.market.fee_bps(chosen.token)
    window = window_of(chosen, now, schedule)
    return Proposal(
        task=task,
        bundle=bundle,
        privacy=privacy_of(chain, oracle, task, chosen.unit_id),
        specs=task.job_specs(bundle.digest, bundle.entrypoint),
        schedule=schedule,
        terms=draft_terms(chosen, chosen.provider, window, fee_bps, ZERO_DIGEST, 0),
        offer_signature=signature,
    )


def best_quote(
    chain: Chain, oracle: OracleClient, task: Task, seconds: int, schedule: Schedule
) -> SignedOffer:
    """What was bid best for the task within so many seconds. BadInput where nothing does."""
    needs = needs_of(task, chain, schedule)
    answer = request_quotes(oracle, needs, seconds)
    bids = sound_bids(chain, answer.quotes, needs, next_start(chain))
    if not bids:
        raise BadInput(
            f"no quote fits: {answer.asked} workers asked, {answer.answered} answered,"
            f" {len(answer.quotes)} bids",
            code="no_offer",
        )
    return bids[0][1]


def _found_offer(
    chain: Chain, oracle: OracleClient, offer_hash: bytes | None, needs: Requirements, now: int
) -> SignedOffer:
    """With an empty signature where it is listed: opening a lease on that costs less gas."""
    if offer_hash is None:
        same_class = oracle.offers(Requirements(needs.gpu_class))
        body = choose_offer(oracle.offers(replace(needs, connected=True)), same_class, needs, now)
    else:
        body = _named_offer(chain, oracle, offer_hash)
        require_fitting(body.offer, objection(body, needs, now), now)
    if hash_struct(body.offer) != hex_bytes(body.offer_hash, 32):
        raise DigestMismatch(f"offer {body.offer_hash}: the oracle's offer has another hash")
    signature = b"" if body.listed else hex_bytes(oracle.offer(hash_struct(body.offer)).signature)
    return SignedOffer(body.offer, signature)


def _named_offer(chain: Chain, oracle: OracleClient, offer_hash: bytes) -> OfferBody:
    """An offer by its hash: an oracle that has not read so far yet knows it not, the chain's events do."""
    try:
        return oracle.offer(offer_hash).offer
    except ServiceRefused as error:
        if error.status != 404:
            raise
    offer = find_listed(chain, offer_hash)
    if offer is None:
        raise BadInput(f"offer {to_hex(offer_hash)}: unknown", code="no_offer")
    listed = chain.market.listed_by(offer_hash) == offer.provider
    _, booked_hours = chain.registry.unit_of(offer.unit_id)
    return OfferBody(
        offer_hash=to_hex(offer_hash),
        offer=offer,
        listed=listed,
        booked_hours=booked_hours,
        worker_connected=False,
    )


def next_start(chain: Chain) -> int:
    """The earliest second that surely is not over when an opening is mined: three blocks from now."""
    head = chain.head()
    if head.number == 0:
        return head.timestamp + MIN_START_DELAY_SECONDS
    interval = head.timestamp - read_block(chain.web3, head.number - 1).timestamp
    # A chain that mines on demand stands still meanwhile; its next block takes the time of the clock.
    return max(head.timestamp, int(time.time())) + min(max(MIN_START_DELAY_SECONDS, 3 * interval), 60)


def draft_launch(purse: Purse, proposal: Proposal) -> Launch:
    """Terms as of now, and the orders of their lease. Nothing is sent."""
    chain, offer = purse.chain, proposal.offer
    # Before the clock is read: it may take seconds.
    parcel = make_parcel(proposal.bundle, proposal.privacy, renter_key(chain.domain, purse.account))
    window = window_of(offer, next_start(chain), proposal.schedule)
    limits, fee_bps = proposal.task.limits(), proposal.terms.fee_bps
    drafts = draft_orders(proposal.specs, parcel.reference, limits, window.end, _nonce())
    # What keys are wrapped for is the lease but for its first order, which carries wrapped keys.
    bare = draft_terms(offer, purse.address, window, fee_bps, ZERO_DIGEST, secrets.randbits(128))
    wrapped = [parcel.wrap(chain.domain, bare, order) for order in drafts]
    terms = replace(bare, first_order=first_order_hash(wrapped[0]))
    of_lease = lease_id(chain.domain, terms)
    rest = [
        _signed(purse, order_of_lease(order, of_lease), spec)
        for order, spec in zip(wrapped[1:], proposal.specs[1:], strict=True)
    ]
    orders = (SignedOrder(order_of_lease(wrapped[0], of_lease), None, proposal.specs[0]), *rest)
    launch = _launch(chain, terms, of_lease, False, parcel, orders, proposal.privacy)
    return replace(launch, offer_signature=proposal.offer_signature)


def launch_on_lease(
    purse: Purse, oracle: OracleClient, lease: LeaseBody, task: Task, bundle: Bundle
) -> Launch:
    """Orders under a lease that the wallet has. BadInput, Expired where it is another's or over."""
    chain, terms = purse.chain, lease.terms
    of_lease = lease_id(chain.domain, terms)
    if to_hex(of_lease) != lease.lease_id:
        raise DigestMismatch(f"lease {lease.lease_id}: the oracle's terms are of lease {to_hex(of_lease)}")
    state = chain.market.lease_state(of_lease)
    renter = terms.renter if state.renter_override == ZERO_ADDRESS else state.renter_override
    if renter != purse.address:
        raise BadInput(f"lease {lease.lease_id}: rented by {renter}, this wallet is {purse.address}")
    if state.status is not LeaseStatus.OPEN:
        raise BadInput(f"lease {lease.lease_id}: expected an open one, it is {state.status.name.lower()}")
    end = terms.start + state.end_offset
    if chain.head().timestamp >= end:
        raise Expired(f"lease {lease.lease_id}: ended at {end}")
    specs = task.job_specs(bundle.digest, bundle.entrypoint)
    privacy = privacy_of(chain, oracle, task, terms.offer.unit_id)
    parcel = make_parcel(bundle, privacy, renter_key(chain.domain, purse.account))
    drafts = draft_orders(specs, parcel.reference, task.limits(), end, _nonce())
    orders = [
        _signed(purse, order_of_lease(parcel.wrap(chain.domain, terms, order), of_lease), spec)
        for order, spec in zip(drafts, specs, strict=True)
    ]
    return _launch(chain, terms, of_lease, True, parcel, orders, privacy)


def _launch(
    chain: Chain,
    terms: Terms,
    of_lease: LeaseId,
    is_open: bool,
    parcel: Parcel,
    orders: Sequence[SignedOrder],
    privacy: Privacy,
) -> Launch:
    job_ids = tuple(job_id(chain.domain, item.order) for item in orders)
    return Launch(terms, of_lease, is_open, parcel, tuple(orders), job_ids, privacy)


def _signed(purse: Purse, order: JobOrder, spec: JobSpec) -> SignedOrder:
    return SignedOrder(order, sign(purse.chain.domain, order, purse.account), spec)


def _nonce() -> int:
    # Tells equal jobs apart, also those of two launches under one lease.
    return secrets.randbits(48)


def open_lease(purse: Purse, terms: Terms, offer_signature: bytes = b"") -> Receipt:
    """One transaction: escrow, lease and first order. BadInput says what is needed and what is there.

    The signature is the provider's, of an offer that is not listed.
    """
    chain, token = purse.chain, terms.offer.token
    amount = deposit_of(terms)
    purse.require(token, amount, "escrow of the lease")
    receipt = purse.pay(
        f"open {to_hex(lease_id(chain.domain, terms))}",
        token,
        chain.manifest.market,
        amount,
        lambda permit: chain.market.build_open_with_permit(terms, permit, amount, offer_signature),
        chain.market.build_open(terms, offer_signature),
    )
    event_of(receipt, LeaseOpened, chain.manifest)
    return receipt


def end_of(chain: Chain, terms: Terms) -> int:
    """Where a lease that is open ends now. BadInput where it is not."""
    of_lease = lease_id(chain.domain, terms)
    state = chain.market.lease_state(of_lease)
    if state.status is not LeaseStatus.OPEN:
        status = state.status.name.lower()
        raise BadInput(f"lease {to_hex(of_lease)}: expected an open one, it is {status}")
    return terms.start + state.end_offset


def move_end(purse: Purse, terms: Terms, end: int) -> Receipt:
    """Moves the end of a lease away and pays for it: anybody up to `terms.max_end`, its renter beyond."""
    chain, token, market = purse.chain, terms.offer.token, purse.chain.market
    of_lease = lease_id(chain.domain, terms)
    amount = max(0, deposit_of(terms, end) - market.lease_state(of_lease).deposit)
    purse.require(token, amount, "escrow of the longer lease")
    build = market.build_top_up if end <= terms.max_end else market.build_extend
    plain = build(terms, end)
    receipt = purse.pay(
        fresh_intent(f"move the end of {to_hex(of_lease)}"),
        token,
        chain.manifest.market,
        amount,
        lambda permit: market.build_multicall([market.build_use_permit(token, amount, permit), plain]),
        plain,
    )
    event_of(receipt, LeaseExtended, chain.manifest)
    return receipt


def accept_proof(purse: Purse, terms: Terms) -> Receipt:
    """Ends the window of the pending proof at the renter's word: it is settled. BadInput without one."""
    chain = purse.chain
    of_lease = lease_id(chain.domain, terms)
    state = chain.market.lease_state(of_lease)
    if not state.mature_offset:
        raise BadInput(f"lease {to_hex(of_lease)}: no proof is pending", code="no_proof")
    acceptance = Acceptance(of_lease, state.proof_hash)
    return purse.send(fresh_intent("accept"), chain.market.build_accept(terms, acceptance))


def send(purse: Purse, oracle: OracleClient, launch: Launch) -> Receipt | None:
    """Upload, open the lease unless it is open, hand over the orders; the opening's receipt.

    The first order goes before the money: whatever ends us after the opening, the lease has its job.
    """
    oracle.upload(launch.parcel.path, launch.parcel.digest)
    first, *rest = launch.orders
    oracle.post_order(launch.terms, first)
    receipt = None if launch.is_open else open_lease(purse, launch.terms, launch.offer_signature)
    for result in oracle.post_orders(launch.terms, rest) if rest else ():
        if result.refused is not None:
            raise BadInput(f"oracle: {result.refused.message}", code=result.refused.code)
    return receipt


def give_notice(purse: Purse, terms: Terms, reason: NoticeReason) -> Receipt:
    """Moves the end of a lease nearer, as its terms allow."""
    call = purse.chain.market.build_give_notice(terms, reason, ZERO_BYTES32)
    return purse.send(fresh_intent("notice"), call)
