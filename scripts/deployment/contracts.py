"""Deploys the contracts with Ape, one transaction after the other, and writes down what lies where."""

from dataclasses import dataclass
from typing import Any

import ape
import click
import rlp
from ape.api import AccountAPI, ProviderAPI, ReceiptAPI, TransactionAPI
from ape.contracts import ContractContainer

from protocol.errors import BadInput, InvariantBroken
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest, TokenInfo
from protocol.units import ZERO_ADDRESS, Address, Digest, address_bytes, address_of, parse_address
from scripts.deployment.plan import Plan

RECEIPT_SECONDS = 120
# Ape makes it at import, in ways that type checkers cannot follow.
PROJECT_MANAGER: Any = ape.project
# In the order of their creation; the constructors of some take the addresses of others.
CREATED = (
    "OracleQuorum",
    "ProviderRegistry",
    "LeaseSuccession",
    "LeaseAmendments",
    "LeaseMarket",
    "ComputeCourt",
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Addresses; the zero address where the native coin is not taken."""

    stake: Address
    payment: tuple[Address, ...]
    wrapped_native: Address

    @property
    def allowed(self) -> tuple[Address, ...]:
        """What leases are paid in."""
        wrapped = () if self.wrapped_native == ZERO_ADDRESS else (self.wrapped_native,)
        return tuple(dict.fromkeys((*self.payment, *wrapped)))


class Deployer:
    """Sends one transaction after the other from one account, and keeps their receipts by name."""

    def __init__(self, account: AccountAPI, provider: ProviderAPI) -> None:
        self.account = account
        self.provider = provider
        self.receipts: dict[str, ReceiptAPI] = {}

    @property
    def address(self) -> Address:
        return parse_address(str(self.account.address))

    def create(self, name: str, contract: ContractContainer, *arguments: object) -> Address:
        """Create a contract; its receipt is kept under `name`. InvariantBroken where nothing was created."""
        receipt = self.send(name, contract(*arguments))
        if not receipt.contract_address:
            raise InvariantBroken("a contract", "none", subject=f"creation of {name}")
        return parse_address(str(receipt.contract_address))

    def send(self, name: str, transaction: TransactionAPI) -> ReceiptAPI:
        """Send and wait. Ape takes interval mining for none and does not wait: the receipt is read anew."""
        sent = self.account.call(transaction)
        receipt = self.provider.get_receipt(sent.txn_hash, timeout=RECEIPT_SECONDS)
        receipt.raise_for_status()
        self.receipts[name] = receipt
        click.echo(f"{name}: transaction {receipt.txn_hash}, gas {receipt.gas_used}", err=True)
        return receipt


def predicted_address(deployer: Address, nonce: int) -> Address:
    """The address of the contract that `deployer` creates with its transaction number `nonce`."""
    return address_of(keccak256(rlp.encode([address_bytes(deployer), nonce]))[12:])


def deploy(deployer: Deployer, plan: Plan) -> DeploymentManifest:
    """Afterwards the contracts name each other, the payment tokens are allowed, the quorum has its members.

    The last two where the deployer owns market and quorum; one who proposes to the timelock schedules them.
    """
    tokens = _tokens(deployer, plan)
    timelock = _timelock(deployer, plan)
    owner = plan.owner if timelock == ZERO_ADDRESS else timelock
    contracts = _create(deployer, plan, tokens, owner)
    _settle_in(deployer, plan, tokens, contracts, timelock)
    return _manifest(deployer, plan, tokens, contracts, owner, timelock)


def market_arguments(
    plan: Plan, tokens: Tokens, contracts: dict[str, Address], owner: Address
) -> tuple[object, ...]:
    """MarketParameters of contracts/LeaseBook.sol."""
    parameters = plan.parameters
    return (
        contracts["ProviderRegistry"],
        contracts["ComputeCourt"],
        contracts["OracleQuorum"],
        tokens.wrapped_native,
        owner,
        plan.treasury,
        parameters.challenge_seconds,
        parameters.proof_grace_seconds,
        parameters.answer_seconds,
    )


def court_arguments(plan: Plan) -> tuple[object, ...]:
    """CourtParameters of contracts/interfaces/IComputeCourt.sol."""
    parameters = plan.parameters
    return (
        parameters.challenge_bond,
        parameters.absence_penalty,
        parameters.committee_size,
        parameters.draw_delay_blocks,
        parameters.draw_seconds,
        parameters.data_seconds,
        parameters.commit_seconds,
        parameters.reveal_seconds,
        parameters.clock_seconds,
    )


def _create(deployer: Deployer, plan: Plan, tokens: Tokens, owner: Address) -> dict[str, Address]:
    nonce, parameters = deployer.account.nonce, plan.parameters
    at = {name: predicted_address(deployer.address, nonce + index) for index, name in enumerate(CREATED)}
    market = market_arguments(plan, tokens, at, owner)
    arguments: dict[str, tuple[object, ...]] = {
        "OracleQuorum": (
            tokens.stake,
            at["ComputeCourt"],
            owner,
            parameters.member_bond,
            parameters.rotation_seconds,
            parameters.exit_seconds,
            parameters.threshold,
        ),
        "ProviderRegistry": (
            tokens.stake,
            at["LeaseMarket"],
            at["OracleQuorum"],
            parameters.unbonding_seconds,
        ),
        "LeaseSuccession": (market,),
        "LeaseAmendments": (market, at["LeaseSuccession"]),
        "LeaseMarket": (market, at["LeaseAmendments"]),
        "ComputeCourt": (
            at["LeaseMarket"],
            at["ProviderRegistry"],
            at["OracleQuorum"],
            court_arguments(plan),
        ),
    }
    for name in CREATED:
        created = deployer.create(name, getattr(PROJECT_MANAGER, name), *arguments[name])
        if created != at[name]:
            raise InvariantBroken(at[name], created, subject=f"address of {name}")
    return at


def _tokens(deployer: Deployer, plan: Plan) -> Tokens:
    wrapped_native = plan.wrapped_native
    if wrapped_native is None:
        wrapped_native = deployer.create("wrapped native coin", PROJECT_MANAGER.DevWrappedNative)
    if plan.stake_token is not None:
        return Tokens(plan.stake_token, plan.payment_tokens, wrapped_native)
    token = PROJECT_MANAGER.DevToken
    stake_token = deployer.create("stake token", token, "GPGPU stake", "GPU", 18)
    payment_token = deployer.create("payment token", token, "Devnet USD", "dUSD", 6)
    return Tokens(stake_token, (*plan.payment_tokens, payment_token), wrapped_native)


def _timelock(deployer: Deployer, plan: Plan) -> Address:
    """What is proposed and whose delay is over can be executed by anybody."""
    delay = plan.parameters.timelock_seconds
    if not delay:
        return ZERO_ADDRESS
    contract = PROJECT_MANAGER.ProtocolTimelock
    return deployer.create("ProtocolTimelock", contract, delay, [plan.owner], [ZERO_ADDRESS])


def _settle_in(
    deployer: Deployer, plan: Plan, tokens: Tokens, contracts: dict[str, Address], timelock: Address
) -> None:
    """The owner's first calls."""
    if plan.owner != deployer.address:
        click.echo(f"tokens and members of the quorum are for {plan.owner} to set", err=True)
        return
    market, quorum = contracts["LeaseMarket"], contracts["OracleQuorum"]
    # The owner's functions are code of LeaseAmendments at the market's address.
    set_token = PROJECT_MANAGER.LeaseAmendments.at(market).setToken
    add_member = PROJECT_MANAGER.OracleQuorum.at(quorum).addMember
    calls = [
        *(
            (f"setToken {token}", market, set_token, (token, True, plan.parameters.fee_bps))
            for token in tokens.allowed
        ),
        *((f"addMember {member}", quorum, add_member, (member, member)) for member in plan.members),
    ]
    for name, target, function, arguments in calls:
        if timelock == ZERO_ADDRESS:
            deployer.send(name, function.as_transaction(*arguments, sender=deployer.account))
        else:
            _schedule(deployer, plan, timelock, name, target, function.encode_input(*arguments))


def _schedule(
    deployer: Deployer, plan: Plan, timelock: Address, name: str, target: Address, data: bytes
) -> None:
    """Anybody may execute it, by the same arguments but the last, once the delay is over."""
    transaction = PROJECT_MANAGER.ProtocolTimelock.at(timelock).schedule.as_transaction(
        *(target, 0, data, bytes(32), bytes(32), plan.parameters.timelock_seconds), sender=deployer.account
    )
    deployer.send(f"schedule {name}", transaction)


def _manifest(
    deployer: Deployer,
    plan: Plan,
    tokens: Tokens,
    contracts: dict[str, Address],
    owner: Address,
    timelock: Address,
) -> DeploymentManifest:
    provider = deployer.provider
    named = {tokens.stake, *tokens.allowed}
    # The court makes it in its constructor.
    proceedings = predicted_address(contracts["ComputeCourt"], 1)
    pinned = [
        *contracts.values(),
        proceedings,
        *sorted(named),
        *(() if timelock == ZERO_ADDRESS else (timelock,)),
    ]
    return DeploymentManifest(
        chain_id=provider.chain_id,
        block_number=min(receipt.block_number for receipt in deployer.receipts.values()),
        market=contracts["LeaseMarket"],
        amendments=contracts["LeaseAmendments"],
        succession=contracts["LeaseSuccession"],
        registry=contracts["ProviderRegistry"],
        quorum=contracts["OracleQuorum"],
        court=contracts["ComputeCourt"],
        proceedings=proceedings,
        timelock=timelock,
        owner=owner,
        treasury=plan.treasury,
        stake_token=tokens.stake,
        wrapped_native=tokens.wrapped_native,
        tokens=_token_infos(sorted(named)),
        code_hashes={address: Digest(keccak256(bytes(provider.get_code(address)))) for address in pinned},
        transactions={
            name: bytes.fromhex(receipt.txn_hash.removeprefix("0x"))
            for name, receipt in deployer.receipts.items()
        },
        parameters=plan.parameters,
    )


def _token_infos(addresses: list[Address]) -> dict[str, TokenInfo]:
    infos: dict[str, TokenInfo] = {}
    for address in addresses:
        token = PROJECT_MANAGER.DevToken.at(address)
        symbol = str(token.symbol())
        if symbol in infos:
            raise BadInput(f"tokens: expected distinct symbols, got {symbol} twice")
        infos[symbol] = TokenInfo(address, int(token.decimals()))
    return infos
