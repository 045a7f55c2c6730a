"""The state of the ledger, and the changes to it that one event makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from protocol.abi_bytes import abi_encode
from protocol.errors import InvariantBroken
from protocol.keccak import keccak256
from protocol.ledger.entries import (
    NO_BOND,
    Bond,
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
from protocol.logs import LogPosition
from protocol.manifest import DeploymentManifest
from protocol.reputation import Custom
from protocol.structs import (
    LeaseStatus,
)
from protocol.typed_data import Domain
from protocol.units import ZERO_ADDRESS, Address, LeaseId, OfferHash, ProofHash, UnitId

E = TypeVar("E")

Handler = Callable[["LedgerState", Any, int], "Changes"]


class Located(Protocol):
    """Any event: all that a complaint about it needs."""

    @property
    def position(self) -> LogPosition: ...


class LeaseEvent(Located, Protocol):
    """Any event that names a lease."""

    @property
    def lease_id(self) -> LeaseId: ...


@dataclass(frozen=True, slots=True)
class Parameters:
    """Immutables of the deployment, and what its owner has set so far."""

    domain: Domain
    court: Address
    challenge_seconds: int
    proof_grace_seconds: int
    answer_seconds: int
    unbonding_seconds: int
    treasury: Address = ZERO_ADDRESS
    token_fees: Mapping[Address, int] = field(default_factory=dict[Address, int])
    """Fee of new leases, in 1/10,000, for each token that is allowed."""

    @classmethod
    def of(cls, manifest: DeploymentManifest) -> "Parameters":
        """As they stand before the first event."""
        fixed = manifest.parameters
        return cls(
            domain=Domain(manifest.chain_id, manifest.market),
            court=manifest.court,
            challenge_seconds=fixed.challenge_seconds,
            proof_grace_seconds=fixed.proof_grace_seconds,
            answer_seconds=fixed.answer_seconds,
            unbonding_seconds=fixed.unbonding_seconds,
        )

    @property
    def allowed_tokens(self) -> frozenset[Address]:
        return frozenset(self.token_fees)


@dataclass(frozen=True, slots=True)
class Changes:
    """Entries as they stand after an event; None where a value stays."""

    providers: tuple[ProviderEntry, ...] = ()
    units: tuple[UnitEntry, ...] = ()
    gpus: tuple[GpuEntry, ...] = ()
    offers: tuple[OfferEntry, ...] = ()
    leases: tuple[LeaseEntry, ...] = ()
    proofs: tuple[ProofEntry, ...] = ()
    credits: tuple[CreditEntry, ...] = ()
    compensations: tuple[CompensationEntry, ...] = ()
    fees: tuple[FeeEntry, ...] = ()
    relays: tuple[RelayEntry, ...] = ()
    findings: tuple[FindingEntry, ...] = ()
    customs: tuple[Custom, ...] = ()
    cancelled_salts: tuple[tuple[Address, int], ...] = ()
    burned_units: int | None = None
    slashing: Bond | None = None
    parameters: Parameters | None = None

    def with_customs(self, customs: tuple[Custom, ...]) -> "Changes":
        return replace(self, customs=customs)


@dataclass(slots=True)
class LedgerState:
    """Everything that the contracts hold, rebuilt from their events."""

    parameters: Parameters
    providers: dict[Address, ProviderEntry] = field(default_factory=dict[Address, ProviderEntry])
    units: dict[UnitId, UnitEntry] = field(default_factory=dict[UnitId, UnitEntry])
    gpus: dict[bytes, UnitId] = field(default_factory=dict[bytes, UnitId])
    offers: dict[OfferHash, OfferEntry] = field(default_factory=dict[OfferHash, OfferEntry])
    leases: dict[LeaseId, LeaseEntry] = field(default_factory=dict[LeaseId, LeaseEntry])
    proofs: dict[ProofHash, ProofEntry] = field(default_factory=dict[ProofHash, ProofEntry])
    credits: dict[tuple[Address, Address], int] = field(default_factory=dict[tuple[Address, Address], int])
    compensations: dict[Address, int] = field(default_factory=dict[Address, int])
    fees: dict[Address, int] = field(default_factory=dict[Address, int])
    relay_nonces: dict[Address, int] = field(default_factory=dict[Address, int])
    findings: dict[UnitId, FindingEntry] = field(default_factory=dict[UnitId, FindingEntry])
    attested: dict[bytes, UnitId] = field(default_factory=dict[bytes, UnitId])
    """In which unit each GPU was found last."""
    customs: dict[tuple[Address, Address, Address], Custom] = field(
        default_factory=dict[tuple[Address, Address, Address], Custom]
    )
    """By provider, token and renter: what reputations are made of."""
    cancelled_salts: set[tuple[Address, int]] = field(default_factory=set[tuple[Address, int]])
    burned_units: int = 0
    """Slashed, and not swept."""
    slashing: Bond = NO_BOND
    """Declared by the market; the registry's word on where it goes comes next."""

    @classmethod
    def empty(cls, parameters: Parameters) -> "LedgerState":
        """As before the first event; `parameters` as `Parameters.of` gives them."""
        return cls(parameters)

    def merge(self, changes: Changes) -> None:
        """Afterwards this state holds the changed entries."""
        for provider in changes.providers:
            self.providers[provider.provider] = provider
        for unit in changes.units:
            self.units[unit.unit_id] = unit
        for offer in changes.offers:
            self.offers[offer.offer_hash] = offer
        for lease in changes.leases:
            self.leases[lease.lease_id] = lease
        for proof in changes.proofs:
            self.proofs[proof.proof_hash] = proof
        self._merge_repute(changes)
        self._merge_money(changes)
        for gpu in changes.gpus:
            if gpu.unit_id is None:
                self.gpus.pop(gpu.gpu_id, None)
            else:
                self.gpus[gpu.gpu_id] = gpu.unit_id
        if changes.slashing is not None:
            self.slashing = changes.slashing
        if changes.parameters is not None:
            self.parameters = changes.parameters

    def _merge_repute(self, changes: Changes) -> None:
        for custom in changes.customs:
            self.customs[custom.provider, custom.token, custom.renter] = custom
        for finding in changes.findings:
            self.findings[finding.attestation.unit_id] = finding
            # One that ends before its time has lost a GPU to another.
            if finding.expires_at == finding.attestation.expires_at:
                gpu_ids = finding.attestation.gpu_ids
                self.attested.update(dict.fromkeys(gpu_ids, finding.attestation.unit_id))

    def _merge_money(self, changes: Changes) -> None:
        for credit in changes.credits:
            self.credits[credit.token, credit.account] = credit.amount_units
        for compensation in changes.compensations:
            self.compensations[compensation.account] = compensation.amount_units
        for fee in changes.fees:
            self.fees[fee.token] = fee.amount_units
        for relay in changes.relays:
            self.relay_nonces[relay.account] = relay.nonce
        if changes.cancelled_salts:
            self.cancelled_salts.update(changes.cancelled_salts)
        if changes.burned_units is not None:
            self.burned_units = changes.burned_units


def expect(event: Located, what: str, expected: object, actual: object) -> None:
    """InvariantBroken where the two differ."""
    if expected != actual:
        raise broken(event, what, expected, actual)


def broken(event: Located, what: str, expected: object, actual: object) -> InvariantBroken:
    position = event.position
    subject = f"{type(event).__name__} at block {position.block_number}, log {position.log_index}: {what}"
    return InvariantBroken(_text(expected), _text(actual), subject=subject)


def known(event: Located, what: str, entry: E | None) -> E:
    """`entry`, which an earlier event must have made. InvariantBroken where it is None."""
    if entry is None:
        raise broken(event, what, "known from an earlier event", "unknown")
    return entry


def open_lease(state: LedgerState, event: LeaseEvent) -> LeaseEntry:
    """The event's lease, which must be open."""
    lease = known(event, "lease", state.leases.get(event.lease_id))
    expect(event, "status", LeaseStatus.OPEN, lease.status)
    return lease


def unit_id_of(provider: Address, node_id: bytes, gpu_ids: Sequence[bytes]) -> UnitId:
    """The id of the unit of these GPUs on that node of the provider."""
    members = (provider, node_id, list(gpu_ids))
    return UnitId(keccak256(abi_encode(("address", "bytes32", "bytes32[]"), members)))


def credited(state: LedgerState, token: Address, account: Address, amount_units: int) -> CreditEntry:
    """The account's credit, so much more than before."""
    return CreditEntry(token, account, state.credits.get((token, account), 0) + amount_units)


def _text(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value
