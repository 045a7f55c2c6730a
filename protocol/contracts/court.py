"""ComputeCourt, and what answers at its address."""

from dataclasses import dataclass

from web3 import Web3

from protocol.calls import Call
from protocol.chain import BlockTag
from protocol.contracts.contract import Contract, address_within
from protocol.structs import (
    CompletionProof,
    DisputeKey,
    JobReceipt,
    JobSpec,
    Phase,
    ProvenLeaf,
    ProvenReceipt,
    Terms,
    Verdict,
)
from protocol.trace import TraceLeaf
from protocol.units import Address, Digest, Seconds, Units, UnixTime


@dataclass(frozen=True, slots=True)
class Dispute:
    """All zero where there is none. `since`: of the phase. `draw_block` tells rounds apart."""

    challenger: Address
    since: UnixTime
    draw_block: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class Committee:
    """Bit i stands for member i of the quorum. `withheld`: voted that data is missing."""

    members: int
    voted: int
    withheld: int
    revealed: int


class Court(Contract):
    """ComputeCourt, with what CourtProceedings answers at its address."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "ComputeCourt")

    def market(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "MARKET")

    def quorum(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "QUORUM")

    def stake_token(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "STAKE_TOKEN")

    def challenge_bond(self, block: BlockTag = "latest") -> Units:
        return self._read(block, "CHALLENGE_BOND")

    def dispute_max_seconds(self, block: BlockTag = "latest") -> Seconds:
        """From a challenge to the last instant at which anybody can end the dispute."""
        return self._read(block, "DISPUTE_MAX_SECONDS")

    def balance_of(self, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "balanceOf", account)

    def relay_nonce(self, account: Address, block: BlockTag = "latest") -> int:
        """Of the account's next RelayedCall."""
        return self._read(block, "nonces", account)

    def burned(self, block: BlockTag = "latest") -> Units:
        """Burned in the books and not swept."""
        return self._read(block, "burned")

    def dispute_id_of(self, key: DisputeKey, block: BlockTag = "latest") -> Digest:
        return self._read(block, "disputeIdOf", key)

    def dispute_of(self, dispute_id: bytes, block: BlockTag = "latest") -> Dispute:
        challenger, since, draw_block, phase = self._read(block, "disputeOf", dispute_id)
        return Dispute(address_within(challenger), since, draw_block, Phase(phase))

    def committee_of(self, dispute_id: bytes, block: BlockTag = "latest") -> Committee:
        return Committee(*self._read(block, "committeeOf", dispute_id))

    def commitment_of(
        self,
        dispute_id: Digest,
        draw_block: int,
        signer: Address,
        verdict: Verdict,
        salt: bytes,
        block: BlockTag = "latest",
    ) -> Digest:
        return self._read(block, "commitmentOf", dispute_id, draw_block, signer, verdict, salt)

    def domain_separator(self, block: BlockTag = "latest") -> bytes:
        return self._read(block, "domainSeparator")

    def build_deposit(self, amount: int) -> Call:
        return self._build("deposit", amount)

    def build_withdraw(self, to: Address, amount: int) -> Call:
        return self._build("withdraw", to, amount)

    def build_sweep_burned(self) -> Call:
        return self._build("sweepBurned")

    def build_challenge_segment(
        self,
        terms: Terms,
        proof: CompletionProof,
        proven: ProvenReceipt,
        segment: int,
        before: TraceLeaf,
        claimed: ProvenLeaf,
    ) -> Call:
        return self._build("challengeSegment", terms, proof, proven, segment, before, claimed)

    def build_challenge_job(self, terms: Terms, proof: CompletionProof, proven: ProvenReceipt) -> Call:
        return self._build("challengeJob", terms, proof, proven)

    def build_challenge_availability(self, terms: Terms, proof: CompletionProof) -> Call:
        return self._build("challengeAvailability", terms, proof)

    def build_start_bisection(self, terms: Terms, proof: CompletionProof, proven: ProvenReceipt) -> Call:
        return self._build("startBisection", terms, proof, proven)

    def build_refute_trace(
        self,
        terms: Terms,
        proof: CompletionProof,
        proven: ProvenReceipt,
        index: int,
        leaf: ProvenLeaf,
        previous: ProvenLeaf,
    ) -> Call:
        return self._build("refuteTrace", terms, proof, proven, index, leaf, previous)

    def build_reveal_children(self, key: DisputeKey, left: Digest, right: Digest) -> Call:
        return self._build("revealChildren", key, left, right)

    def build_descend(self, key: DisputeKey, left: Digest, right: Digest, to_right: bool) -> Call:
        return self._build("descend", key, left, right, to_right)

    def build_reveal_leaves(
        self, key: DisputeKey, receipt: JobReceipt, before: TraceLeaf, claimed: TraceLeaf
    ) -> Call:
        return self._build("revealLeaves", key, receipt, before, claimed)

    def build_claim_timeout(self, key: DisputeKey, terms: Terms) -> Call:
        return self._build("claimTimeout", key, terms)

    def build_draw(self, key: DisputeKey, terms: Terms) -> Call:
        return self._build("draw", key, terms)

    def build_vote_data(
        self, key: DisputeKey, member: int, missing_digest: Digest, signature: bytes = b""
    ) -> Call:
        """The signature is empty where the member's signer itself sends it."""
        return self._build("voteData", key, member, missing_digest, signature)

    def build_commit(self, key: DisputeKey, member: int, commitment: Digest) -> Call:
        return self._build("commit", key, member, commitment)

    def build_reveal(self, key: DisputeKey, member: int, verdict: Verdict, salt: bytes) -> Call:
        return self._build("reveal", key, member, verdict, salt)

    def build_resolve(self, key: DisputeKey, terms: Terms) -> Call:
        return self._build("resolve", key, terms)

    def build_resolve_refuted(
        self, key: DisputeKey, terms: Terms, receipt: JobReceipt, spec: JobSpec
    ) -> Call:
        return self._build("resolveRefuted", key, terms, receipt, spec)

    def build_resolve_moot(self, key: DisputeKey) -> Call:
        return self._build("resolveMoot", key)
