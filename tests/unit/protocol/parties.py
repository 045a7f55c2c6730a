"""A lease between known parties: an order, a receipt, heartbeats, sound evidence of its first proof."""

from dataclasses import replace

from eth_account import Account

from protocol.accrual import ALWAYS
from protocol.digests import sha256
from protocol.evidence import Evidence, availability_root, jobs_root
from protocol.orders import job_id, lease_id
from protocol.signed import SignedHeartbeat, SignedOrder, SignedReceipt
from protocol.structs import (
    NO_ARTIFACT,
    NO_PROOF,
    ArtifactRef,
    CompletionProof,
    Heartbeat,
    JobClass,
    JobLimits,
    JobOrder,
    JobOutcome,
    JobReceipt,
    JobSpec,
    Offer,
    OfferKind,
    Terms,
)
from protocol.typed_data import Domain, Signer, digest, hash_struct, sign
from protocol.units import ZERO_DIGEST, Address, Digest, LeaseId, UnitId, address_of, pack_name

DOMAIN = Domain(31_337, address_of(b"\x11" * 20))
TOKEN = address_of(b"\x22" * 20)
START = 1_800_000_000
PROVIDER: Signer = Account.from_key(b"\x01" * 32)
WORKER: Signer = Account.from_key(b"\x02" * 32)
RENTER: Signer = Account.from_key(b"\x03" * 32)
STRANGER: Signer = Account.from_key(b"\x04" * 32)
BUNDLE = sha256(b"a bundle")
OUTPUT = sha256(b"an output")

OFFER = Offer(
    provider=Address(PROVIDER.address),
    unit_id=UnitId(b"\x33" * 32),
    gpu_class=pack_name("CPU"),
    gpu_count=1,
    token=TOKEN,
    price_per_hour=3_600_000,
    kind=OfferKind.RESERVED,
    weekly_hours=ALWAYS,
    min_seconds=60,
    max_seconds=7200,
    notice_seconds=30,
    bond=1000,
    valid_until=START + 1000,
    salt=1,
)
TERMS = Terms(
    offer=OFFER,
    renter=Address(RENTER.address),
    start=START,
    end=START + 3600,
    max_end=START + 3600,
    weekly_hours=ALWAYS,
    fee_bps=100,
    policy_hash=ZERO_DIGEST,
    first_order=ZERO_DIGEST,
    gang_id=ZERO_DIGEST,
    previous_lease_id=LeaseId(ZERO_DIGEST),
    salt=2,
)
LEASE_ID = lease_id(DOMAIN, TERMS)
SPEC = JobSpec(
    bundle_digest=BUNDLE,
    entrypoint="main.py",
    arguments=("--lr", "0.1"),
    data_root=ZERO_DIGEST,
    initial_state_root=ZERO_DIGEST,
    seed=7,
    steps=0,
    checkpoint_every=0,
    precision="fp32",
    job_class=JobClass.OPAQUE,
    tolerance_profile=ZERO_DIGEST,
    environment_digest=ZERO_DIGEST,
)
ORDER = JobOrder(
    lease_id=LEASE_ID,
    spec_digest=hash_struct(SPEC),
    bundle=ArtifactRef(BUNDLE, BUNDLE, 8),
    data=NO_ARTIFACT,
    limits=JobLimits(600, 1 << 30, 64, 1 << 20, 1 << 20),
    nonce=0,
    deadline=START + 3000,
)
RECEIPT = JobReceipt(
    lease_id=LEASE_ID,
    order_digest=job_id(DOMAIN, ORDER),
    spec_digest=ORDER.spec_digest,
    unit_id=OFFER.unit_id,
    attempt=1,
    input_digest=BUNDLE,
    output_digest=OUTPUT,
    trace_root=ZERO_DIGEST,
    leaf_count=0,
    environment_digest=sha256(b"environment"),
    outcome=JobOutcome.COMPLETED,
    exit_code=0,
    gpu_milliseconds=1000,
    energy_joules=5,
    started_at=START + 10,
    finished_at=START + 20,
)


def signed_order(order: JobOrder = ORDER, spec: JobSpec = SPEC, signer: Signer = RENTER) -> SignedOrder:
    return SignedOrder(order, sign(DOMAIN, order, signer), spec)


def signed_receipt(
    receipt: JobReceipt = RECEIPT, artifacts: dict[str, Digest] | None = None, signer: Signer = WORKER
) -> SignedReceipt:
    found = {"output": OUTPUT, "log": sha256(b"a log")} if artifacts is None else artifacts
    return SignedReceipt(receipt, sign(DOMAIN, receipt, signer), found)


def signed_heartbeat(seconds: int, signer: Signer = WORKER, **changes: object) -> SignedHeartbeat:
    """Of a block so many seconds after the lease's start."""
    beat = Heartbeat(LEASE_ID, OFFER.unit_id, 100 + seconds, b"\x44" * 32, START + seconds, True)
    changed = replace(beat, **changes)
    return SignedHeartbeat(changed, sign(DOMAIN, changed, signer))


def evidence_of(
    receipts: tuple[SignedReceipt, ...],
    heartbeats: tuple[SignedHeartbeat, ...],
    orders: tuple[SignedOrder, ...],
    proven_seconds: int,
    **changes: object,
) -> Evidence:
    """Evidence whose proof commits to exactly these receipts and heartbeats, `changes` aside."""
    proof = CompletionProof(
        lease_id=LEASE_ID,
        previous_proof=NO_PROOF,
        proven_seconds=proven_seconds,
        jobs_completed=len(receipts),
        leaf_count=len(receipts),
        jobs_root=jobs_root(digest(DOMAIN, item.receipt) for item in receipts),
        availability_root=availability_root(digest(DOMAIN, item.heartbeat) for item in heartbeats),
        energy_joules=5,
    )
    return Evidence(replace(proof, **changes), receipts, heartbeats, orders)


HEARTBEATS = tuple(signed_heartbeat(seconds) for seconds in range(30, 301, 30))
EVIDENCE = evidence_of((signed_receipt(),), HEARTBEATS, (signed_order(),), 300)
