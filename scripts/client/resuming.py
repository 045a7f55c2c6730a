"""Takes what a lease has left undone to another lease: the same work, ordered anew, without new uploads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from protocol.bodies import JobBody, OrderedBody
from protocol.errors import BadInput
from protocol.orders import lease_id
from protocol.signed import SignedOrder
from protocol.structs import JobOutcome, Terms
from protocol.typed_data import sign
from protocol.units import LeaseId, to_hex
from scripts.client.api import Identity, OracleClient
from scripts.client.following import ENDED_STATES


@dataclass(frozen=True, slots=True)
class Resumed:
    """Each job that was taken over, and what became of its order under the new lease.

    `unsettled`: how many may still end where they are.
    """

    jobs: tuple[tuple[JobBody, OrderedBody], ...]
    unsettled: int


def is_undone(body: JobBody) -> bool:
    """Ended without a result, and not because its renter or its own code would have it so."""
    if body.receipt is None:
        return body.state in ("abandoned", "expired")
    cancelled = body.receipt.receipt.outcome is JobOutcome.CANCELLED
    return cancelled and body.cancel_asked_at is None


def resume(oracle: OracleClient, old: LeaseId, new: LeaseId) -> Resumed:
    """Orders under `new` what `old` has left undone. The same again orders nothing twice.

    An order keeps its nonce, by which it is known for its predecessor. BadInput where `new` is not open, or
    where an artifact is encrypted: its key is for the old lease's worker.
    """
    identity = oracle.identity
    if identity is None:
        raise BadInput("a key is needed here: give --keystore")
    lease = oracle.lease(new)
    if lease.status != "open":
        raise BadInput(f"lease {to_hex(new)}: expected an open one, it is {lease.status}")
    bodies = list(oracle.jobs_of_lease(old))
    undone = [body for body in bodies if is_undone(body)]
    orders = [_anew(identity, lease.terms, body) for body in undone]
    results: Sequence[OrderedBody] = oracle.post_orders(lease.terms, orders)
    unsettled = sum(body.state not in ENDED_STATES for body in bodies)
    return Resumed(tuple(zip(undone, results, strict=True)), unsettled)


def _anew(identity: Identity, terms: Terms, body: JobBody) -> SignedOrder:
    if body.order.bundle.wrapped_keys or body.order.data.wrapped_keys:
        raise BadInput(f"job {body.job_id}: its artifacts are encrypted for another worker")
    order = replace(body.order, lease_id=lease_id(identity.domain, terms), deadline=terms.end)
    return SignedOrder(order, sign(identity.domain, order, identity.signer), body.spec)
