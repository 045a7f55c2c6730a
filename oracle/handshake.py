"""Proves who is at the other end of a worker's link: its key signed a nonce that only this connection got."""

from __future__ import annotations

from oracle.intake import Reporter
from oracle.store import entities
from oracle.store.engine import Store
from protocol import link
from protocol.errors import BadInput, SignatureInvalid
from protocol.request_auth import verify_link
from protocol.typed_data import Domain


def check_hello(store: Store, domain: Domain, nonce: bytes, hello: link.Hello, now: int) -> Reporter:
    """The worker that the ledger names for the unit. Raises RejectedError for anyone else."""
    worker = verify_link(domain, hello, nonce, now)
    unit_id = hello.read_unit_id()
    with store.read() as transaction:
        unit = entities.get_unit(transaction, unit_id)
    if unit is None or unit.retired:
        raise BadInput(f"unit {hello.unit_id}: expected a registered unit", code="unknown_unit")
    if unit.unit.worker != worker:
        raise SignatureInvalid(f"unit {hello.unit_id}: expected worker {unit.unit.worker}, got {worker}")
    return Reporter(worker, unit_id)
