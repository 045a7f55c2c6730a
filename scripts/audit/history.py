"""The history that the logs tell: checked log by log, decoded, and folded into the ledger's state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from web3 import Web3

from protocol import ledger
from protocol.chain import Block
from protocol.errors import InvariantBroken, UnknownEvent
from protocol.events import Event, OwnershipTransferred, ProofPosted, TokenSet, decode, emitters
from protocol.ledger import LedgerState, Parameters, ProofEntry
from protocol.ledger.court import CourtState
from protocol.ledger.quorum import QuorumState
from protocol.logs import LogEntry
from protocol.manifest import DeploymentManifest
from protocol.structs import Terms
from protocol.units import Address
from scripts.audit.node import read_blocks, read_logs
from scripts.audit.report import Section

ACCOUNT_FIELDS = (
    *("renter", "provider", "payer", "treasury", "account", "from_", "to", "challenger"),
    *("signer", "operator", "new_owner"),
)


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
    quorum: QuorumState
    court: CourtState
    owners: Mapping[str, Address]
    """By the name of the contract."""

    @property
    def tokens(self) -> tuple[Address, ...]:
        """Every token that the contracts may hold: the stake token, all that were named or allowed."""
        named = {self.manifest.stake_token}
        named |= {token.address for token in self.manifest.tokens.values()}
        named |= {timed.event.token for timed in self.events if isinstance(timed.event, TokenSet)}
        return tuple(sorted(named))

    @property
    def accounts(self) -> tuple[Address, ...]:
        """Everybody whom a contract may owe: those whom any log names, whether it fits the ledger or not."""
        named: set[Address] = {*self.owners.values(), *self.manifest.contracts}
        for timed in self.events:
            named.update(_named_in(timed.event))
        return tuple(sorted(named))


def _named_in(event: Event) -> Iterator[Address]:
    """The accounts among an event's own fields."""
    for name in ACCOUNT_FIELDS:
        account = getattr(event, name, None)
        if account is not None:
            yield account


def read_history(
    web3: Web3, manifest: DeploymentManifest, from_block: int, block: Block, section: Section
) -> History:
    """Rebuild the state from the logs alone. A log that does not fit is reported and left out."""
    logs = read_logs(web3, manifest.contracts, from_block, block.number)
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
        quorum=fold.quorum,
        court=fold.court,
        owners=fold.owners,
    )


class _Fold:
    """Applies one log after the other, and notes at each proof what held then."""

    def __init__(self, manifest: DeploymentManifest, section: Section) -> None:
        self.state = LedgerState.empty(Parameters.of(manifest))
        self.section = section
        self.events: list[TimedEvent] = []
        self.proofs: list[PostedProof] = []
        self.quorum = QuorumState.of(manifest)
        self.court = CourtState.of(manifest)
        self.owners: dict[str, Address] = {}
        self._emitters = emitters(manifest)

    def take(self, log: LogEntry, timestamp: int) -> None:
        subject = subject_of(log)
        try:
            event = decode(log, self._emitters)
        except UnknownEvent as error:
            self.section.fail_with("log_undecodable", subject, error)
            return
        if isinstance(event, OwnershipTransferred):
            self.owners[self._emitters[log.address]] = event.new_owner
        # Kept even where the ledger refuses it: the transfers of a token are explained by what was logged.
        self.events.append(TimedEvent(event, timestamp))
        try:
            changes = ledger.apply(self.state, event, timestamp)
            self.quorum.apply(event, timestamp)
            self.court.apply(event)
        except InvariantBroken as error:
            self.section.fail("ledger_broken", error.subject, error.expected, error.actual)
            return
        self.section.compared += 1
        self.state.merge(changes)
        self._note(event, timestamp)

    def _note(self, event: Event, timestamp: int) -> None:
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
    if not section.compare("log_foreign", subject, True, log.address in manifest.contracts):
        return False
    block = blocks.get(log.position.block_number)
    if block is None:
        section.fail("log_block_unknown", subject, "a block of this chain", log.position.block_number)
        return False
    return section.compare("log_block_hash", subject, block.hash, log.position.block_hash)
