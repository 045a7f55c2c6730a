"""A history with everything in it that an auditor looks at, made on a real chain in a few seconds.

Provider A serves a lease with two proofs (a TRACED job and two OPAQUE ones), which its renter ends by notice;
it is settled, paid and partly unserved. Provider B has an offer taken back, stake that unbonds, and a lease
that still runs. On its signed offer for another unit a lease is paid in native coin and topped up by a
stranger; its worker answers a posted order late, and its proof is disputed. The quorum has three members,
who have attested that unit.
"""

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from eth_account.signers.local import LocalAccount

from protocol.accrual import ALWAYS, covered_seconds
from protocol.calls import Call
from protocol.chain import read_block
from protocol.contracts import Court
from protocol.digests import sha256, state_root, tensor_digest
from protocol.evidence import Evidence, SignedHeartbeat, availability_root, encode, jobs_root
from protocol.keccak import keccak256
from protocol.orders import first_order_hash, job_id, lease_id
from protocol.signed import SignedOrder, SignedReceipt
from protocol.structs import (
    NO_ARTIFACT,
    NO_PROOF,
    ArtifactRef,
    CompletionProof,
    GpuAttestation,
    Heartbeat,
    JobClass,
    JobLimits,
    JobOrder,
    JobOutcome,
    JobReceipt,
    JobSpec,
    NoticeReason,
    Offer,
    OfferKind,
    QuorumSignature,
    Terms,
    Unit,
)
from protocol.trace import TraceLeaf, encode_leaves, trace_root
from protocol.typed_data import Domain, digest, hash_struct, sign
from protocol.units import (
    ZERO_BYTES32,
    ZERO_DIGEST,
    Address,
    Digest,
    JobId,
    LeaseId,
    ProofHash,
    UnitId,
    address_bytes,
    address_of,
    pack_name,
    to_hex,
)
from tests.anvil import Anvil, Deployment, account

GPU_UNITS = 10**18
USD_UNITS = 10**6
HOUR_PRICE = 3_600_000  # one base unit of dUSD is 1/1000 of what a second costs
HEARTBEAT_PAUSE_SECONDS = 25
CHECKPOINTS = 3
NATIVE_SALT = 78


def address(key: LocalAccount) -> Address:
    return address_of(address_bytes(key.address))


class Cast:
    """Who is in the story."""

    provider_a, worker_a, renter = account(1), account(2), account(3)
    provider_b, worker_b, renter_b = account(4), account(5), account(6)
    stranger = account(7)
    members = (account(20), account(21), account(22))


class Store:
    """An oracle's artifact folder, written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("sha256", "evidence"):
            (root / name).mkdir(parents=True)

    def put(self, data: bytes) -> Digest:
        found = sha256(data)
        self.path(found).parent.mkdir(exist_ok=True)
        self.path(found).write_bytes(data)
        return found

    def path(self, found: bytes) -> Path:
        return self.root / "sha256" / found.hex()[:2] / found.hex()

    def evidence_path(self, proof_hash: bytes) -> Path:
        return self.root / "evidence" / f"{to_hex(proof_hash)}.json"


@dataclass(slots=True)
class Proof:
    """A proof of the story, its evidence, and who may sign in it."""

    evidence: Evidence
    proof_hash: ProofHash


@dataclass(slots=True)
class Story:
    """What was made, for tests to tamper with."""

    deployment: Deployment
    store: Store
    terms: Terms
    lease_id: LeaseId
    open_lease_id: LeaseId
    native_lease_id: LeaseId
    unit_id: UnitId
    offer_hash: bytes
    proofs: list[Proof] = field(default_factory=list[Proof])

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.manifest.chain_id, self.deployment.manifest.market)

    def rewrite(self, index: int, change: Callable[[Evidence], Evidence]) -> None:
        """Replace the evidence of a proof, under the same name."""
        proof = self.proofs[index]
        self.store.evidence_path(proof.proof_hash).write_bytes(encode(change(proof.evidence)))


def copy_of(store: Store, target: Path) -> Store:
    shutil.copytree(store.root, target)
    copied = object.__new__(Store)
    copied.root = target
    return copied


class Teller:
    """Makes the story happen, one transaction after the other."""

    def __init__(self, deployment: Deployment, store: Store) -> None:
        self.deployment = deployment
        self.anvil: Anvil = deployment.anvil
        self.store = store
        self.domain = Domain(deployment.manifest.chain_id, deployment.manifest.market)
        self.beats: list[SignedHeartbeat] = []
        self.timestamps: list[int] = []

    def tell(self) -> Story:
        unit_a = self.provider(Cast.provider_a, Cast.worker_a, 100, "a")
        unit_b = self.provider(Cast.provider_b, Cast.worker_b, 80, "b")
        offer_a = self.offer(Cast.provider_a, unit_a, bond=10 * GPU_UNITS)
        offer_b = self.offer(Cast.provider_b, unit_b, bond=5 * GPU_UNITS)
        self.fund(Cast.renter, 1000)
        self.fund(Cast.renter_b, 1000)
        terms, first = self.lease(Cast.renter, offer_a, 1800)
        other, _ = self.lease(Cast.renter_b, offer_b, 7200)
        story = Story(
            deployment=self.deployment,
            store=self.store,
            terms=terms,
            lease_id=lease_id(self.domain, terms),
            open_lease_id=lease_id(self.domain, other),
            native_lease_id=lease_id(self.domain, self.native_lease()),
            unit_id=unit_a,
            offer_hash=hash_struct(offer_a),
        )
        self.serve(terms, 300)
        self.prove(story, [self.traced_receipt(first), self.opaque_receipt(terms, 1)], energy=40)
        self.serve(terms, 100)
        market = self.deployment.market
        self.send(Cast.stranger, market.build_settle(terms))
        self.send(Cast.stranger, market.build_withdraw_fees(self.token))
        self.send(Cast.renter, market.build_give_notice(terms, NoticeReason.WORK_DONE, ZERO_BYTES32))
        # The rest of the lease is only partly served, so that the bond owes something.
        self.serve(terms, 100)
        self.prove(story, [self.opaque_receipt(terms, 2)], energy=55)
        self.anvil.advance(700)
        self.send(Cast.stranger, market.build_close(terms))
        self.send(Cast.provider_a, market.build_withdraw(self.token, address(Cast.provider_a)))
        registry = self.deployment.registry
        self.send(Cast.provider_b, market.build_unlist(hash_struct(offer_b)))
        self.send(Cast.provider_b, registry.build_start_unbonding(20 * GPU_UNITS))
        self.send(Cast.provider_b, market.build_cancel_salt(NATIVE_SALT))
        self.dispute(story)
        self.anvil.mine()
        return story

    def open_quorum(self) -> None:
        """Three members, bonded by a stranger, and active."""
        quorum, bond = self.deployment.quorum, self.deployment.manifest.parameters.member_bond
        signers = [address(key) for key in Cast.members]
        self.anvil.send_all(
            self.deployment.owner, [(quorum.build_add_member(name, name), b"") for name in signers]
        )
        token = self.deployment.stake_token
        self.anvil.send_all(
            Cast.stranger,
            [
                (token.build_mint(address(Cast.stranger), 4 * bond), b""),
                (token.build_approve(quorum.address, 3 * bond), b""),
                *((quorum.build_deposit_bond(member, bond), b"") for member in range(3)),
            ],
        )
        self.anvil.advance(2)
        assert quorum.active_members() == 0b111

    def attest(self, unit_id: UnitId, gpu_ids: list[bytes]) -> None:
        """Two of three sign that the unit's GPUs are real."""
        quorum, block = self.deployment.quorum, read_block(self.anvil.web3, "latest")
        unit, _ = self.deployment.registry.unit_of(unit_id)
        attestation = GpuAttestation(
            unit_id=unit_id,
            provider=unit.provider,
            node_id=unit.node_id,
            gpu_ids=tuple(gpu_ids),
            gpu_class=unit.gpu_class,
            vram_mib=unit.vram_mib,
            measured_gops=12_345,
            seed_block=block.number,
            seed_block_hash=block.hash,
            report_digest=Digest(b"\x66" * 32),
            expires_at=self.anvil.now() + 86_400,
        )
        domain = Domain(self.domain.chain_id, quorum.address)
        signatures = [
            QuorumSignature(member, sign(domain, attestation, Cast.members[member])) for member in (0, 2)
        ]
        self.send(Cast.stranger, quorum.build_record_attestation(attestation, signatures))

    def native_lease(self) -> Terms:
        """On a signed offer, paid in native coin, topped up by a stranger, its order answered late."""
        self.open_quorum()
        unit_id = self.provider(Cast.provider_b, Cast.worker_b, 40, "c")
        self.attest(unit_id, [keccak256(b"gpu c")])
        market, token = self.deployment.market, self.deployment.wrapped_native.address
        offer = replace(
            self.draft(Cast.provider_b, unit_id, bond=5 * GPU_UNITS), token=token, salt=NATIVE_SALT
        )
        terms, _ = self.draft_lease(Cast.renter_b, offer, 1800, max_seconds=3600)
        signature = sign(self.domain, offer, Cast.provider_b)
        self.send(Cast.renter_b, market.build_open(terms, signature, native_units=1800 * HOUR_PRICE // 3600))
        added = 600 * HOUR_PRICE // 3600
        self.send(Cast.stranger, market.build_top_up(terms, terms.end + 600, native_units=added))
        order = JobId(b"\x77" * 32)
        self.send(Cast.renter_b, market.build_post_order(terms, order))
        self.anvil.advance(self.deployment.manifest.parameters.answer_seconds + 30)
        self.send(Cast.worker_b, market.build_answer_order(terms, order, True))
        self.native_terms = terms
        return terms

    def dispute(self, story: Story) -> None:
        """A stranger challenges the seconds of the native lease's proof, and the dispute is open."""
        manifest, bond = self.deployment.manifest, self.deployment.manifest.parameters.challenge_bond
        court, token = Court(self.anvil.web3, manifest.court), self.deployment.stake_token
        self.anvil.send_all(
            Cast.stranger,
            [
                (token.build_approve(manifest.court, 3 * bond), b""),
                (court.build_deposit(3 * bond), b""),
            ],
        )
        proof = CompletionProof(
            lease_id=story.native_lease_id,
            previous_proof=NO_PROOF,
            proven_seconds=0,
            jobs_completed=0,
            leaf_count=0,
            jobs_root=ZERO_DIGEST,
            availability_root=ZERO_DIGEST,
            energy_joules=0,
        )
        evidence = Evidence(proof, (), (), ())
        self.store.evidence_path(ProofHash(hash_struct(proof))).write_bytes(encode(evidence))
        self.send(Cast.worker_b, self.deployment.market.build_post_proof(self.native_terms, proof))
        self.send(Cast.stranger, court.build_challenge_availability(self.native_terms, proof))

    @property
    def token(self) -> Address:
        return self.deployment.payment_token.address

    def send(self, key: LocalAccount, call: Call) -> None:
        self.anvil.send(key, call)

    def provider(self, key: LocalAccount, worker: LocalAccount, stake: int, node: str) -> UnitId:
        registry, token = self.deployment.registry, self.deployment.stake_token
        amount = stake * GPU_UNITS
        gpu_ids = [keccak256(f"gpu {node}".encode())]
        unit = Unit(
            provider=address(key),
            worker=address(worker),
            encryption_key=ZERO_BYTES32,
            node_id=keccak256(node.encode()),
            gpu_class=pack_name("CPU"),
            gpu_count=1,
            vram_mib=1024,
        )
        self.anvil.send_all(
            key,
            [
                (token.build_mint(address(key), amount), b""),
                (token.build_approve(registry.address, amount), b""),
                (registry.build_stake(amount), b""),
                (registry.build_register_unit(unit, gpu_ids), b""),
            ],
        )
        return registry.unit_of_gpu(gpu_ids[0])

    def offer(self, key: LocalAccount, unit_id: UnitId, bond: int) -> Offer:
        offer = self.draft(key, unit_id, bond)
        self.send(key, self.deployment.market.build_list(offer))
        return offer

    def draft(self, key: LocalAccount, unit_id: UnitId, bond: int) -> Offer:
        return Offer(
            provider=address(key),
            unit_id=unit_id,
            gpu_class=pack_name("CPU"),
            gpu_count=1,
            token=self.token,
            price_per_hour=HOUR_PRICE,
            kind=OfferKind.RESERVED,
            weekly_hours=ALWAYS,
            min_seconds=60,
            max_seconds=86_400,
            notice_seconds=200,
            bond=bond,
            valid_until=self.anvil.now() + 86_400,
            salt=7,
        )

    def fund(self, key: LocalAccount, dollars: int) -> None:
        token, market = self.deployment.payment_token, self.deployment.market
        self.anvil.send_all(
            key,
            [
                (token.build_mint(address(key), dollars * USD_UNITS), b""),
                (token.build_approve(market.address, dollars * USD_UNITS), b""),
            ],
        )

    def lease(self, key: LocalAccount, offer: Offer, seconds: int) -> tuple[Terms, SignedOrder]:
        terms, order = self.draft_lease(key, offer, seconds, seconds)
        self.send(key, self.deployment.market.build_open(terms))
        return terms, order

    def draft_lease(
        self, key: LocalAccount, offer: Offer, seconds: int, max_seconds: int
    ) -> tuple[Terms, SignedOrder]:
        start = self.anvil.now() + 10
        spec = self.spec(JobClass.TRACED, ())
        draft = self.order(LeaseId(ZERO_BYTES32), spec, start + seconds, 0)
        terms = Terms(
            offer=offer,
            renter=address(key),
            start=start,
            end=start + seconds,
            max_end=start + max_seconds,
            weekly_hours=ALWAYS,
            fee_bps=self.deployment.manifest.parameters.fee_bps,
            policy_hash=ZERO_DIGEST,
            first_order=first_order_hash(draft),
            gang_id=ZERO_DIGEST,
            previous_lease_id=LeaseId(ZERO_BYTES32),
            salt=11,
        )
        return terms, SignedOrder(replace(draft, lease_id=lease_id(self.domain, terms)), None, spec)

    def spec(self, job_class: JobClass, arguments: tuple[str, ...]) -> JobSpec:
        is_traced = job_class is JobClass.TRACED
        return JobSpec(
            bundle_digest=self.store.put(b"the bundle's bytes"),
            entrypoint="train:Model" if is_traced else "sweep.py",
            arguments=arguments,
            data_root=ZERO_DIGEST,
            initial_state_root=ZERO_DIGEST,
            seed=7,
            steps=CHECKPOINTS - 1 if is_traced else 0,
            checkpoint_every=1 if is_traced else 0,
            precision="fp32",
            job_class=job_class,
            tolerance_profile=ZERO_DIGEST,
            environment_digest=ZERO_DIGEST,
        )

    def order(self, of_lease: LeaseId, spec: JobSpec, deadline: int, nonce: int) -> JobOrder:
        size = len(b"the bundle's bytes")
        return JobOrder(
            lease_id=of_lease,
            spec_digest=hash_struct(spec),
            bundle=ArtifactRef(spec.bundle_digest, spec.bundle_digest, size, ()),
            data=NO_ARTIFACT,
            limits=JobLimits(60, 1 << 30, 8, 1 << 20, 1 << 20),
            nonce=nonce,
            deadline=deadline,
        )

    def serve(self, terms: Terms, seconds: int) -> None:
        """Heartbeats over real blocks, close enough to cover every second."""
        until = max(self.anvil.now(), terms.start) + seconds
        while self.anvil.now() < until:
            self.anvil.advance(HEARTBEAT_PAUSE_SECONDS)
            block = read_block(self.anvil.web3, "latest")
            beat = Heartbeat(
                lease_id=lease_id(self.domain, terms),
                unit_id=terms.offer.unit_id,
                block_number=block.number,
                block_hash=block.hash,
                block_timestamp=block.timestamp,
                at_disposal=True,
            )
            self.timestamps.append(block.timestamp)
            self.beats.append(SignedHeartbeat(beat, sign(self.domain, beat, Cast.worker_a)))

    def opaque_receipt(self, terms: Terms, number: int) -> tuple[SignedReceipt, SignedOrder]:
        spec = self.spec(JobClass.OPAQUE, (str(number),))
        order = self.order(lease_id(self.domain, terms), spec, terms.end, number)
        signed = SignedOrder(order, sign(self.domain, order, Cast.renter), spec)
        return self.receipt(signed, {"output": self.store.put(b"output %d" % number)}, ZERO_DIGEST, 0), signed

    def traced_receipt(self, order: SignedOrder) -> tuple[SignedReceipt, SignedOrder]:
        leaves: list[TraceLeaf] = []
        artifacts = {"output": self.store.put(b"trained"), "log": self.store.put(b"a log")}
        for index in range(CHECKPOINTS):
            root, data = checkpoint(index)
            artifacts[f"checkpoint/{index}"] = self.store.put(data)
            leaves.append(
                TraceLeaf(
                    job_spec_digest=order.order.spec_digest,
                    index=index,
                    step=index,
                    state_root=root,
                    batch_root=ZERO_DIGEST,
                    metrics_digest=ZERO_DIGEST,
                    previous=leaves[-1].hash() if leaves else ZERO_DIGEST,
                )
            )
        artifacts["trace"] = self.store.put(encode_leaves(leaves))
        return self.receipt(order, artifacts, trace_root(leaves), len(leaves)), order

    def receipt(
        self, order: SignedOrder, artifacts: dict[str, Digest], root: Digest, leaf_count: int
    ) -> SignedReceipt:
        now = self.anvil.now()
        receipt = JobReceipt(
            lease_id=order.order.lease_id,
            order_digest=job_id(self.domain, order.order),
            spec_digest=order.order.spec_digest,
            unit_id=self.beats[-1].heartbeat.unit_id,
            attempt=1,
            input_digest=order.spec.bundle_digest,
            output_digest=artifacts["output"],
            trace_root=root,
            leaf_count=leaf_count,
            environment_digest=ZERO_DIGEST,
            outcome=JobOutcome.COMPLETED,
            exit_code=0,
            gpu_milliseconds=1000,
            energy_joules=5,
            started_at=now - 20,
            finished_at=now - 10,
        )
        return SignedReceipt(receipt, sign(self.domain, receipt, Cast.worker_a), artifacts)

    def prove(self, story: Story, work: list[tuple[SignedReceipt, SignedOrder]], energy: int) -> None:
        """Post a proof of all heartbeats and receipts since the last one, with its evidence in the store."""
        terms = story.terms
        state = self.deployment.market.lease_state(story.lease_id)
        end = min(terms.start + state.end_offset, self.anvil.now())
        receipts = tuple(receipt for receipt, _ in work)
        proof = CompletionProof(
            lease_id=story.lease_id,
            previous_proof=story.proofs[-1].proof_hash if story.proofs else NO_PROOF,
            proven_seconds=covered_seconds(self.timestamps, ALWAYS, terms.start, end),
            jobs_completed=len(receipts),
            leaf_count=len(receipts),
            jobs_root=jobs_root([digest(self.domain, item.receipt) for item in receipts]),
            availability_root=availability_root([digest(self.domain, item.heartbeat) for item in self.beats]),
            energy_joules=energy,
        )
        evidence = Evidence(proof, receipts, tuple(self.beats), tuple(order for _, order in work))
        proof_hash = ProofHash(hash_struct(proof))
        self.store.evidence_path(proof_hash).write_bytes(encode(evidence))
        self.send(Cast.worker_a, self.deployment.market.build_post_proof(terms, proof))
        self.anvil.advance(self.deployment.manifest.parameters.challenge_seconds + 1)
        story.proofs.append(Proof(evidence, proof_hash))
        self.beats = []


def checkpoint(index: int) -> tuple[Digest, bytes]:
    """A state of two tensors, its root and its safetensors file, written without torch."""
    tensors = {
        "model/weight": ("F32", "float32", (2, 3), struct.pack("<6f", *range(index, index + 6))),
        "rng/torch": ("U8", "uint8", (8,), hashlib.sha256(bytes([index])).digest()[:8]),
    }
    header: dict[str, object] = {}
    body = b""
    for name, (code, _, shape, data) in tensors.items():
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(header).encode()
    root = state_root(
        {name: tensor_digest(name, dtype, shape, data) for name, (_, dtype, shape, data) in tensors.items()}
    )
    return root, struct.pack("<Q", len(head)) + head + body
