"""Movements of money: every transfer in or out of the contracts against the events that explain it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from web3 import Web3

from protocol import events
from protocol.keccak import keccak256
from protocol.logs import LogEntry
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
