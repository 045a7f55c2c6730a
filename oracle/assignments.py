"""What a worker should be doing: recomputed from the store each time it is asked."""

from __future__ import annotations

from oracle.clock import Now, later_of
from oracle.intake import Reporter
from oracle.schedule import may_run
from oracle.store import attempts, entities, history, jobs
from oracle.store.engine import Store
from protocol import link
from protocol.errors import InvariantBroken, SignatureInvalid
from protocol.units import to_hex


def desired_of(store: Store, reporter: Reporter, now: Now) -> link.Desired:
    """The whole list. `cancel` is set where the lease does not hold this second: its hours or it are over.

    Raises SignatureInvalid where the ledger names another worker by now: the key was rotated.
    """
    unit_id = reporter.unit_id
    with store.read() as transaction:
        unit = entities.get_unit(transaction, unit_id)
        if unit is None or unit.retired or unit.unit.worker != reporter.worker:
            raise SignatureInvalid(f"unit {to_hex(unit_id)}: {reporter.worker} is not its worker any more")
        cursor = history.get_cursor(transaction)
        instant = later_of(now(), cursor.timestamp if cursor else None)
        assignments: list[link.Assignment] = []
        for attempt in attempts.active_attempts(transaction, unit_id):
            job = jobs.get_job(transaction, attempt.job_id)
            if job is None:
                raise InvariantBroken(
                    "a job for each attempt", "none", subject=f"attempt {attempt.fencing_token}"
                )
            lease = entities.get_lease(transaction, job.lease_id)
            assignments.append(
                link.Assignment.of(
                    job.job_id,
                    attempt.attempt,
                    attempt.fencing_token,
                    job.terms,
                    job.signed_order,
                    cancel=lease is None or not may_run(lease, instant),
                )
            )
    return link.Desired(assignments=tuple(assignments))
