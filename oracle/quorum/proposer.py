"""Looks for workers that are gone, and has the quorum say so, before any renter has to ask."""

from __future__ import annotations

import structlog

from oracle.clock import Now, later_of
from oracle.quorum.collector import Collector, Decided, decisive
from oracle.quorum.council import CouncilView, read_council
from oracle.quorum.examination import MAX_AGE_SECONDS, Examiner
from oracle.store import entities, findings, history
from oracle.store.engine import Store
from oracle.store.findings import Proposal
from oracle.store.receipts import last_seen_at
from protocol.contracts import Quorum
from protocol.errors import TransactionReverted
from protocol.findings import kind_of
from protocol.ledger import LeaseEntry
from protocol.structs import LeaseStatus, Outage
from protocol.units import LeaseId

log = structlog.get_logger(__name__)

OUTAGE = kind_of(Outage(LeaseId(bytes(32)), 0))
PROPOSALS = 8  # of a lease that are looked at
MAX_PATIENCE_SECONDS = 3600
JUMP_SECONDS = 2  # of the chain's time against ours, from one block to the next
MARKET_AGE_SECONDS = 86_400  # what is older the market does not take


class OutageProposer:
    """Not thread-safe: one thread takes the turns. Compares leases with what was heard, at each turn anew."""

    def __init__(
        self,
        store: Store,
        quorum: Quorum,
        collector: Collector,
        examiner: Examiner[Outage],
        now: Now,
        *,
        outage_seconds: int,
    ) -> None:
        self._store = store
        self._quorum = quorum
        self._collector = collector
        self._examiner = examiner
        self._now = now
        self._outage_seconds = outage_seconds
        # Clocks differ, and peers count for themselves.
        self._since_seconds = outage_seconds + max(2, outage_seconds // 10)

    def turn(self) -> bool:
        """Raises RetryableError where the chain cannot be read."""
        with self._store.read() as transaction:
            cursor = history.get_cursor(transaction)
            open_leases = entities.list_leases_of_status(transaction, (LeaseStatus.OPEN,))
        now = later_of(self._now(), cursor.timestamp if cursor else None)
        for lease in open_leases:
            if lease.terms.start <= now < lease.end and self._is_silent(lease):
                self._propose(lease, now)
        return False

    def _is_silent(self, lease: LeaseEntry) -> bool:
        """By this oracle's own clock, and only where the worker has ever spoken to it."""
        with self._store.read() as transaction:
            seen_at = last_seen_at(transaction, lease.terms.offer.unit_id)
        return seen_at is not None and seen_at < self._now() - self._since_seconds - JUMP_SECONDS

    def _propose(self, lease: LeaseEntry, now: int) -> None:
        standing = [
            (outage, proposal)
            for outage, proposal in _proposals(self._store, lease.lease_id)
            if self._examiner.retraction(outage) is None
        ]
        if standing:
            outage, newest = standing[0]
            if decisive(newest, read_council(self._quorum)) is not None:
                if outage.since >= now - MAX_AGE_SECONDS:
                    return
            elif self._now() - newest.proposed_at <= self._patience_seconds(len(standing)):
                self._collect(outage)  # peers may come round to it
                return
        fresh = Outage(lease.lease_id, now - self._since_seconds)
        if self._examiner.refusal(fresh) is None:
            self._collect(fresh)

    def _patience_seconds(self, proposals: int) -> int:
        """Longer each time: each proposal is one more statement that every member keeps."""
        return min(self._outage_seconds << proposals - 1, MAX_PATIENCE_SECONDS)

    def _collect(self, outage: Outage) -> None:
        try:
            decided = self._collector.collect(outage, outage.lease_id)
        except TransactionReverted as error:
            log.warning("finding_not_taken", lease_id=outage.lease_id, reason=error.message)
            return
        if decided is not None:
            log.info("outage_found", lease_id=outage.lease_id, since=outage.since)


def outage_of(
    store: Store, view: CouncilView, examiner: Examiner[Outage], lease_id: LeaseId, now: int
) -> Decided | None:
    """What a renter's delegate may fail over with; None where the worker is not gone, or too few say so."""
    for outage, proposal in _proposals(store, lease_id):
        if outage.since + MARKET_AGE_SECONDS <= now or examiner.retraction(outage) is not None:
            continue
        signatures = decisive(proposal, view.council())
        if signatures is not None:
            return Decided(outage, signatures)
    return None


def _proposals(store: Store, lease_id: LeaseId) -> list[tuple[Outage, Proposal]]:
    """Newest first."""
    with store.read() as transaction:
        found = findings.list_proposals(transaction, OUTAGE, lease_id, PROPOSALS)
    return [(each.finding, each) for each in found if isinstance(each.finding, Outage)]
