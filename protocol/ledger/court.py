"""What the events of ComputeCourt add up to: whose money it holds, and which disputes are open.

What a dispute pays out and burns is its challenge bond, and of a slashed bond the challenger's reward and the
committee's fee; the market and the registry tell of the rest.
"""

from dataclasses import dataclass, field

from protocol import events
from protocol.abi import canonical_type, struct_fields
from protocol.abi_bytes import abi_encode
from protocol.keccak import keccak256
from protocol.ledger.state import broken, expect, known
from protocol.manifest import DeploymentManifest
from protocol.structs import DisputeKey, Outcome, abi_tuple
from protocol.units import Address, Digest, LeaseId

REWARD_PER_CENT = 30
FEE_PER_CENT = 10


def dispute_id_of(key: DisputeKey) -> Digest:
    """keccak-256 of the key's ABI encoding."""
    types = [canonical_type(field.component) for field in struct_fields("DisputeKey")]
    return Digest(keccak256(abi_encode(types, abi_tuple(key))))


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
    paid: dict[Digest, int] = field(default_factory=dict[Digest, int])
    """Credits of disputes that are ending."""
    burned_units: int = 0
    ended: int = 0
    relay_nonces: dict[Address, int] = field(default_factory=dict[Address, int])
    """Of each account's next relayed call."""

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
            case events.Deposited():
                self._give(event.account, event.amount)
            case events.Credited():
                self._credited(event)
            case events.CourtWithdrawn():
                self._take(event, event.account, event.amount)
            case events.CourtBurnedSwept():
                expect(event, "amount", self.burned_units, event.amount)
                self.burned_units = 0
            case events.CourtRelayed():
                expect(event, "nonce", self.relay_nonces.get(event.account, 0), event.nonce)
                self.relay_nonces[event.account] = event.nonce + 1
            case events.Challenged():
                self._challenged(event)
            case events.TraceRefuted():
                expect(event, "dispute_id", dispute_id_of(event.key), event.dispute_id)
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

    def _give(self, account: Address, amount: int) -> None:
        self.balances[account] = self.balances.get(account, 0) + amount

    def _credited(self, event: events.Credited) -> None:
        open_now = event.dispute_id in self.disputes or event.dispute_id in self.refuted
        expect(event, "dispute open", True, open_now)
        self._give(event.account, event.amount)
        self.paid[event.dispute_id] = self.paid.get(event.dispute_id, 0) + event.amount

    def _challenged(self, event: events.Challenged) -> None:
        expect(event, "dispute_id", dispute_id_of(event.key), event.dispute_id)
        expect(event, "open before", False, event.dispute_id in self.disputes)
        self._take(event, event.challenger, self.challenge_bond)
        self.disputes[event.dispute_id] = DisputeEntry(event.dispute_id, event.lease_id, event.challenger)

    def _resolved(self, event: events.DisputeResolved) -> None:
        self.ended += 1
        bond = 0 if event.dispute_id in self.refuted else self.challenge_bond
        prize = self.paid.pop(event.dispute_id, 0) + event.burned - bond
        reward, fee = (event.slashed * share // 100 for share in (REWARD_PER_CENT, FEE_PER_CENT))
        if not reward <= prize <= reward + fee:
            raise broken(event, "paid out of the slashed bond", f"{reward} to {reward + fee}", prize)
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
