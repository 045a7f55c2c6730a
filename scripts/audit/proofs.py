"""Proofs: their evidence, its signatures and roots, heartbeats on the chain, seconds and energy claimed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from web3 import Web3

from protocol import evidence as evidences
from protocol.accrual import covered_seconds
from protocol.chain import Block
from protocol.difference import Difference
from protocol.errors import ProtocolError
from protocol.evidence import Evidence
from protocol.structs import NO_PROOF, CompletionProof, Heartbeat
from protocol.typed_data import Domain
from protocol.units import LeaseId, to_hex
from scripts.audit.history import History, PostedProof
from scripts.audit.node import read_blocks
from scripts.audit.report import Section
from scripts.audit.sources import Source


@dataclass(frozen=True, slots=True)
class ProvenWork:
    """A proof and the evidence found for it."""

    posted: PostedProof
    evidence: Evidence

    @property
    def subject(self) -> str:
        return f"proof {to_hex(self.posted.entry.proof_hash)}"


def read_evidence(history: History, source: Source, section: Section) -> tuple[ProvenWork, ...]:
    """The evidence of every proof; what is missing or malformed is reported and left out."""
    found: list[ProvenWork] = []
    for posted in history.proofs:
        subject = f"proof {to_hex(posted.entry.proof_hash)}"
        text = source.evidence(posted.entry.proof_hash)
        if text is None:
            section.fail("evidence_missing", subject, "its evidence", "none")
            continue
        try:
            evidence = evidences.decode(text)
        except ProtocolError as error:
            section.fail_with("evidence_malformed", subject, error)
            continue
        section.compare("evidence_proof", subject, posted.entry.proof, evidence.proof)
        found.append(ProvenWork(posted, evidence))
    return tuple(found)


def check_evidence(history: History, works: Sequence[ProvenWork], section: Section) -> None:
    """Roots, signatures of workers and renters, and what receipts, orders and specs say of each other."""
    domain = history.state.parameters.domain
    proofs = {posted.entry.proof_hash: posted.entry.proof for posted in history.proofs}
    for work in works:
        previous = proofs.get(work.posted.entry.proof.previous_proof)
        differences = _of_chain(work, domain, previous)
        evidence = work.evidence
        # One comparison each for a signature, a lease and a unit; roots and counts beside them.
        compared = 4 + 3 * len(evidence.heartbeats) + 6 * len(evidence.receipts) + len(evidence.orders)
        section.extend(differences, compared)


def _of_chain(work: ProvenWork, domain: Domain, previous: CompletionProof | None) -> Iterator[Difference]:
    # The proof on chain is what counts, whatever the evidence says that it is.
    claimed = Evidence(
        work.posted.entry.proof, work.evidence.receipts, work.evidence.heartbeats, work.evidence.orders
    )
    for found in evidences.check(claimed, domain, work.posted.worker, work.posted.terms, previous):
        yield Difference(found.code, f"{work.subject}: {found.subject}", found.expected, found.actual)


def check_heartbeats(web3: Web3, works: Sequence[ProvenWork], section: Section) -> None:
    """Every heartbeat names a block of this chain by its true hash and time, no younger than its proof."""
    beats = [(work, item.heartbeat) for work in works for item in work.evidence.heartbeats]
    blocks = read_blocks(web3, {beat.block_number for _, beat in beats})
    for work, beat in beats:
        subject = f"{work.subject}: heartbeat of block {beat.block_number}"
        block = blocks.get(beat.block_number)
        if block is None:
            section.fail("heartbeat_block_unknown", subject, "a block of this chain", to_hex(beat.block_hash))
            continue
        _check_heartbeat(subject, beat, block, work.posted.posted_timestamp, section)


def _check_heartbeat(
    subject: str, beat: Heartbeat, block: Block, posted_timestamp: int, section: Section
) -> None:
    section.compare("heartbeat_block_hash", subject, block.hash, beat.block_hash)
    section.compare("heartbeat_timestamp", subject, block.timestamp, beat.block_timestamp)
    section.at_most("heartbeat_after_proof", subject, posted_timestamp, block.timestamp)


def check_claims(history: History, works: Sequence[ProvenWork], section: Section) -> None:
    """Lease by lease, as posted: seconds covered, energy, jobs counted once, one chain of proofs."""
    by_hash = {work.posted.entry.proof_hash: work for work in works}
    for _, posted in _by_lease(history.proofs):
        _check_chain(posted, section)
        known = [by_hash.get(item.entry.proof_hash) for item in posted]
        # A gap in the evidence would make honest later claims look too large; the gap itself is reported.
        whole = [work for work in known if work is not None] if None not in known else []
        _check_seconds(whole, section)
        _check_repeats(whole, section)


def _by_lease(proofs: Iterable[PostedProof]) -> Iterator[tuple[LeaseId, list[PostedProof]]]:
    ordered = sorted(proofs, key=lambda posted: (posted.entry.lease_id, posted.entry.posted_at))
    for lease_id, group in groupby(ordered, key=lambda posted: posted.entry.lease_id):
        yield lease_id, list(group)


def _check_chain(posted: Sequence[PostedProof], section: Section) -> None:
    previous_hash, energy, seconds = NO_PROOF, 0, 0
    for item in posted:
        subject, proof = f"proof {to_hex(item.entry.proof_hash)}", item.entry.proof
        section.compare("proof_chain", subject, previous_hash, proof.previous_proof)
        section.at_most("energy_decreased", subject, proof.energy_joules, energy)
        section.at_most("seconds_decreased", subject, proof.proven_seconds, seconds)
        previous_hash, energy, seconds = item.entry.proof_hash, proof.energy_joules, proof.proven_seconds


def _check_seconds(works: Sequence[ProvenWork], section: Section) -> None:
    """Cumulative seconds are covered by the union of all heartbeats so far: none counts in two proofs."""
    timestamps: list[int] = []
    for work in works:
        beats = (item.heartbeat for item in work.evidence.heartbeats)
        timestamps.extend(beat.block_timestamp for beat in beats if beat.at_disposal)
        terms, end = work.posted.terms, min(work.posted.lease_end, work.posted.posted_timestamp)
        covered = covered_seconds(timestamps, terms.weekly_hours, terms.start, end)
        section.at_most("seconds_overclaimed", work.subject, covered, work.posted.entry.proof.proven_seconds)


def _check_repeats(works: Sequence[ProvenWork], section: Section) -> None:
    """A job is finished once, in one proof of its lease, and before that proof was posted."""
    seen: set[bytes] = set()
    for work in works:
        for item in work.evidence.receipts:
            subject = f"{work.subject}: job {to_hex(item.receipt.order_digest)}"
            section.compare("job_repeated", subject, False, item.receipt.order_digest in seen)
            section.at_most(
                "receipt_after_proof", subject, work.posted.posted_timestamp, item.receipt.finished_at
            )
            seen.add(item.receipt.order_digest)
