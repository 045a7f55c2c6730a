"""What a worker should be doing: recomputed from the store each time it is asked."""

from __future__ import annotations

import orjson

from oracle.clock import Now, later_of
from oracle.intake import Reporter
from oracle.schedule import may_run
from oracle.store import entities, history, reads
from oracle.store.engine import Store
from protocol import link
from protocol.errors import SignatureInvalid
from protocol.ledger import LeaseEntry
from protocol.units import to_hex


def desired_of(store: Store, reporter: Reporter, now: Now) -> link.Desired:
    """The whole list. `cancel` is set where the job's renter asks for it, and where the lease does not hold
    this second: its hours or it are over.

    Raises SignatureInvalid where the ledger names another worker by now: the key was rotated.
    """
    unit_id = reporter.unit_id
    with store.read() as transaction:
        unit = entities.get_unit(transaction, unit_id)
        if unit is None or unit.retired or unit.unit.worker != reporter.worker:
            raise SignatureInvalid(f"unit {to_hex(unit_id)}: {reporter.worker} is not its worker any more")
        cursor = history.get_cursor(transaction)
        instant = later_of(now(), cursor.timestamp if cursor else None)
        assigned = reads.read_assigned(transaction, unit_id)
        leases = entities.get_leases(transaction, {job.lease_id for job in assigned})
    return link.Desired(
        assignments=tuple(_assignment(job, leases.get(job.lease_id), instant) for job in assigned)
    )


def _assignment(job: reads.AssignedJob, lease: LeaseEntry | None, instant: int) -> link.Assignment:
    """What is stored of the order is JSON of that form already."""
    signed = orjson.loads(job.signed_order)
    return link.Assignment(
        job_id=to_hex(job.job_id),
        attempt=job.attempt,
        fencing_token=job.fencing_token,
        terms=orjson.loads(job.terms),
        order=signed["order"],
        order_signature=signed["signature"],
        spec=signed["spec"],
        cancel=lease is None or job.cancel_asked_at is not None or not may_run(lease, instant),
    )
