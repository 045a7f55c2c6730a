"""Thin typed wrappers of our contracts: reads take a block, writes give calls to send."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from web3 import Web3

from protocol.abi import entries
from protocol.calls import Call, decode_outputs, encode_call, eth_call
from protocol.chain import BlockTag
from protocol.errors import BadInput
from protocol.structs import (
    Acceptance,
    AllowedProvider,
    CompletionProof,
    DisputeKey,
    FailoverPolicy,
    FailureProof,
    GpuAttestation,
    JobReceipt,
    JobSpec,
    LeaseState,
    LeaseTransfer,
    NoticeReason,
    Offer,
    Phase,
    PostedOrder,
    ProofClaim,
    ProvenLeaf,
    ProvenReceipt,
    QuorumSignature,
    RelayedCall,
    Terms,
    Unit,
    Verdict,
)
from protocol.trace import TraceLeaf
from protocol.units import (
    Address,
    Digest,
    JobId,
    LeaseId,
    OfferHash,
    Seconds,
    UnitId,
    Units,
    UnixTime,
    address_of,
)

__all__ = [
    "Call",
    "Committee",
    "Contract",
    "Court",
    "Dispute",
    "Finding",
    "Market",
    "Member",
    "PermitSignature",
    "Quorum",
    "Registry",
    "StakeAccount",
    "Token",
    "TokenTerms",
]


@dataclass(frozen=True, slots=True)
class StakeAccount:
    """Base units of the stake token, locked + unbonding <= stake; `unbond_at` zero: nothing unbonds.

    `epoch` is the one in which the provider's offers hold.
    """

    stake_units: Units
    locked_units: Units
    unbonding_units: Units
    unbond_at: UnixTime
    epoch: int


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """Whether leases may be opened in a token, and the fee of those opened from now on."""

    allowed: bool
    fee_bps: int


@dataclass(frozen=True, slots=True)
class Member:
    """Of the quorum. `leaves_at` zero: stays."""

    signer: Address
    bond_units: Units
    operator: Address
    active_at: UnixTime
    leaves_at: UnixTime


@dataclass(frozen=True, slots=True)
class Finding:
    """What the quorum recorded of a unit's GPUs; all zero where nothing holds."""

    gpu_class: bytes
    measured_gops: int
    vram_mib: int
    expires_at: UnixTime


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


@dataclass(frozen=True, slots=True)
class PermitSignature:
    """An EIP-2612 permit, as `permits.sign_permit` makes it."""

    deadline: int
    v: int
    r: bytes
    s: bytes


class Contract:
    """A contract at an address, by its ABI."""

    def __init__(self, web3: Web3, address: Address, abi: str) -> None:
        self.web3 = web3
        self.address = address
        self._functions = entries(abi, "function")

    def _build(self, name: str, *arguments: Any) -> Call:
        return Call(self.address, encode_call(self._functions[name], arguments))

    def _read(self, block: BlockTag, name: str, *arguments: Any) -> Any:
        """The outputs, a single one unpacked. TransactionReverted, ChainUnavailable, BadInput."""
        function = self._functions[name]
        call = Call(self.address, encode_call(function, arguments))
        outputs = decode_outputs(function, eth_call(self.web3, call, block))
        return outputs[0] if len(outputs) == 1 else outputs


class Market(Contract):
    """LeaseMarket, with what LeaseAmendments and LeaseSuccession answer at its address."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "LeaseMarket")

    def registry(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "REGISTRY")

    def challenge_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "CHALLENGE_SECONDS")

    def proof_grace_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "PROOF_GRACE_SECONDS")

    def answer_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "ANSWER_SECONDS")

    def quorum(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "QUORUM")

    def court(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "COURT")

    def wrapped_native(self, block: BlockTag = "latest") -> Address:
        """The zero address where the native coin is not taken."""
        return self._read(block, "WRAPPED_NATIVE")

    def token_terms(self, token: Address, block: BlockTag = "latest") -> TokenTerms:
        return TokenTerms(*self._read(block, "tokenTerms", token))

    def fee_bps(self, token: Address, block: BlockTag = "latest") -> int:
        """Of leases opened in `token` from now on."""
        return self.token_terms(token, block).fee_bps

    def treasury(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "treasury")

    def owner(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "owner")

    def token_allowed(self, token: Address, block: BlockTag = "latest") -> bool:
        return self.token_terms(token, block).allowed

    def salt_cancelled(self, provider: Address, salt: int, block: BlockTag = "latest") -> bool:
        return self._read(block, "saltCancelled", provider, salt)

    def listed_by(self, offer_hash: bytes, block: BlockTag = "latest") -> Address:
        """The provider, or the zero address where the offer is not listed."""
        return self._read(block, "listedBy", offer_hash)

    def credit_of(self, token: Address, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "creditOf", token, account)

    def fees_of(self, token: Address, block: BlockTag = "latest") -> Units:
        """Settled and not yet with the treasury."""
        return self._read(block, "feesOf", token)

    def relay_nonce(self, account: Address, block: BlockTag = "latest") -> int:
        """Of the account's next RelayedCall."""
        return self._read(block, "nonces", account)

    def lease_id_of(self, terms: Terms, block: BlockTag = "latest") -> LeaseId:
        return self._read(block, "leaseIdOf", terms)

    def lease_state(self, lease_id: bytes, block: BlockTag = "latest") -> LeaseState:
        """All zero, with status NONE, where there is no such lease."""
        return self._read(block, "leaseState", lease_id)

    def posted_order_of(self, lease_id: bytes, block: BlockTag = "latest") -> PostedOrder:
        return self._read(block, "postedOrderOf", lease_id)

    def scheduled_seconds(
        self, weekly_hours: int, start: int, end: int, block: BlockTag = "latest"
    ) -> Seconds:
        return self._read(block, "scheduledSeconds", weekly_hours, start, end)

    def domain_separator(self, block: BlockTag = "latest") -> bytes:
        return self._read(block, "domainSeparator")

    def build_list(self, offer: Offer) -> Call:
        return self._build("list", offer)

    def build_unlist(self, offer_hash: OfferHash) -> Call:
        return self._build("unlist", offer_hash)

    def build_cancel_salt(self, salt: int) -> Call:
        return self._build("cancelSalt", salt)

    def build_open(self, terms: Terms, offer_signature: bytes = b"", native_units: int = 0) -> Call:
        """The provider's signature is for an offer that is not listed; native coin replaces tokens."""
        return self._payable(native_units, "open", terms, offer_signature)

    def build_open_with_permit(
        self, terms: Terms, permit: PermitSignature, amount_units: int, offer_signature: bytes = b""
    ) -> Call:
        """Both or neither; `amount_units` is what the permit is for."""
        allow = self.build_use_permit(terms.offer.token, amount_units, permit)
        return self.build_multicall([allow, self.build_open(terms, offer_signature)])

    def build_open_gang(self, terms: Sequence[Terms], offer_signatures: Sequence[bytes]) -> Call:
        return self._build("openGang", list(terms), list(offer_signatures))

    def build_use_permit(self, token: Address, amount_units: int, permit: PermitSignature) -> Call:
        return self._build("usePermit", token, amount_units, permit.deadline, permit.v, permit.r, permit.s)

    def build_multicall(self, calls: Sequence[Call]) -> Call:
        """All these calls of this contract, or none. BadInput where one is of another, or sends coin."""
        for call in calls:
            if call.to != self.address or call.value:
                raise BadInput(
                    f"multicall: expected calls of {self.address} without value, got {call.to}, {call.value}"
                )
        return self._build("multicall", [call.data for call in calls])

    def build_relay(self, call: RelayedCall, signature: bytes) -> Call:
        return self._build("relay", call, signature)

    def build_top_up(self, terms: Terms, end: int, native_units: int = 0) -> Call:
        return self._payable(native_units, "topUp", terms, end)

    def build_extend(self, terms: Terms, end: int) -> Call:
        return self._build("extend", terms, end)

    def build_post_proof(self, terms: Terms, proof: CompletionProof, worker_signature: bytes = b"") -> Call:
        """The signature is empty where the worker itself sends it."""
        return self._build("postProof", terms, proof, worker_signature)

    def build_post_proofs(
        self,
        terms: Sequence[Terms],
        claims: Sequence[ProofClaim],
        leaf_count: int,
        jobs_root: Digest,
        availability_root: Digest,
    ) -> Call:
        """By the worker; roots and leaf count are shared by all these leases."""
        return self._build("postProofs", list(terms), list(claims), leaf_count, jobs_root, availability_root)

    def build_accept(self, terms: Terms, acceptance: Acceptance, renter_signature: bytes = b"") -> Call:
        return self._build("accept", terms, acceptance.proof_hash, renter_signature)

    def build_settle(self, terms: Terms) -> Call:
        return self._build("settle", terms)

    def build_settle_many(self, terms: Sequence[Terms]) -> Call:
        return self._build("settleMany", list(terms))

    def build_post_order(self, terms: Terms, order_digest: JobId) -> Call:
        return self._build("postOrder", terms, order_digest)

    def build_answer_order(
        self, terms: Terms, order_digest: JobId, accepted: bool, worker_signature: bytes = b""
    ) -> Call:
        """The signature is empty where the worker itself sends it."""
        return self._build("answerOrder", terms, order_digest, accepted, worker_signature)

    def build_failover(
        self,
        terms: Terms,
        policy: FailoverPolicy,
        following: Terms,
        offer_signature: bytes,
        allowed: AllowedProvider,
        failure: FailureProof,
    ) -> Call:
        return self._build("failover", terms, policy, following, offer_signature, allowed, failure)

    def build_transfer(
        self, terms: Terms, deal: LeaseTransfer, from_signature: bytes, to_signature: bytes
    ) -> Call:
        """A signature is empty where that party itself sends it."""
        return self._build("transfer", terms, deal, from_signature, to_signature)

    def build_give_notice_in_gang(self, terms: Terms, failed: Terms, evidence: bytes) -> Call:
        return self._build("giveNoticeInGang", terms, failed, evidence)

    def build_give_notice(self, terms: Terms, reason: NoticeReason, evidence: bytes) -> Call:
        return self._build("giveNotice", terms, reason, evidence)

    def build_release_hours(self, terms: Terms) -> Call:
        return self._build("releaseHours", terms)

    def build_close(self, terms: Terms) -> Call:
        return self._build("close", terms)

    def build_withdraw(self, token: Address, to: Address) -> Call:
        return self._build("withdraw", token, to)

    def build_withdraw_fees(self, token: Address) -> Call:
        return self._build("withdrawFees", token)

    def build_set_token(self, token: Address, allowed: bool, fee_bps: int) -> Call:
        return self._build("setToken", token, allowed, fee_bps)

    def build_set_treasury(self, treasury: Address) -> Call:
        return self._build("setTreasury", treasury)

    def _payable(self, native_units: int, name: str, *arguments: Any) -> Call:
        return replace(self._build(name, *arguments), value=native_units)


class Registry(Contract):
    """ProviderRegistry."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "ProviderRegistry")

    def stake_token(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "STAKE_TOKEN")

    def market(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "MARKET")

    def unbonding_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "UNBONDING_SECONDS")

    def stake_of(self, provider: Address, block: BlockTag = "latest") -> StakeAccount:
        (stake, locked, unbond_at, epoch), unbonding = self._read(block, "stakeOf", provider)
        return StakeAccount(Units(stake), Units(locked), Units(unbonding), UnixTime(unbond_at), epoch)

    def free_stake_of(self, provider: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "freeStakeOf", provider)

    def quorum(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "QUORUM")

    def burned(self, block: BlockTag = "latest") -> Units:
        """Burned in the books and not swept."""
        return self._read(block, "burned")

    def compensation_of(self, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "compensationOf", account)

    def unit_of(self, unit_id: bytes, block: BlockTag = "latest") -> tuple[Unit, int]:
        """The unit, all zero where it is unknown, and the mask of its booked hours."""
        return self._read(block, "unitOf", unit_id)

    def worker_of(self, unit_id: bytes, block: BlockTag = "latest") -> Address:
        return self._read(block, "workerOf", unit_id)

    def unit_of_gpu(self, gpu_id: bytes, block: BlockTag = "latest") -> UnitId:
        """Zero where the GPU is in no unit."""
        return self._read(block, "unitOfGpu", gpu_id)

    def build_stake(self, amount: int) -> Call:
        return self._build("stake", amount)

    def build_stake_with_permit(self, amount: int, permit: PermitSignature) -> Call:
        return self._build("stakeWithPermit", amount, permit.deadline, permit.v, permit.r, permit.s)

    def build_start_unbonding(self, amount: int) -> Call:
        return self._build("startUnbonding", amount)

    def build_cancel_unbonding(self) -> Call:
        return self._build("cancelUnbonding")

    def build_withdraw_stake(self, to: Address) -> Call:
        return self._build("withdrawStake", to)

    def build_register_unit(self, unit: Unit, gpu_ids: Sequence[bytes]) -> Call:
        return self._build("registerUnit", unit, list(gpu_ids))

    def build_retire_unit(self, unit_id: UnitId, gpu_ids: Sequence[bytes]) -> Call:
        return self._build("retireUnit", unit_id, list(gpu_ids))

    def build_rotate_worker(self, unit_id: UnitId, worker: Address, encryption_key: bytes) -> Call:
        return self._build("rotateWorker", unit_id, worker, encryption_key)

    def build_withdraw_compensation(self, to: Address) -> Call:
        return self._build("withdrawCompensation", to)

    def build_raise_epoch(self) -> Call:
        return self._build("raiseEpoch")

    def build_sweep_burned(self) -> Call:
        return self._build("sweepBurned")


class Quorum(Contract):
    """OracleQuorum."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "OracleQuorum")

    def owner(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "owner")

    def court(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "COURT")

    def stake_token(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "STAKE_TOKEN")

    def member_bond(self, block: BlockTag = "latest") -> Units:
        return self._read(block, "MEMBER_BOND")

    def rotation_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "ROTATION_SECONDS")

    def exit_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "EXIT_SECONDS")

    def threshold(self, block: BlockTag = "latest") -> int:
        return self._read(block, "threshold")

    def member_at(self, member: int, block: BlockTag = "latest") -> Member:
        signer, bond, operator, active_at, leaves_at = self._read(block, "memberAt", member)
        return Member(_address(signer), Units(bond), _address(operator), active_at, leaves_at)

    def active_members(self, block: BlockTag = "latest") -> int:
        """Bit i: member i is active and fully bonded."""
        return self._read(block, "activeMembers")

    def finding_of(self, unit_id: bytes, block: BlockTag = "latest") -> Finding:
        return Finding(*self._read(block, "findingOf", unit_id))

    def attested_unit_of(self, gpu_id: bytes, block: BlockTag = "latest") -> UnitId:
        """Zero where no attestation holds."""
        return self._read(block, "attestedUnitOf", gpu_id)

    def max_spread_of(self, tolerance_profile: bytes, block: BlockTag = "latest") -> int:
        """Zero: not calibrated."""
        return self._read(block, "maxSpreadOf", tolerance_profile)

    def domain_separator(self, block: BlockTag = "latest") -> bytes:
        return self._read(block, "domainSeparator")

    def build_add_member(self, signer: Address, operator: Address) -> Call:
        return self._build("addMember", signer, operator)

    def build_remove_member(self, member: int) -> Call:
        return self._build("removeMember", member)

    def build_set_threshold(self, threshold: int) -> Call:
        return self._build("setThreshold", threshold)

    def build_deposit_bond(self, member: int, amount: int) -> Call:
        return self._build("depositBond", member, amount)

    def build_withdraw_bond(self, member: int, to: Address) -> Call:
        return self._build("withdrawBond", member, to)

    def build_record_attestation(
        self, attestation: GpuAttestation, signatures: Sequence[QuorumSignature]
    ) -> Call:
        return self._build("recordAttestation", attestation, list(signatures))

    def build_calibrate(
        self, tolerance_profile: Digest, max_spread: int, signatures: Sequence[QuorumSignature]
    ) -> Call:
        return self._build("calibrate", tolerance_profile, max_spread, list(signatures))


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

    def burned(self, block: BlockTag = "latest") -> Units:
        """Burned in the books and not swept."""
        return self._read(block, "burned")

    def dispute_id_of(self, key: DisputeKey, block: BlockTag = "latest") -> Digest:
        return self._read(block, "disputeIdOf", key)

    def dispute_of(self, dispute_id: bytes, block: BlockTag = "latest") -> Dispute:
        challenger, since, draw_block, phase, _ = self._read(block, "disputeOf", dispute_id)
        return Dispute(_address(challenger), since, draw_block, Phase(phase))

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


class Token(Contract):
    """An ERC-20 with permit; `build_mint` only for the token of devnets."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "DevToken")

    def name(self, block: BlockTag = "latest") -> str:
        return self._read(block, "name")

    def symbol(self, block: BlockTag = "latest") -> str:
        return self._read(block, "symbol")

    def decimals(self, block: BlockTag = "latest") -> int:
        return self._read(block, "decimals")

    def balance_of(self, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "balanceOf", account)

    def allowance(self, owner: Address, spender: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "allowance", owner, spender)

    def permit_nonce(self, owner: Address, block: BlockTag = "latest") -> int:
        return self._read(block, "nonces", owner)

    def domain_separator(self, block: BlockTag = "latest") -> bytes:
        return self._read(block, "DOMAIN_SEPARATOR")

    def build_transfer(self, to: Address, amount: int) -> Call:
        return self._build("transfer", to, amount)

    def build_approve(self, spender: Address, amount: int) -> Call:
        return self._build("approve", spender, amount)

    def build_mint(self, to: Address, amount: int) -> Call:
        return self._build("mint", to, amount)


def _address(raw: str) -> Address:
    """Out of a struct that stays a tuple."""
    return address_of(bytes.fromhex(raw[2:]))
