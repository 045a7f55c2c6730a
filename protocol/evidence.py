"""What a proof commits to, as one canonical JSON file for each proof: receipts, their orders, heartbeats."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from protocol import merkle
from protocol.accrual import covered_seconds
from protocol.codec import exact_keys
from protocol.difference import Difference
from protocol.errors import BadInput, LimitExceeded, RejectedError
from protocol.json_text import canonical_json, parse_json
from protocol.orders import check_order, job_id, lease_id
from protocol.signed import SignedHeartbeat, SignedOrder, SignedReceipt
from protocol.structs import CompletionProof, JobClass, JobSpec, Terms, from_json, to_json
from protocol.typed_data import Domain, check_signature, digest, hash_struct
from protocol.units import ZERO_BYTES32, Address, Digest, JobId, shorten, to_hex

__all__ = [
    "MAX_EVIDENCE_BYTES",
    "Evidence",
    "SignedHeartbeat",
    "SignedOrder",
    "SignedReceipt",
    "availability_root",
    "check",
    "decode",
    "encode",
    "jobs_root",
]

MAX_EVIDENCE_BYTES: Final = 64 << 20
_MAX_ITEMS: Final = 1 << 17
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Receipts and heartbeats in the order of their leaves; the order of each receipt, in any order."""

    proof: CompletionProof
    receipts: tuple[SignedReceipt, ...]
    heartbeats: tuple[SignedHeartbeat, ...]
    orders: tuple[SignedOrder, ...]


def encode(evidence: Evidence) -> bytes:
    """The one text of this evidence."""
    return canonical_json(
        {
            "proof": to_json(evidence.proof),
            "receipts": [item.to_json() for item in evidence.receipts],
            "heartbeats": [item.to_json() for item in evidence.heartbeats],
            "orders": [item.to_json() for item in evidence.orders],
        }
    )


def decode(text: bytes) -> Evidence:
    """Strict inverse of `encode`: BadInput also for another text of the same evidence. LimitExceeded."""
    if len(text) > MAX_EVIDENCE_BYTES:
        raise LimitExceeded(f"evidence: expected at most {MAX_EVIDENCE_BYTES} bytes, got {len(text)}")
    data = parse_json(text, "evidence")
    found = exact_keys(data, ("proof", "receipts", "heartbeats", "orders"), "evidence")
    evidence = Evidence(
        proof=from_json(CompletionProof, found["proof"]),
        receipts=_items(found["receipts"], "receipts", SignedReceipt.from_json),
        heartbeats=_items(found["heartbeats"], "heartbeats", SignedHeartbeat.from_json),
        orders=_items(found["orders"], "orders", SignedOrder.from_json),
    )
    if encode(evidence) != text:
        raise BadInput("evidence: expected canonical JSON, got another text of the same value")
    return evidence


def jobs_root(receipt_digests: Iterable[bytes]) -> Digest:
    """Merkle root over the EIP-712 digests of receipts."""
    return merkle.root([merkle.leaf_hash(item) for item in receipt_digests])


def availability_root(heartbeat_digests: Iterable[bytes]) -> Digest:
    """Merkle root over the EIP-712 digests of heartbeats."""
    return merkle.root([merkle.leaf_hash(item) for item in heartbeat_digests])


def check(
    evidence: Evidence,
    domain: Domain,
    worker: Address,
    terms: Terms,
    previous: CompletionProof | None = None,
    renters: Sequence[Address] | None = None,
) -> list[Difference]:
    """All that is wrong with the evidence of a lease with these terms and this worker; none: it is sound.

    `renters` are all whom the lease has had; None: the one of the terms.
    `previous` is the lease's proof before, if any: without it the seconds of a later proof stay unchecked.
    """
    found = _Findings(evidence, domain, worker, terms, renters)
    return [*found.proof(), *found.orders(), *found.receipts(), *found.heartbeats(), *found.seconds(previous)]


@dataclass(frozen=True, slots=True)
class _Findings:
    evidence: Evidence
    domain: Domain
    worker: Address
    terms: Terms
    renters: Sequence[Address] | None

    def proof(self) -> Iterator[Difference]:
        proof, receipts, heartbeats = self.evidence.proof, self.evidence.receipts, self.evidence.heartbeats
        subject = f"proof {to_hex(hash_struct(proof))}"
        yield from _compare("proof_lease", subject, lease_id(self.domain, self.terms), proof.lease_id)
        receipt_digests = [digest(self.domain, item.receipt) for item in receipts]
        yield from _compare("jobs_root", subject, jobs_root(receipt_digests), proof.jobs_root)
        yield from _compare("jobs_completed", subject, len(receipts), proof.jobs_completed)
        yield from _compare("leaf_count", subject, len(receipts), proof.leaf_count)
        heartbeat_digests = [digest(self.domain, item.heartbeat) for item in heartbeats]
        root = availability_root(heartbeat_digests)
        yield from _compare("availability_root", subject, root, proof.availability_root)

    def orders(self) -> Iterator[Difference]:
        wanted = {item.receipt.order_digest for item in self.evidence.receipts}
        seen: set[JobId] = set()
        for item in self.evidence.orders:
            identity = job_id(self.domain, item.order)
            subject = f"order {to_hex(identity)}"
            if identity in seen or identity not in wanted:
                yield Difference("order_superfluous", subject, "one for each receipt", "another")
            seen.add(identity)
            yield from _refused(
                "order_invalid",
                subject,
                lambda item=item: check_order(
                    self.domain, self.terms, item.order, item.signature, item.spec, self.renters
                ),
            )

    def receipts(self) -> Iterator[Difference]:
        orders = {job_id(self.domain, item.order): item for item in self.evidence.orders}
        seen: set[JobId] = set()
        for item in self.evidence.receipts:
            subject = f"receipt of job {to_hex(item.receipt.order_digest)}"
            if item.receipt.order_digest in seen:
                yield Difference("receipt_duplicate", subject, "one", "another")
            seen.add(item.receipt.order_digest)
            order = orders.get(item.receipt.order_digest)
            if order is None:
                yield Difference("order_missing", subject, "its order", "none")
            else:
                yield from self._receipt_of_order(subject, item, order)
            yield from self._receipt(subject, item)

    def _receipt(self, subject: str, item: SignedReceipt) -> Iterator[Difference]:
        receipt = item.receipt
        yield from _refused(
            "receipt_signature",
            subject,
            lambda: check_signature(self.domain, receipt, item.signature, self.worker),
        )
        yield from _compare("receipt_lease", subject, lease_id(self.domain, self.terms), receipt.lease_id)
        yield from _compare("receipt_unit", subject, self.terms.offer.unit_id, receipt.unit_id)
        output = item.artifacts.get("output", ZERO_BYTES32)
        yield from _compare("receipt_output", subject, receipt.output_digest, output)
        if receipt.started_at > receipt.finished_at:
            yield Difference(
                "receipt_times", subject, f"at least {receipt.started_at}", str(receipt.finished_at)
            )

    def _receipt_of_order(
        self, subject: str, item: SignedReceipt, order: SignedOrder
    ) -> Iterator[Difference]:
        receipt, spec = item.receipt, order.spec
        yield from _compare("receipt_spec", subject, order.order.spec_digest, receipt.spec_digest)
        yield from _compare("receipt_input", subject, spec.bundle_digest, receipt.input_digest)
        yield from _trace_shape(subject, item, spec)

    def heartbeats(self) -> Iterator[Difference]:
        lease, last = lease_id(self.domain, self.terms), 0
        for index, item in enumerate(self.evidence.heartbeats):
            subject, beat = f"heartbeat {index}", item.heartbeat
            yield from _refused(
                "heartbeat_signature",
                subject,
                lambda item=item: check_signature(self.domain, item.heartbeat, item.signature, self.worker),
            )
            yield from _compare("heartbeat_lease", subject, lease, beat.lease_id)
            yield from _compare("heartbeat_unit", subject, self.terms.offer.unit_id, beat.unit_id)
            if beat.block_timestamp < last:
                yield Difference("heartbeat_order", subject, f"at least {last}", str(beat.block_timestamp))
            last = beat.block_timestamp

    def seconds(self, previous: CompletionProof | None) -> Iterator[Difference]:
        proof, subject = self.evidence.proof, "proven seconds"
        earlier = 0
        if previous is not None:
            yield from _compare("previous_proof", subject, hash_struct(previous), proof.previous_proof)
            earlier = previous.proven_seconds
        elif proof.previous_proof != ZERO_BYTES32:
            return
        beats = (item.heartbeat for item in self.evidence.heartbeats)
        times = [beat.block_timestamp for beat in beats if beat.at_disposal]
        hours, start, end = self.terms.weekly_hours, self.terms.start, self.terms.max_end
        limit = earlier + covered_seconds(times, hours, start, end)
        # A dispute may have cut the claim before: a later one may well be less.
        if proof.proven_seconds > limit:
            yield Difference("proven_seconds", subject, f"at most {limit}", str(proof.proven_seconds))


def _trace_shape(subject: str, item: SignedReceipt, spec: JobSpec) -> Iterator[Difference]:
    """A trace has a root, leaves and its artifact, or none of them; only TRACED jobs have one."""
    receipt = item.receipt
    has_root, has_leaves = receipt.trace_root != ZERO_BYTES32, receipt.leaf_count > 0
    has_file = "trace" in item.artifacts
    if len({has_root, has_leaves, has_file}) > 1 or (has_root and spec.job_class is not JobClass.TRACED):
        actual = f"root {has_root}, leaves {receipt.leaf_count}, file {has_file}"
        yield Difference("receipt_trace", subject, "a whole trace of a TRACED job, or none", actual)


def _compare(code: str, subject: str, expected: object, actual: object) -> Iterator[Difference]:
    if expected != actual:
        yield Difference(code, subject, _text(expected), _text(actual))


def _refused(code: str, subject: str, check: Callable[[], object]) -> Iterator[Difference]:
    try:
        check()
    except RejectedError as error:
        yield Difference(code, subject, "valid", error.message)


def _text(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)


def _items(data: object, subject: str, read: Callable[[object], T]) -> tuple[T, ...]:
    if not isinstance(data, list):
        raise BadInput(f"evidence.{subject}: expected a list, got {shorten(data)}")
    items = cast(Sequence[Any], data)
    if len(items) > _MAX_ITEMS:
        raise LimitExceeded(f"evidence.{subject}: expected at most {_MAX_ITEMS} items, got {len(items)}")
    return tuple(read(item) for item in items)
