"""Leases, orders and attempts for the tests of the oracle, all of one unit unless a test says otherwise."""

from dataclasses import replace

from protocol.accrual import ALWAYS
from protocol.ledger import LeaseEntry, OfferEntry, ProofEntry, UnitEntry
from protocol.logs import LogPosition
from protocol.orders import job_id, lease_id
from protocol.signed import SignedOrder
from protocol.structs import (
    NO_ARTIFACT,
    NO_PROOF,
    ArtifactRef,
    CompletionProof,
    JobClass,
    JobLimits,
    JobOrder,
    JobSpec,
    Offer,
    OfferKind,
    Terms,
    Unit,
)
from protocol.typed_data import Domain, hash_struct
from protocol.units import (
    ZERO_DIGEST,
    BlockNumber,
    Digest,
    LeaseId,
    OfferHash,
    ProofHash,
    UnitId,
    address_of,
    pack_name,
)

MONDAY = 1_767_571_200  # 2026-01-05 00:00 UTC
HOUR = 3600
PROVIDER, RENTER, WORKER, TOKEN = (address_of(bytes([n]) * 20) for n in (1, 2, 3, 4))
MARKET = address_of(bytes([9]) * 20)
DOMAIN = Domain(31337, MARKET)
UNIT_ID = UnitId(b"\x11" * 32)
BUNDLE = Digest(b"\x22" * 32)
GRACE_SECONDS = 600


def position(block: int = 10, index: int = 0) -> LogPosition:
    return LogPosition(BlockNumber(block), index, bytes([block % 256]) * 32, bytes([index % 256]) * 32)


def make_unit(unit_id: UnitId = UNIT_ID) -> UnitEntry:
    unit = Unit(PROVIDER, WORKER, bytes(32), bytes(32), pack_name("CPU"), 1, 0)
    return UnitEntry(unit_id, unit, (b"\x01" * 32,), (1 << 168) - 1, False, False, position(1))


def make_offer(price: int = 3600, salt: int = 0, gpu_class: str = "CPU", **changes: object) -> OfferEntry:
    offer = Offer(
        provider=PROVIDER,
        unit_id=UNIT_ID,
        gpu_class=pack_name(gpu_class),
        gpu_count=1,
        token=TOKEN,
        price_per_hour=price,
        kind=OfferKind.RESERVED,
        weekly_hours=ALWAYS,
        min_seconds=60,
        max_seconds=30 * 24 * HOUR,
        notice_seconds=60,
        bond=10**20,
        valid_until=MONDAY + 365 * 24 * HOUR,
        salt=salt,
    )
    offer = replace(offer, **changes)  # type: ignore[arg-type]
    return OfferEntry(OfferHash(hash_struct(offer)), offer, True, position(2))


def make_terms(
    unit_id: UnitId = UNIT_ID, hours: int = ALWAYS, salt: int = 0, seconds: int = 24 * HOUR
) -> Terms:
    return Terms(
        offer=make_offer(unit_id=unit_id).offer,
        renter=RENTER,
        start=MONDAY,
        end=MONDAY + seconds,
        max_end=MONDAY + seconds,
        weekly_hours=hours,
        fee_bps=100,
        policy_hash=ZERO_DIGEST,
        first_order=ZERO_DIGEST,
        gang_id=ZERO_DIGEST,
        previous_lease_id=LeaseId(bytes(32)),
        salt=salt,
    )


def make_lease(terms: Terms | None = None, opened_block: int = 10, **changes: object) -> LeaseEntry:
    terms = terms or make_terms()
    lease = LeaseEntry(
        lease_id=lease_id(DOMAIN, terms),
        terms=terms,
        opened_at=position(opened_block),
        renters=(terms.renter,),
        deposit_units=2**90,
        end=terms.end,
    )
    return replace(lease, **changes)  # type: ignore[arg-type]


def make_proof(lease: LeaseEntry) -> ProofEntry:
    proof = CompletionProof(lease.lease_id, NO_PROOF, 60, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 2**60)
    return ProofEntry(ProofHash(hash_struct(proof)), lease.lease_id, proof, position(20), MONDAY + 500, False)


def make_order(terms: Terms | None = None, nonce: int = 0, deadline: int = MONDAY + HOUR) -> SignedOrder:
    spec = JobSpec(
        bundle_digest=BUNDLE,
        entrypoint="train.py",
        arguments=("--lr", "0.1"),
        data_root=ZERO_DIGEST,
        initial_state_root=ZERO_DIGEST,
        seed=2**63 + nonce,
        steps=0,
        checkpoint_every=0,
        precision="fp32",
        job_class=JobClass.OPAQUE,
        tolerance_profile=ZERO_DIGEST,
        environment_digest=ZERO_DIGEST,
    )
    order = JobOrder(
        lease_id=lease_id(DOMAIN, terms or make_terms()),
        spec_digest=hash_struct(spec),
        bundle=ArtifactRef(BUNDLE, BUNDLE, 10),
        data=NO_ARTIFACT,
        limits=JobLimits(60, 1 << 30, 16, 1 << 20, 1 << 16),
        nonce=nonce,
        deadline=deadline,
    )
    return SignedOrder(order, b"\x1b" * 65, spec)


def job_of(signed: SignedOrder):
    return job_id(DOMAIN, signed.order)
