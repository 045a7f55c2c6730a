"""Money: what the contracts hold and to whom they owe it, and what became of each lease's deposit."""

from collections import Counter
from collections.abc import Mapping

from web3 import Web3

from protocol import events
from protocol.accrual import compensation_units, fee_units, pay_units
from protocol.contracts import Token
from protocol.ledger import LeaseEntry, LedgerState
from protocol.structs import LeaseStatus, OfferKind
from protocol.units import Address, LeaseId, to_hex
from scripts.audit.history import History
from scripts.audit.report import Section


def check_balances(web3: Web3, history: History, section: Section) -> None:
    """Each contract holds of each token exactly what it owes."""
    block = history.block.number
    for address in history.tokens:
        token = Token(web3, address)
        for holder, expected in owed(history, address).items():
            actual = token.balance_of(holder, block=block)
            section.compare("balance", f"{address} held by {holder}", expected, actual)


def owed(history: History, token: Address) -> Mapping[Address, int]:
    """By contract: all but the market hold the stake token alone."""
    manifest, state = history.manifest, history.state
    in_stake = token == manifest.stake_token
    return {
        manifest.market: market_owes(state, token),
        manifest.registry: registry_owes(state) if in_stake else 0,
        manifest.quorum: history.quorum.bond_units if in_stake else 0,
        # Its rewards out of slashed bonds lie in the registry until it fetches them.
        manifest.court: history.court.owed_units - state.compensations.get(manifest.court, 0)
        if in_stake
        else 0,
    }


def market_owes(state: LedgerState, token: Address) -> int:
    """Deposits not yet spent, credits not yet withdrawn and fees not yet sent, in one token."""
    unspent = sum(
        lease.deposit_units - lease.paid_units - lease.fee_units - lease.refund_units
        for lease in state.leases.values()
        if lease.terms.offer.token == token
    )
    credits = sum(amount for (of, _), amount in state.credits.items() if of == token)
    return unspent + credits + state.fees.get(token, 0)


def registry_owes(state: LedgerState) -> int:
    """Stakes, be they free, locked or unbonding, compensations not withdrawn, what is burned in the books."""
    stakes = sum(provider.stake_units for provider in state.providers.values())
    return stakes + sum(state.compensations.values()) + state.burned_units


def check_leases(history: History, section: Section) -> None:
    """Each deposit to the unit: paid + fee + refund at the end, never more before; and the bond's share."""
    paid_in = deposits_in(history)
    for lease in history.state.leases.values():
        subject = f"lease {to_hex(lease.lease_id)}"
        section.compare("lease_funded", subject, paid_in.get(lease.lease_id, 0), lease.funded_units)
        spent = lease.paid_units + lease.fee_units
        gross = pay_units(lease.terms.offer.price_per_hour, lease.settled_seconds)
        section.compare("lease_pay", subject, gross, spent)
        section.compare("lease_fee", subject, fee_units(gross, lease.terms.fee_bps), lease.fee_units)
        section.at_most("lease_settled_seconds", subject, lease.scheduled_seconds, lease.settled_seconds)
        if lease.status is LeaseStatus.CLOSED:
            section.compare("lease_conservation", subject, lease.deposit_units, spent + lease.refund_units)
            section.compare("lease_compensation", subject, compensation_due(lease), lease.compensation_units)
        else:
            section.at_most("lease_overspent", subject, lease.deposit_units, spent)


def deposits_in(history: History) -> Mapping[LeaseId, int]:
    """What was paid into each lease, event by event."""
    deposits: dict[LeaseId, int] = {}
    paid_in: Counter[LeaseId] = Counter()
    for timed in history.events:
        match timed.event:
            case events.LeaseOpened(lease_id=lease_id, deposit=deposit):
                deposits[lease_id] = paid_in[lease_id] = deposit
            case events.LeaseExtended(lease_id=lease_id, deposit=deposit):
                paid_in[lease_id] += deposit - deposits.get(lease_id, 0)
                deposits[lease_id] = deposit
            case events.FailedOver(lease_id=lease_id, moved=moved):
                deposits[lease_id] = deposits.get(lease_id, 0) - moved
            case _:
                pass
    return paid_in


def compensation_due(lease: LeaseEntry) -> int:
    """The share of a RESERVED lease's bond for seconds not served, unless the court took the bond."""
    offer = lease.terms.offer
    if offer.kind is not OfferKind.RESERVED or lease.bond_slashed:
        return 0
    owed_seconds = lease.scheduled_seconds + lease.penalty_seconds
    return compensation_units(offer.bond, owed_seconds, lease.settled_seconds)
