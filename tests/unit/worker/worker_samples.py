"""Values of the protocol for the worker's unit tests."""

from dataclasses import replace
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol import link
from protocol.accrual import ALWAYS
from protocol.chain import Block
from protocol.keccak import keccak256
from protocol.orders import job_id, lease_id
from protocol.signed import SignedHeartbeat, SignedOrder, SignedReceipt
from protocol.structs import (
    NO_ARTIFACT,
    ArtifactRef,
    Heartbeat,
    JobClass,
    JobLimits,
    JobOrder,
    JobOutcome,
    JobReceipt,
    JobSpec,
    LeaseState,
    LeaseStatus,
    Offer,
    OfferKind,
    Terms,
)
from protocol.typed_data import Domain, hash_struct, sign
from protocol.units import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    BlockNumber,
    Digest,
    JobId,
    LeaseId,
    UnitId,
    UnixTime,
    pack_name,
    parse_address,
)
from worker.leases import LeaseView

DOMAIN = Domain(31337, parse_address("0x" + "1" * 40))
WORKER: LocalAccount = Account.from_key(keccak256(b"worker"))
RENTER: LocalAccount = Account.from_key(keccak256(b"renter"))
UNIT = UnitId(b"\x07" * 32)
START, END, GRACE = 1_000_000, 1_000_600, 100
LIMITS = JobLimits(60, 1 << 30, 16, 1 << 20, 1 << 16)


def make_terms(**changes: Any) -> Terms:
    offer = Offer(
        provider=ZERO_ADDRESS,
        unit_id=UNIT,
        gpu_class=pack_name("CPU"),
        gpu_count=1,
        token=ZERO_ADDRESS,
        price_per_hour=1,
        kind=OfferKind.RESERVED,
        weekly_hours=ALWAYS,
        min_seconds=1,
        max_seconds=10_000,
        notice_seconds=1,
        bond=0,
        valid_until=END,
        salt=0,
    )
    terms = Terms(
        offer=offer,
        renter=parse_address(RENTER.address),
        start=START,
        end=END,
        max_end=END,
        weekly_hours=ALWAYS,
        fee_bps=0,
        policy_hash=ZERO_DIGEST,
        first_order=ZERO_DIGEST,
        gang_id=ZERO_DIGEST,
        previous_lease_id=LeaseId(bytes(32)),
        salt=0,
    )
    return replace(terms, **changes)


def make_spec(**changes: Any) -> JobSpec:
    spec = JobSpec(
        bundle_digest=Digest(b"\x01" * 32),
        entrypoint="main.py",
        arguments=(),
        data_root=ZERO_DIGEST,
        initial_state_root=ZERO_DIGEST,
        seed=0,
        steps=10,
        checkpoint_every=5,
        precision="fp32",
        job_class=JobClass.OPAQUE,
        tolerance_profile=ZERO_DIGEST,
        environment_digest=ZERO_DIGEST,
    )
    return replace(spec, **changes)


def make_order(nonce: int = 0) -> SignedOrder:
    spec = make_spec()
    order = JobOrder(
        lease_id=lease_id(DOMAIN, make_terms()),
        spec_digest=hash_struct(spec),
        bundle=ArtifactRef(spec.bundle_digest, spec.bundle_digest, 10),
        data=NO_ARTIFACT,
        limits=LIMITS,
        nonce=nonce,
        deadline=END,
    )
    return SignedOrder(order, sign(DOMAIN, order, RENTER), spec)


def make_assignment(
    nonce: int = 0, attempt: int = 1, token: int = 1, cancel: bool = False
) -> link.Assignment:
    order = make_order(nonce)
    return link.Assignment.of(job_id(DOMAIN, order.order), attempt, token, make_terms(), order, cancel=cancel)


def make_receipt(nonce: int = 0, attempt: int = 1) -> SignedReceipt:
    order = make_order(nonce)
    receipt = JobReceipt(
        lease_id=order.order.lease_id,
        order_digest=JobId(job_id(DOMAIN, order.order)),
        spec_digest=order.order.spec_digest,
        unit_id=UNIT,
        attempt=attempt,
        input_digest=order.spec.bundle_digest,
        output_digest=ZERO_DIGEST,
        trace_root=ZERO_DIGEST,
        leaf_count=0,
        environment_digest=ZERO_DIGEST,
        outcome=JobOutcome.COMPLETED,
        exit_code=0,
        gpu_milliseconds=1,
        energy_joules=0,
        started_at=START,
        finished_at=START + 1,
    )
    return SignedReceipt(receipt, sign(DOMAIN, receipt, WORKER), {})


def make_heartbeat(lease: LeaseId, number: int, timestamp: int) -> SignedHeartbeat:
    beat = Heartbeat(lease, UNIT, number, number.to_bytes(32), timestamp, at_disposal=True)
    return SignedHeartbeat(beat, sign(DOMAIN, beat, WORKER))


def make_view(now: int, terms: Terms | None = None, **state: Any) -> LeaseView:
    shown = terms or make_terms()
    values: dict[str, Any] = {"status": LeaseStatus.OPEN, "end_offset": shown.end - shown.start, **state}
    block = Block(BlockNumber(now - START), now.to_bytes(32), UnixTime(now))
    return LeaseView(lease_id(DOMAIN, shown), shown, LeaseState(**values), block, GRACE, (shown.renter,))
