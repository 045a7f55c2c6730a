"""LeaseMarket, and what answers at its address."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from web3 import Web3

from protocol.calls import Call
from protocol.chain import BlockTag
from protocol.contracts.contract import Contract, PermitSignature
from protocol.errors import BadInput
from protocol.structs import (
    Acceptance,
    AllowedProvider,
    CompletionProof,
    FailoverPolicy,
    FailureProof,
    LeaseState,
    LeaseTransfer,
    NoticeReason,
    Offer,
    PostedOrder,
    ProofClaim,
    RelayedCall,
    Terms,
)
from protocol.units import Address, Digest, JobId, LeaseId, OfferHash, Seconds, Units


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """Whether leases may be opened in a token, and the fee of those opened from now on."""

    allowed: bool
    fee_bps: int


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

    def lease_ids_of(self, terms: Iterable[Terms], block: BlockTag = "latest") -> list[LeaseId]:
        return self._read_each(block, "leaseIdOf", terms)

    def lease_states(self, lease_ids: Iterable[bytes], block: BlockTag = "latest") -> list[LeaseState]:
        """As `lease_state`, in their order."""
        return self._read_each(block, "leaseState", lease_ids)

    def posted_orders_of(self, lease_ids: Iterable[bytes], block: BlockTag = "latest") -> list[PostedOrder]:
        return self._read_each(block, "postedOrderOf", lease_ids)

    def listers_of(self, offer_hashes: Iterable[bytes], block: BlockTag = "latest") -> list[Address]:
        """As `listed_by`, in their order."""
        return self._read_each(block, "listedBy", offer_hashes)

    def horizon_seconds(self, block: BlockTag = "latest") -> Seconds:
        """No lease is longer."""
        return self._read(block, "HORIZON_SECONDS")

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
