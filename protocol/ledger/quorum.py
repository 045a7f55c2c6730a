"""What the events of OracleQuorum add up to: members, bonds, the threshold, findings, calibrations."""

from dataclasses import dataclass, field, replace

from protocol import events
from protocol.ledger.entries import FindingEntry
from protocol.ledger.findings import findings_after
from protocol.ledger.state import broken, expect, known
from protocol.manifest import DeploymentManifest
from protocol.units import Address, Digest, UnitId

MAX_MEMBERS = 64


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """`leaves_at` zero: stays. The bond is in base units of the stake token."""

    member: int
    signer: Address
    operator: Address
    active_at: int
    leaves_at: int = 0
    bond_units: int = 0


@dataclass(slots=True)
class QuorumState:
    """Everything that the quorum holds. `next_threshold` counts from `next_threshold_at` on; zero: none."""

    member_bond: int
    rotation_seconds: int
    exit_seconds: int
    threshold: int
    next_threshold: int = 0
    next_threshold_at: int = 0
    members: dict[int, MemberEntry] = field(default_factory=dict[int, MemberEntry])
    findings: dict[UnitId, FindingEntry] = field(default_factory=dict[UnitId, FindingEntry])
    attested: dict[bytes, UnitId] = field(default_factory=dict[bytes, UnitId])
    spreads: dict[Digest, int] = field(default_factory=dict[Digest, int])

    @classmethod
    def of(cls, manifest: DeploymentManifest) -> "QuorumState":
        """As it stands before the first event."""
        fixed = manifest.parameters
        return cls(fixed.member_bond, fixed.rotation_seconds, fixed.exit_seconds, fixed.threshold)

    @property
    def bond_units(self) -> int:
        """All that the contract owes, in base units of the stake token."""
        return sum(entry.bond_units for entry in self.members.values())

    def threshold_at(self, now: int) -> int:
        due = self.next_threshold and now >= self.next_threshold_at
        return self.next_threshold if due else self.threshold

    def active_members(self, now: int) -> int:
        """Bit i: member i is active and fully bonded."""
        return sum(1 << entry.member for entry in self.members.values() if self._is_active(entry, now))

    def attested_unit(self, gpu_id: bytes, now: int) -> UnitId | None:
        """The unit in which the GPU was found, as long as that holds."""
        unit_id = self.attested.get(gpu_id)
        if unit_id is None or now >= self.findings[unit_id].expires_at:
            return None
        return unit_id

    def apply(self, event: events.Event, block_timestamp: int) -> None:
        """Afterwards the event of this contract is part of the state; others change nothing.

        InvariantBroken where it is not what the contract promises after all events before it.
        """
        match event:
            case events.MemberAdded():
                self._added(event, block_timestamp)
            case events.MemberRemoved():
                self._removed(event, block_timestamp)
            case events.ThresholdScheduled():
                self._threshold_scheduled(event, block_timestamp)
            case events.BondDeposited() | events.BondWithdrawn() | events.MemberPenalised():
                self._bond_changed(event, block_timestamp)
            case events.GpusAttested():
                self._attested(event, block_timestamp)
            case events.ProfileCalibrated():
                expect(event, "calibrated before", False, event.tolerance_profile in self.spreads)
                expect(event, "max_spread zero", False, event.max_spread == 0)
                self.spreads[event.tolerance_profile] = event.max_spread
            case _:
                pass

    def _is_active(self, entry: MemberEntry, now: int) -> bool:
        stays = entry.leaves_at == 0 or now < entry.leaves_at
        return stays and now >= entry.active_at and entry.bond_units >= self.member_bond

    def _added(self, event: events.MemberAdded, now: int) -> None:
        lowest_free = next(index for index in range(MAX_MEMBERS + 1) if index not in self.members)
        expect(event, "member", lowest_free, event.member)
        if any(entry.signer == event.signer for entry in self.members.values()):
            raise broken(event, "signer", "of no other member", event.signer)
        expect(event, "active_at", now + self.rotation_seconds, event.active_at)
        self.members[event.member] = MemberEntry(event.member, event.signer, event.operator, event.active_at)

    def _removed(self, event: events.MemberRemoved, now: int) -> None:
        entry = known(event, "member", self.members.get(event.member))
        expect(event, "removed before", 0, entry.leaves_at)
        expect(event, "leaves_at", now + self.rotation_seconds, event.leaves_at)
        self.members[event.member] = replace(entry, leaves_at=event.leaves_at)

    def _threshold_scheduled(self, event: events.ThresholdScheduled, now: int) -> None:
        staying = sum(1 for entry in self.members.values() if entry.leaves_at == 0)
        if not staying // 2 < event.threshold <= staying:
            raise broken(event, "threshold", f"more than half of {staying}", event.threshold)
        expect(event, "active_at", now + self.rotation_seconds, event.active_at)
        self.threshold = self.threshold_at(now)
        self.next_threshold, self.next_threshold_at = event.threshold, event.active_at

    def _bond_changed(
        self, event: events.BondDeposited | events.BondWithdrawn | events.MemberPenalised, now: int
    ) -> None:
        entry = known(event, "member", self.members.get(event.member))
        if isinstance(event, events.BondDeposited):
            self.members[event.member] = replace(entry, bond_units=entry.bond_units + event.amount)
            return
        if isinstance(event, events.MemberPenalised):
            if event.amount > entry.bond_units:
                raise broken(event, "amount", f"at most {entry.bond_units}", event.amount)
            self.members[event.member] = replace(entry, bond_units=entry.bond_units - event.amount)
            return
        expect(event, "amount", entry.bond_units, event.amount)
        expect(event, "removed before", True, entry.leaves_at != 0)
        if now < entry.leaves_at + self.exit_seconds:
            raise broken(event, "time", f"at least {entry.leaves_at + self.exit_seconds}", now)
        del self.members[event.member]

    def _attested(self, event: events.GpusAttested, now: int) -> None:
        self.findings.update(findings_after(self.findings, self.attested, event, now))
        self.attested.update(dict.fromkeys(event.attestation.gpu_ids, event.unit_id))
