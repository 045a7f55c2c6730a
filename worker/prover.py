"""Claims on-chain what was served: evidence first, then the proof, one at a time for each lease.

The worker's other transactions, its answers to posted orders, go out from the same thread.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import structlog
from web3 import Web3

from protocol import evidence as proof_evidence
from protocol import link
from protocol.accrual import covered_seconds
from protocol.chain import read_block
from protocol.contracts import Market
from protocol.errors import InvariantBroken, RejectedError, RetryableError, TransactionReverted
from protocol.evidence import Evidence
from protocol.outbox import IntentState
from protocol.sender import Sender
from protocol.signed import SignedHeartbeat, SignedOrder
from protocol.structs import CompletionProof
from protocol.typed_data import Domain, digest, hash_struct
from protocol.units import ZERO_BYTES32, Address, JobId, ProofHash, to_hex
from worker.answers import Answers
from worker.artifacts import ArtifactClient
from worker.journal import Journal, ProofRow, ProofStage, ReceiptRow, ReceiptState
from worker.journal.attempts import IN_FLIGHT
from worker.leases import LeaseView, posted_order

_log: Final = structlog.get_logger(__name__)
PAUSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides whether a lease's next proof is due. Instants are the chain's, Unix seconds."""

    now: int
    start: int
    end: int
    last_post: int
    matures_at: int | None
    disputed: bool
    last_proof_at: int | None
    last_heartbeat_at: int
    new_seconds: int
    receipts_waiting: int
    work_in_flight: bool
    interval_seconds: float


def is_due(situation: Situation) -> bool:
    """Never while a proof is pending and can be challenged; at the lease's end, all that is left."""
    s = situation
    if s.disputed or (s.matures_at is not None and s.now < s.matures_at):
        return False
    if s.new_seconds == 0 and s.receipts_waiting == 0:
        return False
    if s.now < s.end:
        since = s.start if s.last_proof_at is None else s.last_proof_at
        return s.now - since >= s.interval_seconds
    if s.now >= _urgent_from(s.end, s.last_post):
        return True
    return s.last_heartbeat_at >= s.end and not s.work_in_flight


def worth_a_proof(situation: Situation, early: int, receipts: int) -> bool:
    """Whether one is made now, of so many receipts, without the `early` ones.

    A proof that was posted before its work had ended is at fault. At the lease's end they are waited for.
    """
    s = situation
    if early and s.end <= s.now < _urgent_from(s.end, s.last_post):
        return False
    return receipts > 0 or s.new_seconds > 0


def is_urgent(view: LeaseView) -> bool:
    """Whether a proof must go now, oracle or no oracle: after the grace nothing is paid."""
    return view.block.timestamp >= _urgent_from(view.end, view.last_post)


def _urgent_from(end: int, last_post: int) -> int:
    """Three quarters of the grace are for what is still being uploaded."""
    return end + (last_post - end) * 3 // 4


class Prover:
    """Runs in a thread of its own."""

    def __init__(
        self,
        web3: Web3,
        market: Market,
        domain: Domain,
        worker: Address,
        journal: Journal,
        sender: Sender,
        artifacts: ArtifactClient,
        answers: Answers,
        views: Callable[[], Sequence[LeaseView]],
        *,
        interval_seconds: float,
        poll_seconds: float,
    ) -> None:
        self._web3 = web3
        self._market = market
        self._domain = domain
        self._worker = worker
        self._journal = journal
        self._sender = sender
        self._artifacts = artifacts
        self._answers = answers
        self._views = views
        self._interval_seconds = interval_seconds
        self._poll_seconds = poll_seconds
        self._not_before: dict[bytes, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        while not stop.is_set():
            try:
                self.turn()
            except RetryableError as error:
                _log.warning("prover_waits", code=error.code, reason=error.message)
            stop.wait(self._poll_seconds)

    def turn(self) -> None:
        self._sender.turn()
        self._deliver_late()
        for view in self._views():
            if time.monotonic() >= self._not_before.get(view.lease_id, 0):
                self._move_on(view)

    def _move_on(self, seen: LeaseView) -> None:
        state = self._market.lease_state(seen.lease_id)
        posted = posted_order(self._market, seen.lease_id, state, "latest")
        view = replace(seen, state=state, posted_order=posted)
        if not view.is_open:
            return
        self._answers.give(view)
        row = self._settle_with_chain(view)
        if row is None:
            row = self._prepare_if_due(view)
        if row is not None and (row.stage is not ProofStage.PREPARED or self._upload(row) or is_urgent(view)):
            self._post(view, row)

    def _settle_with_chain(self, view: LeaseView) -> ProofRow | None:
        """The journal's stages after the chain's; what is still to be posted is returned."""
        on_chain = view.state.proof_hash
        row = self._journal.proofs.open_of(view.lease_id)
        if row is None:
            last = self._journal.proofs.last_posted(view.lease_id)
            if last is not None and last.proof_hash != on_chain and last.proof.previous_proof == on_chain:
                self._void(last, "a reorganisation took it back")
            return None
        if row.proof_hash == on_chain:
            stage = ProofStage.POSTED if row.stage is ProofStage.UPLOADED else ProofStage.BARE
            self._journal.proofs.set_stage(row.proof_hash, stage)
            _log.info("proof_posted", lease_id=to_hex(view.lease_id), proof_hash=to_hex(row.proof_hash))
            return None
        if row.proof.previous_proof != on_chain:
            self._void(row, "the chain has another proof before it")
            return None
        return row

    def _prepare_if_due(self, view: LeaseView) -> ProofRow | None:
        heartbeats = self._journal.leases.unproven_heartbeats(view.lease_id)
        receipts = self._journal.receipts.count_unproven(view.lease_id)
        last = self._journal.proofs.last_posted(view.lease_id)
        times = self._journal.leases.heartbeat_timestamps(view.lease_id)
        situation = Situation(
            now=view.block.timestamp,
            start=view.terms.start,
            end=view.end,
            last_post=view.last_post,
            matures_at=view.matures_at,
            disputed=view.state.open_disputes > 0,
            last_proof_at=None if last is None else last.prepared_at,
            last_heartbeat_at=max(times, default=0),
            new_seconds=self._new_seconds(view, times, heartbeats),
            receipts_waiting=receipts.get(ReceiptState.ACCEPTED, 0),
            work_in_flight=self._work_in_flight(view, receipts),
            interval_seconds=self._interval_seconds,
        )
        if not is_due(situation):
            return None
        canonical = [signed for signed in heartbeats if self._is_canonical(signed)]
        if len(canonical) != len(heartbeats):
            return None  # those of blocks that are gone were dropped: the next turn counts anew
        late = situation.now >= view.end and situation.work_in_flight
        unproven = self._journal.receipts.unproven(view.lease_id)
        wanted = [r for r in unproven if late or r.state is ReceiptState.ACCEPTED]
        ended = [r for r in wanted if r.signed.receipt.finished_at <= situation.now]
        if not worth_a_proof(situation, len(wanted) - len(ended), len(ended)):
            return None
        return self._prepare(view, canonical, ended, last)

    def _work_in_flight(self, view: LeaseView, receipts: Mapping[ReceiptState, int]) -> bool:
        attempts = self._journal.attempts.in_states(IN_FLIGHT)
        return ReceiptState.WAITING in receipts or any(row.lease_id == view.lease_id for row in attempts)

    @staticmethod
    def _new_seconds(view: LeaseView, times: Sequence[int], unproven: Sequence[SignedHeartbeat]) -> int:
        """Scheduled seconds that the heartbeats in no proof cover beyond those in proofs."""
        hours, start, end = view.terms.weekly_hours, view.terms.start, view.end
        new = {signed.heartbeat.block_timestamp for signed in unproven}
        proven = [instant for instant in times if instant not in new]
        return covered_seconds(times, hours, start, end) - covered_seconds(proven, hours, start, end)

    def _is_canonical(self, signed: SignedHeartbeat) -> bool:
        heartbeat = signed.heartbeat
        if read_block(self._web3, heartbeat.block_number).hash == heartbeat.block_hash:
            return True
        self._journal.leases.drop_heartbeat(heartbeat.lease_id, heartbeat.block_number)
        return False

    def _prepare(
        self,
        view: LeaseView,
        heartbeats: Sequence[SignedHeartbeat],
        receipts: Sequence[ReceiptRow],
        last: ProofRow | None,
    ) -> ProofRow:
        times = self._journal.leases.heartbeat_timestamps(view.lease_id)
        earlier = max(view.state.settled_seconds, view.state.pending_seconds)
        claimed = earlier + self._new_seconds(view, times, heartbeats)
        lease = next(row for row in self._journal.leases.live() if row.lease_id == view.lease_id)
        receipt_digests = [digest(self._domain, row.signed.receipt) for row in receipts]
        heartbeat_digests = [digest(self._domain, signed.heartbeat) for signed in heartbeats]
        proof = CompletionProof(
            lease_id=view.lease_id,
            previous_proof=view.state.proof_hash,
            proven_seconds=max(earlier, min(claimed, view.claimable_seconds)),
            jobs_completed=len(receipts),
            leaf_count=len(receipts),
            jobs_root=proof_evidence.jobs_root(receipt_digests),
            availability_root=proof_evidence.availability_root(heartbeat_digests),
            energy_joules=lease.energy_joules,
        )
        evidence = Evidence(
            proof,
            tuple(row.signed for row in receipts),
            tuple(heartbeats),
            tuple(self._order_of(row) for row in receipts),
        )
        self._check(view, evidence, last)
        row = ProofRow(
            ProofHash(hash_struct(proof)),
            view.lease_id,
            proof,
            proof_evidence.encode(evidence),
            ProofStage.PREPARED,
            view.block.timestamp,
        )
        keys: list[tuple[JobId, int]] = [(receipt.job_id, receipt.attempt) for receipt in receipts]
        self._journal.proofs.prepare(row, keys, [signed.heartbeat.block_number for signed in heartbeats])
        _log.info(
            "proof_prepared",
            lease_id=to_hex(view.lease_id),
            proven_seconds=proof.proven_seconds,
            jobs_completed=proof.jobs_completed,
        )
        return row

    def _order_of(self, receipt: ReceiptRow) -> SignedOrder:
        row = self._journal.attempts.get(receipt.job_id, receipt.attempt)
        if row is None:
            raise InvariantBroken("an attempt", "none", subject=f"order of job {to_hex(receipt.job_id)}")
        return msgspec.json.decode(row.assignment, type=link.Assignment).read_order()

    def _check(self, view: LeaseView, evidence: Evidence, last: ProofRow | None) -> None:
        """InvariantBroken where an auditor would find fault: such a proof must not be posted."""
        on_chain = view.state.proof_hash
        previous = last.proof if last is not None and last.proof_hash == on_chain else None
        found = proof_evidence.check(evidence, self._domain, self._worker, view.terms, previous, view.renters)
        if previous is None and on_chain != ZERO_BYTES32:
            # The journal does not know the proof before: what depends on it cannot be told.
            found = [difference for difference in found if difference.code != "previous_proof"]
        if found:
            raise InvariantBroken("evidence without fault", "; ".join(map(str, found[:3])), subject="proof")

    def _upload(self, row: ProofRow) -> bool:
        """False where the service does not have the evidence yet."""
        try:
            self._artifacts.put_evidence(row.proof_hash, row.evidence)
        except (RejectedError, RetryableError) as error:
            # It may be down, or not have seen the lease's block yet.
            _log.warning("evidence_not_taken", code=error.code, reason=error.message)
            self._pause(row)
            return False
        stage = ProofStage.POSTED if row.stage is ProofStage.BARE else ProofStage.UPLOADED
        self._journal.proofs.set_stage(row.proof_hash, stage)
        return True

    def _deliver_late(self) -> None:
        """Evidence of proofs that could not wait for the oracle."""
        for row in self._journal.proofs.without_evidence():
            if time.monotonic() >= self._not_before.get(row.lease_id, 0):
                self._upload(row)

    def _post(self, view: LeaseView, row: ProofRow) -> None:
        call = self._market.build_post_proof(view.terms, row.proof)
        intent = f"proof/{to_hex(row.proof_hash)}/{row.prepared_at}"
        try:
            state = self._sender.submit(intent, call)
        except TransactionReverted as error:
            if error.name != "ProofPending":
                self._void(row, error.message)
            return
        if state is IntentState.FAILED:
            self._void(row, "its transaction failed")

    def _void(self, row: ProofRow, reason: str) -> None:
        _log.error("proof_void", proof_hash=to_hex(row.proof_hash), reason=reason)
        self._journal.proofs.set_stage(row.proof_hash, ProofStage.VOID)
        self._pause(row)

    def _pause(self, row: ProofRow) -> None:
        self._not_before[row.lease_id] = time.monotonic() + PAUSE_SECONDS
