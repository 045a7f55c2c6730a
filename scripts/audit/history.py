"""The history that the logs tell: checked log by log, decoded, and folded into the ledger's state."""

from collections.abc import Mapping
from dataclasses import dataclass

from web3 import Web3

from protocol import ledger
from protocol.abi import entries
from protocol.chain import Block
from protocol.errors import InvariantBroken, UnknownEvent
from protocol.events import (
    CompensationWithdrawn,
    Event,
    LeaseOpened,
    OwnershipTransferred,
    ProofPosted,
    Staked,
    TokenAllowed,
    TreasuryChanged,
    Withdrawn,
    decode,
)
from protocol.ledger import LedgerState, Parameters, ProofEntry
from protocol.logs import LogEntry
from protocol.manifest import DeploymentManifest
from protocol.structs import Terms
from protocol.units import ZERO_ADDRESS, Address
from scripts.audit.node import read_blocks, read_logs
from scripts.audit.report import Section


@dataclass(frozen=True, slots=True)
class PostedProof:
    """A proof with what was true when it was posted."""

    entry: ProofEntry
    terms: Terms
    worker: Address
    lease_end: int
    posted_timestamp: int


@dataclass(frozen=True, slots=True)
class TimedEvent:
    event: Event
    timestamp: int


@dataclass(frozen=True, slots=True)
class History:
    """All that happened up to the pinned block."""

    manifest: DeploymentManifest
    from_block: int
    block: Block
    events: tuple[TimedEvent, ...]
    state: LedgerState
    proofs: tuple[PostedProof, ...]
    owner: Address

    @property
    def tokens(self) -> tuple[Address, ...]:
        """Every token that the contracts may hold: the stake token, all that were named or allowed."""
        named = {self.manifest.stake_token}
        named |= {token.address for token in self.manifest.tokens.values()}
        named |= {timed.event.token for timed in self.events if isinstance(timed.event, TokenAllowed)}
        return tuple(sorted(named))

    @property
    def accounts(self) -> tuple[Address, ...]:
        """Everybody whom a contract may owe: those whom any log names, whether it fits the ledger or not."""
        named: set[Address] = {self.owner}
        for timed in self.events:
            match timed.event:
                case LeaseOpened(renter=renter, provider=provider):
                    named |= {renter, provider}
                case Staked(provider=account) | TreasuryChanged(treasury=account):
                    named.add(account)
                case Withdrawn(account=account) | CompensationWithdrawn(account=account):
                    named.add(account)
                case _:
                    pass
        return tuple(sorted(named))


def read_history(
    web3: Web3, manifest: DeploymentManifest, from_block: int, block: Block, section: Section
) -> History:
    """Rebuild the state from the logs alone. A log that does not fit is reported and left out."""
    logs = read_logs(web3, [manifest.registry, manifest.market], from_block, block.number)
    blocks = read_blocks(web3, (log.position.block_number for log in logs))
    sound = [
        log for log in _without_repeats(logs, section) if _is_of_the_chain(log, blocks, manifest, section)
    ]
    fold = _Fold(manifest, section)
    for log in sound:
        fold.take(log, blocks[log.position.block_number].timestamp)
    try:
        ledger.check(fold.state)
    except InvariantBroken as error:
        section.fail("ledger_inconsistent", error.subject, error.expected, error.actual)
    return History(
        manifest=manifest,
        from_block=from_block,
        block=block,
        events=tuple(fold.events),
        state=fold.state,
        proofs=tuple(fold.proofs),
        owner=fold.owner,
    )


class _Fold:
    """Applies one log after the other, and notes at each proof what held then."""

    def __init__(self, manifest: DeploymentManifest, section: Section) -> None:
        self.state = LedgerState.empty(Parameters.of(manifest))
        self.section = section
        self.events: list[TimedEvent] = []
        self.proofs: list[PostedProof] = []
        self.owner = ZERO_ADDRESS
        self._contract_of = {manifest.registry: "ProviderRegistry", manifest.market: "LeaseMarket"}

    def take(self, log: LogEntry, timestamp: int) -> None:
        subject = subject_of(log)
        try:
            event = decode(log)
        except UnknownEvent as error:
            self.section.fail_with("log_undecodable", subject, error)
            return
        contract = self._contract_of[log.address]
        if not self.section.compare(
            "log_emitter", subject, True, type(event).__name__ in entries(contract, "event")
        ):
            return
        # Kept even where the ledger refuses it: the transfers of a token are explained by what was logged.
        self.events.append(TimedEvent(event, timestamp))
        try:
            changes = ledger.apply(self.state, event, timestamp)
        except InvariantBroken as error:
            self.section.fail("ledger_broken", error.subject, error.expected, error.actual)
            return
        self.section.compared += 1
        self.state.merge(changes)
        self._note(event, timestamp)

    def _note(self, event: Event, timestamp: int) -> None:
        if isinstance(event, OwnershipTransferred):
            self.owner = event.new_owner
        if isinstance(event, ProofPosted):
            lease = self.state.leases[event.lease_id]
            self.proofs.append(
                PostedProof(
                    entry=self.state.proofs[event.proof_hash],
                    terms=lease.terms,
                    worker=self.state.units[lease.terms.offer.unit_id].unit.worker,
                    lease_end=lease.end,
                    posted_timestamp=timestamp,
                )
            )


def subject_of(log: LogEntry) -> str:
    return f"log {log.position.log_index} of block {log.position.block_number}"


def _without_repeats(logs: list[LogEntry], section: Section) -> list[LogEntry]:
    """One log for each place in the chain; a second one at the same place is reported."""
    seen: dict[tuple[int, int], LogEntry] = {}
    for log in logs:
        place = (log.position.block_number, log.position.log_index)
        section.compared += 1
        if place in seen:
            section.fail("log_duplicated", subject_of(log), "once", "again")
        else:
            seen[place] = log
    return list(seen.values())


def _is_of_the_chain(
    log: LogEntry, blocks: Mapping[int, Block], manifest: DeploymentManifest, section: Section
) -> bool:
    subject = subject_of(log)
    if not section.compare("log_foreign", subject, True, log.address in (manifest.registry, manifest.market)):
        return False
    block = blocks.get(log.position.block_number)
    if block is None:
        section.fail("log_block_unknown", subject, "a block of this chain", log.position.block_number)
        return False
    return section.compare("log_block_hash", subject, block.hash, log.position.block_hash)
