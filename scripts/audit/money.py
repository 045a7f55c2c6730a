"""Money: what the contracts hold, what moved in and out of them, and what became of each lease's deposit."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from web3 import Web3

from protocol import events
from protocol.accrual import compensation_units, fee_units, pay_units
from protocol.contracts import Token
from protocol.keccak import keccak256
from protocol.ledger import LeaseEntry, LedgerState
from protocol.logs import LogEntry
from protocol.structs import LeaseStatus, OfferKind
from protocol.units import ZERO_ADDRESS, Address, LeaseId, address_of, to_hex
from scripts.audit.history import History
from scripts.audit.node import read_indexed
from scripts.audit.report import Section

TRANSFER_TOPIC = keccak256(b"Transfer(address,address,uint256)")
# What WETH9 logs instead where native coin comes in.
DEPOSIT_TOPIC = keccak256(b"Deposit(address,uint256)")
NOBODY = Address("0x000000000000000000000000000000000000dEaD")
ANYBODY = Address("anybody")


@dataclass(frozen=True, slots=True, order=True)
class Transfer:
    """One movement of a token in one transaction."""

    transaction_hash: bytes
    token: Address
    sender: Address
    receiver: Address
    amount_units: int


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


def check_transfers(web3: Web3, history: History, section: Section) -> None:
    """Every transfer in or out has its event in the same transaction, and the other way round."""
    told = list(_explained(history))
    exact = Counter(transfer for transfer in told if transfer.sender != ANYBODY)
    actual = Counter(_actual(web3, history))
    unexplained, missing = actual - exact, exact - actual
    for transfer in told:
        # Who paid for a lease no event says, nor whether it was native coin.
        if transfer.sender == ANYBODY and not _take_from_anybody(unexplained, transfer):
            missing[transfer] += 1
    section.compared += len(told)
    for transfer, count in sorted((+unexplained).items()):
        section.fail(
            "transfer_unexplained", _subject(transfer), "an event that explains it", f"{count} without"
        )
    for transfer, count in sorted((+missing).items()):
        section.fail(
            "transfer_missing", _subject(transfer), "a transfer as the event says", f"{count} missing"
        )


def _take_from_anybody(unexplained: Counter[Transfer], wanted: Transfer) -> bool:
    for transfer in list(+unexplained):
        if replace(transfer, sender=ANYBODY) == wanted:
            unexplained[transfer] -= 1
            return True
    return False


def _actual(web3: Web3, history: History) -> Iterator[Transfer]:
    manifest, first, last = history.manifest, history.from_block, history.block.number
    found: dict[tuple[int, int], Transfer] = {}
    for party in manifest.contracts:
        for place in (1, 2):
            logs = read_indexed(web3, history.tokens, TRANSFER_TOPIC, party, place, first, last)
            # One between two of our contracts is found twice.
            found.update((_place(log), _transfer(log)) for log in logs if int.from_bytes(log.data) != 0)
    yield from found.values()
    if manifest.wrapped_native == ZERO_ADDRESS:
        return
    minted = Counter(transfer for transfer in found.values() if transfer.sender == ZERO_ADDRESS)
    for log in read_indexed(web3, [manifest.wrapped_native], DEPOSIT_TOPIC, manifest.market, 1, first, last):
        deposit = Transfer(
            log.position.transaction_hash,
            log.address,
            ZERO_ADDRESS,
            manifest.market,
            int.from_bytes(log.data),
        )
        if minted[deposit] > 0:
            minted[deposit] -= 1  # a wrapper that logs both
        else:
            yield deposit


def _place(log: LogEntry) -> tuple[int, int]:
    return log.position.block_number, log.position.log_index


def _transfer(log: LogEntry) -> Transfer:
    return Transfer(
        transaction_hash=log.position.transaction_hash,
        token=log.address,
        sender=address_of(log.topics[1][12:]),
        receiver=address_of(log.topics[2][12:]),
        amount_units=int.from_bytes(log.data),
    )


def _explained(history: History) -> Iterator[Transfer]:
    escrow = _Escrow(history)
    for timed in history.events:
        event = timed.event
        route = escrow.route(event) or _route(history, event)
        if route is not None and route[-1] != 0:
            yield Transfer(event.position.transaction_hash, *route)


Route = tuple[Address, Address, Address, int]
"""Token, sender, receiver, amount."""


class _Escrow:
    """What the events of leases promise: it takes to know what was in the deposit before."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._deposits: dict[LeaseId, int] = {}
        self._moved_into = {
            timed.event.next_lease_id
            for timed in history.events
            if isinstance(timed.event, events.FailedOver)
        }

    def route(self, event: events.Event) -> Route | None:
        match event:
            case events.LeaseOpened(lease_id=lease_id, deposit=deposit):
                self._deposits[lease_id] = deposit
                # Of a lease that follows on another one, the money is here already.
                return None if lease_id in self._moved_into else self._paid(lease_id, ANYBODY, deposit)
            case events.LeaseExtended(lease_id=lease_id, payer=payer, deposit=deposit):
                added = deposit - self._deposits.get(lease_id, 0)
                self._deposits[lease_id] = deposit
                return self._paid(lease_id, payer, added)
            case events.FailedOver(lease_id=lease_id, moved=moved):
                self._deposits[lease_id] = self._deposits.get(lease_id, 0) - moved
            case events.LeaseTransferred(lease_id=lease_id, to=buyer, price=price):
                return self._paid(lease_id, buyer, price, native=False)
            case _:
                pass
        return None

    def _paid(self, lease_id: LeaseId, payer: Address, amount: int, native: bool = True) -> Route | None:
        manifest, lease = self._history.manifest, self._history.state.leases.get(lease_id)
        if lease is None:
            return None  # the ledger refused its opening, which is reported
        token = lease.terms.offer.token
        sender = ANYBODY if native and token == manifest.wrapped_native else payer
        return token, sender, manifest.market, amount


def _route(history: History, event: events.Event) -> Route | None:
    """The one transfer that any other event of ours promises."""
    manifest = history.manifest
    registry, stake = manifest.registry, manifest.stake_token
    match event:
        case events.Staked(provider=payer, amount=amount):
            return stake, payer, registry, amount
        case events.StakeWithdrawn(to=to, amount=amount) | events.CompensationWithdrawn(to=to, amount=amount):
            return stake, registry, to, amount
        case events.BurnedSwept(amount=amount):
            return stake, registry, NOBODY, amount
        case events.Withdrawn(token=token, to=to, amount=amount):
            return token, manifest.market, to, amount
        case events.FeesWithdrawn(token=token, treasury=treasury, amount=amount):
            return token, manifest.market, treasury, amount
        case _:
            return _route_of_judges(history, event)


def _route_of_judges(history: History, event: events.Event) -> Route | None:
    manifest = history.manifest
    quorum, court, stake = manifest.quorum, manifest.court, manifest.stake_token
    match event:
        case events.BondDeposited(from_=payer, amount=amount):
            return stake, payer, quorum, amount
        case events.BondWithdrawn(to=to, amount=amount):
            return stake, quorum, to, amount
        case events.MemberPenalised(amount=amount):
            return stake, quorum, NOBODY, amount
        case events.Deposited(account=payer, amount=amount):
            return stake, payer, court, amount
        case events.CourtWithdrawn(to=to, amount=amount):
            return stake, court, to, amount
        case events.CourtBurnedSwept(amount=amount):
            return stake, court, NOBODY, amount
        case _:
            return None


def _subject(transfer: Transfer) -> str:
    return (
        f"{transfer.amount_units} of {transfer.token} from {transfer.sender} to {transfer.receiver}"
        f" in {to_hex(transfer.transaction_hash)}"
    )


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
