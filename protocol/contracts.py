"""Thin typed wrappers of our contracts: reads take a block, writes give calls to send."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from web3 import Web3

from protocol.abi import entries
from protocol.calls import Call, decode_outputs, encode_call, eth_call
from protocol.chain import BlockTag
from protocol.structs import CompletionProof, LeaseState, NoticeReason, Offer, Terms, Unit
from protocol.units import Address, LeaseId, OfferHash, Seconds, UnitId, Units, UnixTime

__all__ = ["Call", "Contract", "Market", "PermitSignature", "Registry", "StakeAccount", "Token"]


@dataclass(frozen=True, slots=True)
class StakeAccount:
    """Base units of the stake token, locked + unbonding <= stake; `unbond_at` zero: nothing unbonds."""

    stake_units: Units
    locked_units: Units
    unbonding_units: Units
    unbond_at: UnixTime


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
    """LeaseMarket."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "LeaseMarket")

    def registry(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "REGISTRY")

    def challenge_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "CHALLENGE_SECONDS")

    def proof_grace_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "PROOF_GRACE_SECONDS")

    def fee_bps(self, block: BlockTag = "latest") -> int:
        return self._read(block, "feeBps")

    def treasury(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "treasury")

    def owner(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "owner")

    def token_allowed(self, token: Address, block: BlockTag = "latest") -> bool:
        return self._read(block, "tokenAllowed", token)

    def listed_by(self, offer_hash: bytes, block: BlockTag = "latest") -> Address:
        """The provider, or the zero address where the offer is not listed."""
        return self._read(block, "listedBy", offer_hash)

    def credit_of(self, token: Address, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "creditOf", token, account)

    def lease_id_of(self, terms: Terms, block: BlockTag = "latest") -> LeaseId:
        return self._read(block, "leaseIdOf", terms)

    def lease_state(self, lease_id: bytes, block: BlockTag = "latest") -> LeaseState:
        """All zero, with status NONE, where there is no such lease."""
        return self._read(block, "leaseState", lease_id)

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

    def build_open(self, terms: Terms) -> Call:
        return self._build("open", terms)

    def build_open_with_permit(self, terms: Terms, permit: PermitSignature) -> Call:
        return self._build("openWithPermit", terms, permit.deadline, permit.v, permit.r, permit.s)

    def build_post_proof(self, terms: Terms, proof: CompletionProof) -> Call:
        return self._build("postProof", terms, proof)

    def build_settle(self, terms: Terms) -> Call:
        return self._build("settle", terms)

    def build_give_notice(self, terms: Terms, reason: NoticeReason, evidence: bytes) -> Call:
        return self._build("giveNotice", terms, reason, evidence)

    def build_release_hours(self, terms: Terms) -> Call:
        return self._build("releaseHours", terms)

    def build_close(self, terms: Terms) -> Call:
        return self._build("close", terms)

    def build_withdraw(self, token: Address, to: Address) -> Call:
        return self._build("withdraw", token, to)

    def build_allow_token(self, token: Address, allowed: bool) -> Call:
        return self._build("allowToken", token, allowed)

    def build_set_fee(self, fee_bps: int) -> Call:
        return self._build("setFee", fee_bps)

    def build_set_treasury(self, treasury: Address) -> Call:
        return self._build("setTreasury", treasury)


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
        (stake, locked, unbond_at), unbonding = self._read(block, "stakeOf", provider)
        return StakeAccount(Units(stake), Units(locked), Units(unbonding), UnixTime(unbond_at))

    def free_stake_of(self, provider: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "freeStakeOf", provider)

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
