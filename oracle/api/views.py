"""Entries of the ledger and the store as bodies of the HTTP API."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from oracle.joblogs import JobLogs
from oracle.jobs import UNFINISHED_JOBS, JobState
from oracle.store import attempts, receipts
from oracle.store.engine import Transaction
from oracle.store.jobs import JobEntry
from protocol.bodies import JobBody, LeaseBody, LogsBody, OfferBody
from protocol.ledger import LeaseEntry, OfferEntry
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


def offer_body(entry: OfferEntry, booked_hours: int, worker_connected: bool) -> OfferBody:
    return OfferBody(
        offer_hash=to_hex(entry.offer_hash),
        offer=entry.offer,
        listed=entry.listed,
        booked_hours=booked_hours,
        worker_connected=worker_connected,
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
        }
    )


def logs_body(logs: JobLogs, job_id: JobId, attempts_made: int, state: JobState, offset: int) -> LogsBody:
    """The logs of all attempts one after the other: bytes at an offset never change."""
    data = logs.read(job_id, attempts_made, offset, MAX_LOG_CHUNK_BYTES)
    next_offset = offset + len(data)
    ended = state not in UNFINISHED_JOBS
    return LogsBody(
        offset=offset,
        next_offset=next_offset,
        attempt_offsets=tuple(logs.total_bytes(job_id, number) for number in range(attempts_made)),
        data=base64.b64encode(data).decode(),
        complete=ended and next_offset >= logs.total_bytes(job_id, attempts_made),
    )
