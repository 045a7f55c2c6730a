"""Money: what the contracts hold, what moved in and out of them, and what became of each lease's deposit."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from web3 import Web3

from protocol import events
from protocol.accrual import compensation_units, fee_units, pay_units
from protocol.contracts import Token
from protocol.keccak import keccak256
from protocol.ledger import LeaseEntry, LedgerState
from protocol.logs import LogEntry
from protocol.structs import LeaseStatus, OfferKind
from protocol.units import Address, address_of, to_hex
from scripts.audit.history import History
from scripts.audit.node import read_transfers
from scripts.audit.report import Section

TRANSFER_TOPIC = keccak256(b"Transfer(address,address,uint256)")


@dataclass(frozen=True, slots=True, order=True)
class Transfer:
    """One movement of a token in one transaction."""

    transaction_hash: bytes
    token: Address
    sender: Address
    receiver: Address
    amount_units: int


def check_balances(web3: Web3, history: History, section: Section) -> None:
    """Each contract holds of each token exactly what it owes: deposits, credits, stakes, compensations."""
    manifest, block = history.manifest, history.block.number
    for address in history.tokens:
        token = Token(web3, address)
        for holder, expected in (
            (manifest.market, market_owes(history.state, address)),
            (manifest.registry, registry_owes(history.state) if address == manifest.stake_token else 0),
        ):
            actual = token.balance_of(holder, block=block)
            section.compare("balance", f"{address} held by {holder}", expected, actual)


def market_owes(state: LedgerState, token: Address) -> int:
    """Deposits not yet spent and credits not yet withdrawn, in one token."""
    unspent = sum(
        lease.deposit_units - lease.paid_units - lease.fee_units - lease.refund_units
        for lease in state.leases.values()
        if lease.terms.offer.token == token
    )
    return unspent + sum(amount for (of, _), amount in state.credits.items() if of == token)


def registry_owes(state: LedgerState) -> int:
    """Stakes, be they free, locked or unbonding, and compensations not yet withdrawn."""
    stakes = sum(provider.stake_units for provider in state.providers.values())
    return stakes + sum(state.compensations.values())


def check_transfers(web3: Web3, history: History, section: Section) -> None:
    """Every transfer in or out has its event in the same transaction, and the other way round."""
    explained = Counter(_explained(history))
    actual = Counter(_actual(web3, history))
    section.compared += sum(explained.values())
    for transfer, count in sorted((actual - explained).items()):
        section.fail(
            "transfer_unexplained", _subject(transfer), "an event that explains it", f"{count} without"
        )
    for transfer, count in sorted((explained - actual).items()):
        section.fail(
            "transfer_missing", _subject(transfer), "a transfer as the event says", f"{count} missing"
        )


def _actual(web3: Web3, history: History) -> Iterator[Transfer]:
    for party in (history.manifest.market, history.manifest.registry):
        for place in (1, 2):
            logs = read_transfers(
                web3, history.tokens, TRANSFER_TOPIC, party, place, history.from_block, history.block.number
            )
            yield from (_transfer(log) for log in logs if int.from_bytes(log.data) != 0)


def _transfer(log: LogEntry) -> Transfer:
    return Transfer(
        transaction_hash=log.position.transaction_hash,
        token=log.address,
        sender=address_of(log.topics[1][12:]),
        receiver=address_of(log.topics[2][12:]),
        amount_units=int.from_bytes(log.data),
    )


def _explained(history: History) -> Iterator[Transfer]:
    for timed in history.events:
        movement = _movement(history, timed.event)
        if movement is not None and movement.amount_units != 0:
            yield movement


def _movement(history: History, event: events.Event) -> Transfer | None:
    """The one transfer that an event of ours promises."""
    manifest = history.manifest
    market, registry, stake = manifest.market, manifest.registry, manifest.stake_token
    match event:
        case events.Staked(provider=payer, amount=amount):
            route = (stake, payer, registry, amount)
        case events.StakeWithdrawn(to=to, amount=amount) | events.CompensationWithdrawn(to=to, amount=amount):
            route = (stake, registry, to, amount)
        case events.LeaseOpened(renter=payer, terms=terms, deposit=amount):
            route = (terms.offer.token, payer, market, amount)
        case events.Withdrawn(token=token, to=to, amount=amount):
            route = (token, market, to, amount)
        case _:
            return None
    return Transfer(event.position.transaction_hash, *route)


def _subject(transfer: Transfer) -> str:
    return (
        f"{transfer.amount_units} of {transfer.token} from {transfer.sender} to {transfer.receiver}"
        f" in {to_hex(transfer.transaction_hash)}"
    )


def check_leases(leases: Iterable[LeaseEntry], section: Section) -> None:
    """Each deposit to the unit: paid + fee + refund at the end, never more before; and the bond's share."""
    for lease in leases:
        subject = f"lease {to_hex(lease.lease_id)}"
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


def compensation_due(lease: LeaseEntry) -> int:
    """The share of a RESERVED lease's bond for seconds owed and not served."""
    offer = lease.terms.offer
    if offer.kind is not OfferKind.RESERVED:
        return 0
    owed_seconds = lease.scheduled_seconds + lease.penalty_seconds
    return compensation_units(offer.bond, owed_seconds, lease.settled_seconds)
