"""What the chain's events add up to: pure, and checked against what the contracts promise."""

from collections.abc import Iterable

from protocol.events import Event, Slashed
from protocol.ledger import findings, market, registry
from protocol.ledger.entries import (
    CompensationEntry,
    CreditEntry,
    FeeEntry,
    FindingEntry,
    GpuEntry,
    LeaseEntry,
    OfferEntry,
    ProofEntry,
    ProviderEntry,
    RelayEntry,
    UnitEntry,
)
from protocol.ledger.state import Changes, LedgerState, Parameters, broken

__all__ = [
    "Changes",
    "CompensationEntry",
    "CreditEntry",
    "FeeEntry",
    "FindingEntry",
    "GpuEntry",
    "LeaseEntry",
    "LedgerState",
    "OfferEntry",
    "Parameters",
    "ProofEntry",
    "ProviderEntry",
    "RelayEntry",
    "UnitEntry",
    "apply",
    "check",
    "fold",
]


def apply(state: LedgerState, event: Event, block_timestamp: int) -> Changes:
    """What an event in a block of that time changes. `state` stays as it is: `state.merge` takes the changes.

    InvariantBroken where the event is not what the contracts promise after all events before it.
    """
    if state.slashing.units and not isinstance(event, Slashed):
        raise broken(event, "event after a slashed bond", "Slashed", type(event).__name__)
    handler = _HANDLERS.get(type(event))
    return handler(state, event, block_timestamp) if handler else Changes()


def fold(parameters: Parameters, events: Iterable[tuple[Event, int]]) -> LedgerState:
    """The state after all events, each with its block's time, from the first block of the deployment on."""
    state = LedgerState.empty(parameters)
    for event, block_timestamp in events:
        state.merge(apply(state, event, block_timestamp))
    return state


def check(state: LedgerState) -> None:
    """What must hold between the entries of any state, whatever led to it. InvariantBroken otherwise."""
    registry.check(state)
    market.check(state)


_HANDLERS = {**registry.HANDLERS, **market.HANDLERS, **findings.HANDLERS}
