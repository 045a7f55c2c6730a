"""Entries of the ledger and the store as bodies of the HTTP API."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from oracle.joblogs import JobLogs
from oracle.jobs import UNFINISHED_JOBS, JobState
from oracle.store import attempts, receipts
from oracle.store.engine import Transaction
from oracle.store.jobs import JobEntry
from oracle.store.offers import Found
from protocol.bodies import JobBody, LeaseBody, LogsBody, OfferBody
from protocol.ledger import LeaseEntry
from protocol.market_bodies import FoundOfferBody
from protocol.matching import Refusal
from protocol.readers import ReaderKey, checked_as
from protocol.units import JobId, to_hex

MAX_LOG_CHUNK_BYTES = 1 << 20


def lease_body(entry: LeaseEntry) -> LeaseBody:
    return LeaseBody.model_validate(
        {
            "lease_id": to_hex(entry.lease_id),
            "terms": entry.terms,
            "renter": entry.renter,
            "status": entry.status.name.lower(),
            "opened_block": entry.opened_at.block_number,
            "end": entry.end,
            "deposit_units": entry.deposit_units,
            "settled_seconds": entry.settled_seconds,
            "pending_seconds": entry.pending_seconds,
            "matures_at": entry.matures_at,
            "proof_hash": to_hex(entry.proof_hash),
            "open_disputes": entry.open_disputes,
            "closing": entry.closing,
            "penalty_seconds": entry.penalty_seconds,
            "lost_seconds": entry.lost_seconds,
            "paid_units": entry.paid_units,
            "fee_units": entry.fee_units,
            "moved_units": entry.moved_units,
            "refund_units": entry.refund_units,
            "compensation_units": entry.compensation_units,
            "bond_slashed": entry.bond_slashed,
            "hours_released": entry.hours_released,
        }
    )


def offer_body(found: Found) -> OfferBody:
    facts = found.facts
    return OfferBody(
        offer_hash=to_hex(found.offer_hash),
        offer=found.offer,
        listed=found.listed,
        booked_hours=facts.booked_hours,
        worker_connected=facts.worker_connected,
        signed=found.signature is not None,
        vram_mib=facts.vram_mib,
        measured_gops=facts.gops,
        attested_at=facts.attested_at,
        attested_until=facts.attested_until,
        reputation_units=facts.reputation_units,
        known_since=facts.known_since,
    )


def found_body(found: Found, failed: tuple[Refusal, ...]) -> FoundOfferBody:
    return FoundOfferBody(
        offer=offer_body(found),
        signature=None if found.signature is None else to_hex(found.signature),
        refusals=tuple(refusal.name.lower() for refusal in failed),
    )


def job_body(transaction: Transaction, logs: JobLogs, readers: Sequence[ReaderKey], job: JobEntry) -> JobBody:
    attempt = attempts.latest_attempt(transaction, job.job_id)
    number = attempt.attempt if attempt else 0
    receipt = receipts.get_receipt(transaction, job.job_id)
    return JobBody.model_validate(
        {
            "job_id": to_hex(job.job_id),
            "lease_id": to_hex(job.lease_id),
            "state": job.state.value,
            "detail": job.detail,
            "order": job.signed_order.order,
            "spec": job.signed_order.spec,
            "checked_as": checked_as(job.signed_order, [reader.key for reader in readers]).name,
            "attempt": number,
            "created_at": job.created_at,
            "updated_at": job.updated_at,
            "log_bytes": logs.total_bytes(job.job_id, number),
            "receipt": receipt.signed if receipt else None,
            "proof_hash": to_hex(job.proof_hash) if job.proof_hash else None,
            "priority": job.priority,
            "cancel_asked_at": job.cancel_asked_at,
        }
    )


def logs_body(
    logs: JobLogs,
    job_id: JobId,
    attempts_made: int,
    state: JobState,
    offset: int,
    max_bytes: int = MAX_LOG_CHUNK_BYTES,
) -> LogsBody:
    """The logs of all attempts one after the other: bytes at an offset never change."""
    data = logs.read(job_id, attempts_made, offset, max_bytes)
    next_offset = offset + len(data)
    ended = state not in UNFINISHED_JOBS
    return LogsBody(
        offset=offset,
        next_offset=next_offset,
        attempt_offsets=tuple(logs.total_bytes(job_id, number) for number in range(attempts_made)),
        data=base64.b64encode(data).decode(),
        complete=ended and next_offset >= logs.total_bytes(job_id, attempts_made),
    )
