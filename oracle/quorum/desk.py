"""What the API needs to sign for others, and to hand out what was signed."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.quorum.council import CouncilView
from oracle.quorum.examination import OutageExaminer, Refusal
from oracle.quorum.proposer import outage_of
from oracle.quorum.signer import QuorumSigner
from oracle.store.engine import Store
from protocol.findings import Finding, OutageBody
from protocol.structs import Outage
from protocol.units import Address, LeaseId


@dataclass(frozen=True, slots=True)
class QuorumDesk:
    """Threads may share it: requests come in parallel."""

    store: Store
    view: CouncilView
    signer: QuorumSigner
    outages: OutageExaminer

    def is_member(self, account: Address) -> bool:
        """ChainUnavailable, RpcError."""
        return account in self.view.council().members

    def sign(self, finding: Finding) -> bytes | Refusal:
        return self.signer.sign(finding)

    def outage(self, lease_id: LeaseId, now: int) -> OutageBody | None:
        decided = outage_of(self.store, self.view, self.outages, lease_id, now)
        if decided is None or not isinstance(decided.finding, Outage):
            return None
        return OutageBody.of(decided.finding, decided.signatures)
