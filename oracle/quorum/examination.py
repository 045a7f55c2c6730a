"""What a signer checks before it signs: each kind of finding has an examiner, which trusts itself alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from oracle.clock import Now, later_of
from oracle.store import entities, history
from oracle.store.engine import Store
from oracle.store.receipts import last_seen_at
from oracle.watcher import confirmed
from protocol.accrual import scheduled_seconds
from protocol.chain import read_block
from protocol.contracts import Market
from protocol.findings import Finding
from protocol.ledger import LeaseEntry
from protocol.structs import LeaseStatus, Outage

F_contra = TypeVar("F_contra", bound=Finding, contravariant=True)

# The market takes an outage for a day: what is signed should be of use for a while.
MAX_AGE_SECONDS: Final = 12 * 3600


class RefusalCode(StrEnum):
    """Stable: they go over the wire."""

    UNKNOWN_KIND = "unknown_kind"  # this oracle examines no such findings
    CONTRADICTION = "contradiction"  # it has signed something that this would stretch
    LEASE_NOT_OPEN = "lease_not_open"
    LEASE_UNCONFIRMED = "lease_unconfirmed"
    NEVER_SEEN = "never_seen"  # the worker has never spoken to this oracle: its silence says nothing
    HEARTBEAT_SEEN = "heartbeat_seen"
    NOT_WATCHING = "not_watching"  # it began to listen later than that
    TOO_SOON = "too_soon"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True)
class Refusal:
    code: RefusalCode
    message: str


class Examiner(Protocol[F_contra]):
    """Of one kind of finding. An attestation's would measure the GPUs itself, and compare."""

    def subject(self, finding: F_contra, /) -> bytes:
        """32 bytes: what two findings must share to contradict each other."""
        ...

    def stretches(self, finding: F_contra, last: F_contra, /) -> bool:
        """Whether it says more than the last one on its subject left room for."""
        ...

    def refusal(self, finding: F_contra, /) -> Refusal | None:
        """Why it is not signed now. ChainUnavailable, RpcError."""
        ...

    def retraction(self, finding: F_contra, /) -> Refusal | None:
        """Why one that was signed before is not handed out any more."""
        ...


class OutageExaminer:
    """Signs that a worker is gone where this oracle listened all the time, and heard nothing."""

    def __init__(
        self,
        store: Store,
        market: Market,
        now: Now,
        *,
        confirmations: int,
        outage_seconds: int,
    ) -> None:
        """Listens from now on. `outage_seconds`: scheduled ones without a heartbeat."""
        self._store = store
        self._market = market
        self._now = now
        self._confirmations = confirmations
        self._outage_seconds = outage_seconds
        self._listening_since = now()

    def subject(self, finding: Outage, /) -> bytes:
        return finding.lease_id

    def stretches(self, finding: Outage, last: Outage, /) -> bool:
        """A later statement never reaches further back."""
        return finding.since < last.since

    def refusal(self, finding: Outage, /) -> Refusal | None:
        with self._store.read() as transaction:
            lease = entities.get_lease(transaction, finding.lease_id)
            cursor = history.get_cursor(transaction)
        if lease is None or lease.status is not LeaseStatus.OPEN:
            return Refusal(RefusalCode.LEASE_NOT_OPEN, "expected a lease that this oracle knows as open")
        if not confirmed(lease.opened_at.block_number, cursor, self._confirmations):
            return Refusal(RefusalCode.LEASE_UNCONFIRMED, "expected a lease under more blocks")
        seen = self.retraction(finding)
        if seen is not None:
            return seen
        head = read_block(self._market.web3, "latest")
        now = later_of(self._now(), head.timestamp)
        if self._market.lease_state(lease.lease_id, head.number).status is not LeaseStatus.OPEN:
            return Refusal(RefusalCode.LEASE_NOT_OPEN, "expected an open lease, the chain has none any more")
        return self._time_refusal(finding, lease, now)

    def retraction(self, finding: Outage, /) -> Refusal | None:
        with self._store.read() as transaction:
            lease = entities.get_lease(transaction, finding.lease_id)
            cursor = history.get_cursor(transaction)
            seen_at = last_seen_at(transaction, lease.terms.offer.unit_id) if lease else None
        if lease is None or lease.status is not LeaseStatus.OPEN:
            return Refusal(RefusalCode.LEASE_NOT_OPEN, "expected a lease that this oracle knows as open")
        if seen_at is None:
            return Refusal(RefusalCode.NEVER_SEEN, "expected a worker that this oracle has heard before")
        # Heartbeats carry this machine's time, findings the chain's, which may be ahead.
        ahead = later_of(self._now(), cursor.timestamp if cursor else None) - self._now()
        if seen_at + ahead >= finding.since:
            message = f"expected silence since {finding.since}, a heartbeat came at {seen_at + ahead}"
            return Refusal(RefusalCode.HEARTBEAT_SEEN, message)
        return None

    def _time_refusal(self, finding: Outage, lease: LeaseEntry, now: int) -> Refusal | None:
        listening_since = self._listening_since + now - self._now()
        if finding.since < listening_since:
            message = f"expected a time from {listening_since} on, got {finding.since}"
            return Refusal(RefusalCode.NOT_WATCHING, message)
        until = min(now, lease.end)
        since = max(finding.since, lease.terms.start)
        silent = scheduled_seconds(lease.terms.weekly_hours, since, until) if since < until else 0
        if now >= lease.end or silent < self._outage_seconds:
            message = f"expected {self._outage_seconds} scheduled seconds of silence, got {silent}"
            return Refusal(RefusalCode.TOO_SOON, message)
        if finding.since < now - MAX_AGE_SECONDS:
            message = f"expected a time from {now - MAX_AGE_SECONDS} on, got {finding.since}"
            return Refusal(RefusalCode.TOO_OLD, message)
        return None
