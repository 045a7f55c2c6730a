"""Events of LeaseMarket: money and the owner's settings here; offers, leases, proofs in modules of theirs."""

from collections.abc import Mapping
from typing import Final

from protocol import events
from protocol.errors import InvariantBroken
from protocol.ledger import leases, offers, proofs
from protocol.ledger.entries import CreditEntry, FeeEntry, RelayEntry
from protocol.ledger.replacing import replace
from protocol.ledger.state import Changes, Handler, LedgerState, broken, expect
from protocol.structs import LeaseStatus

MAX_FEE_BPS: Final = 300


def withdrawn(state: LedgerState, event: events.Withdrawn, block_timestamp: int) -> Changes:
    expect(event, "amount", state.credits.get((event.token, event.account), 0), event.amount)
    expect(event, "nothing", False, event.amount == 0)
    return Changes(credits=(CreditEntry(event.token, event.account, 0),))


def fees_withdrawn(state: LedgerState, event: events.FeesWithdrawn, block_timestamp: int) -> Changes:
    expect(event, "amount", state.fees.get(event.token, 0), event.amount)
    expect(event, "nothing", False, event.amount == 0)
    expect(event, "treasury", state.parameters.treasury, event.treasury)
    return Changes(fees=(FeeEntry(event.token, 0),))


def relayed(state: LedgerState, event: events.Relayed, block_timestamp: int) -> Changes:
    expect(event, "nonce", state.relay_nonces.get(event.account, 0), event.nonce)
    return Changes(relays=(RelayEntry(event.account, event.nonce + 1),))


def token_set(state: LedgerState, event: events.TokenSet, block_timestamp: int) -> Changes:
    if event.fee_bps > MAX_FEE_BPS:
        raise broken(event, "fee", f"at most {MAX_FEE_BPS}", event.fee_bps)
    fees = {token: fee for token, fee in state.parameters.token_fees.items() if token != event.token}
    if event.allowed:
        fees[event.token] = event.fee_bps
    return Changes(parameters=replace(state.parameters, token_fees=fees))


def treasury_changed(state: LedgerState, event: events.TreasuryChanged, block_timestamp: int) -> Changes:
    return Changes(parameters=replace(state.parameters, treasury=event.treasury))


def check(state: LedgerState) -> None:
    """Booked hours are those of leases that hold them; the money of a closed lease adds up to its deposit."""
    booked = dict.fromkeys(state.units, 0)
    for lease in state.leases.values():
        if not lease.hours_released:
            unit_id = lease.terms.offer.unit_id
            if booked[unit_id] & lease.terms.weekly_hours:
                raise InvariantBroken("disjoint hours", "overlap", subject=f"unit 0x{unit_id.hex()}")
            booked[unit_id] |= lease.terms.weekly_hours
        spent = lease.paid_units + lease.fee_units + lease.refund_units + lease.moved_units
        exact = lease.status is LeaseStatus.CLOSED
        if spent > lease.funded_units or (exact and spent != lease.funded_units):
            raise InvariantBroken(
                lease.funded_units, spent, subject=f"money of lease 0x{lease.lease_id.hex()}"
            )
    for unit_id, unit in state.units.items():
        if unit.booked_hours != booked[unit_id]:
            raise InvariantBroken(
                hex(booked[unit_id]), hex(unit.booked_hours), subject=f"booked hours of 0x{unit_id.hex()}"
            )


HANDLERS: Final[Mapping[type[events.Event], Handler]] = {
    **offers.HANDLERS,
    **leases.HANDLERS,
    **proofs.HANDLERS,
    events.Withdrawn: withdrawn,
    events.FeesWithdrawn: fees_withdrawn,
    events.Relayed: relayed,
    events.TokenSet: token_set,
    events.TreasuryChanged: treasury_changed,
}
