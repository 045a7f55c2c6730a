"""What the events of ComputeCourt add up to: whose money it holds, and which disputes are open."""

from dataclasses import dataclass, field

from protocol import events
from protocol.ledger.state import broken, expect, known
from protocol.manifest import DeploymentManifest
from protocol.structs import Outcome
from protocol.units import Address, Digest, LeaseId


@dataclass(frozen=True, slots=True)
class DisputeEntry:
    """A dispute that is open: the challenge bond is in it."""

    dispute_id: Digest
    lease_id: LeaseId
    challenger: Address


@dataclass(slots=True)
class CourtState:
    """Balances, in base units of the stake token, open disputes, and what is burned and not swept."""

    challenge_bond: int
    balances: dict[Address, int] = field(default_factory=dict[Address, int])
    disputes: dict[Digest, DisputeEntry] = field(default_factory=dict[Digest, DisputeEntry])
    refuted: set[Digest] = field(default_factory=set[Digest])
    """Disputes without a bond, which end in the transaction that opens them."""
    burned_units: int = 0
    ended: int = 0

    @classmethod
    def of(cls, manifest: DeploymentManifest) -> "CourtState":
        """As it stands before the first event."""
        return cls(manifest.parameters.challenge_bond)

    @property
    def owed_units(self) -> int:
        """All that the contract owes, its credit in the registry included."""
        return sum(self.balances.values()) + len(self.disputes) * self.challenge_bond + self.burned_units

    def apply(self, event: events.Event) -> None:
        """Afterwards the event of this contract is part of the state; others change nothing.

        InvariantBroken where it is not what the contract promises after all events before it.
        """
        match event:
            case events.Deposited() | events.Credited():
                self.balances[event.account] = self.balances.get(event.account, 0) + event.amount
            case events.CourtWithdrawn():
                self._take(event, event.account, event.amount)
            case events.CourtBurnedSwept():
                expect(event, "amount", self.burned_units, event.amount)
                self.burned_units = 0
            case events.Challenged():
                self._challenged(event)
            case events.TraceRefuted():
                self.refuted.add(event.dispute_id)
            case events.DisputeResolved():
                self._resolved(event)
            case _:
                pass

    def _take(self, event: events.Event, account: Address, amount: int) -> None:
        balance = self.balances.get(account, 0)
        if amount > balance:
            raise broken(event, "amount", f"at most {balance}", amount)
        self.balances[account] = balance - amount

    def _challenged(self, event: events.Challenged) -> None:
        expect(event, "lease", event.lease_id, event.key.lease_id)
        expect(event, "open before", False, event.dispute_id in self.disputes)
        self._take(event, event.challenger, self.challenge_bond)
        self.disputes[event.dispute_id] = DisputeEntry(event.dispute_id, event.lease_id, event.challenger)

    def _resolved(self, event: events.DisputeResolved) -> None:
        self.ended += 1
        if event.dispute_id in self.refuted:
            self.refuted.remove(event.dispute_id)
            expect(event, "outcome", Outcome.REFUTED, event.outcome)
            expect(event, "burned", 0, event.burned)
            return
        entry = known(event, "dispute", self.disputes.get(event.dispute_id))
        expect(event, "lease", entry.lease_id, event.lease_id)
        if event.burned > self.challenge_bond:
            raise broken(event, "burned", f"at most {self.challenge_bond}", event.burned)
        del self.disputes[event.dispute_id]
        self.burned_units += event.burned
