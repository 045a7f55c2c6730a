"""Brings the signatures of k members together over one finding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread

import structlog

from oracle.clock import Now
from oracle.quorum.council import Council, check_member, read_council
from oracle.quorum.examination import Refusal
from oracle.quorum.peers import Peer
from oracle.quorum.signer import QuorumSigner
from oracle.store import findings
from oracle.store.engine import Store
from oracle.store.findings import Proposal
from protocol.bodies import ErrorBody
from protocol.contracts import Quorum
from protocol.errors import ServiceUnavailable, SignatureInvalid
from protocol.findings import Finding, kind_of
from protocol.outbox import IntentState
from protocol.sender import Sender
from protocol.structs import GpuAttestation, QuorumSignature
from protocol.typed_data import digest, hash_struct
from protocol.units import shorten, to_hex

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """A finding that the contract takes, with signatures by ascending member."""

    finding: Finding
    signatures: tuple[QuorumSignature, ...]


class Collector:
    """Not thread-safe: one thread collects."""

    def __init__(
        self,
        store: Store,
        quorum: Quorum,
        signer: QuorumSigner,
        peers: Sequence[Peer],
        now: Now,
        *,
        patience_seconds: float,
    ) -> None:
        self._store = store
        self._quorum = quorum
        self._signer = signer
        self._peers = peers
        self._now = now
        self._patience_seconds = patience_seconds

    def collect(self, finding: Finding, subject: bytes) -> Decided | None:
        """None: not enough of them sign, for now. What came is on disk, and counts at the next try.

        ChainUnavailable, RpcError; TransactionReverted where the contract has other members by now.
        """
        own = self._signer.sign(finding)
        if isinstance(own, Refusal):
            return None
        key, council = digest(self._signer.domain, finding), read_council(self._quorum)
        with self._store.write() as transaction:
            findings.add_proposal(transaction, finding, subject, key, self._now())
        self._take(finding, key, council, [own])
        signatures = self._decisive(key, council)
        if signatures is None:
            self._take(finding, key, council, self._answers(finding))
            signatures = self._decisive(key, council)
        if signatures is None:
            return None
        self._quorum.require(hash_struct(finding), signatures)
        return Decided(finding, signatures)

    def _answers(self, finding: Finding) -> list[bytes]:
        """Peers are slow and fail one by one: all are asked at once, and nobody is waited for any longer."""
        came: Queue[tuple[Peer, bytes | ErrorBody]] = Queue()
        for peer in self._peers:
            Thread(target=_ask, args=(peer, finding, came), name=peer.url, daemon=True).start()
        signatures: list[bytes] = []
        deadline = time.monotonic() + self._patience_seconds
        for _ in self._peers:
            try:
                peer, answer = came.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                log.info("peers_silent", finding=kind_of(finding))
                break
            if isinstance(answer, bytes):
                signatures.append(answer)
            else:
                reason = shorten(answer.message, 200)
                log.info("peer_refused", peer=peer.url, code=shorten(answer.code, 40), reason=reason)
        return signatures

    def _take(self, finding: Finding, key: bytes, council: Council, answers: Sequence[bytes]) -> None:
        """Keeps those of active members."""
        for answer in answers:
            try:
                signer, signature = check_member(council, self._signer.domain, finding, answer)
            except SignatureInvalid as error:
                log.warning("signature_refused", code=error.code, reason=error.message)
                continue
            with self._store.write() as transaction:
                findings.add_signature(transaction, key, signer, signature, self._now())

    def _decisive(self, key: bytes, council: Council) -> tuple[QuorumSignature, ...] | None:
        with self._store.read() as transaction:
            proposal = findings.get_proposal(transaction, key)
        return None if proposal is None else decisive(proposal, council)


def decisive(proposal: Proposal, council: Council) -> tuple[QuorumSignature, ...] | None:
    """The signatures of today's members, ascending; None where they are too few."""
    found = {
        council.members[signer]: each.signature
        for signer, each in proposal.signatures.items()
        if signer in council.members
    }
    if len(found) < council.threshold:
        return None
    return tuple(QuorumSignature(index, found[index]) for index in sorted(found))


def submit(sender: Sender, quorum: Quorum, decided: Decided) -> IntentState | None:
    """Records the finding on the chain, once. None: its user hands it to the market instead."""
    if not isinstance(decided.finding, GpuAttestation):
        return None
    call = quorum.build_record_attestation(decided.finding, decided.signatures)
    return sender.submit(f"finding:{to_hex(hash_struct(decided.finding))}", call)


def _ask(peer: Peer, finding: Finding, came: Queue[tuple[Peer, bytes | ErrorBody]]) -> None:
    try:
        came.put((peer, peer.ask(finding)))
    except ServiceUnavailable as error:
        came.put((peer, ErrorBody.of(error)))
