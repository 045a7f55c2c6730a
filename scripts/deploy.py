"""Deploys the contracts with Ape and writes the manifest that every other component starts from."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ape
import click
import rlp
from ape.api import AccountAPI, ProviderAPI, ReceiptAPI, TransactionAPI
from ape.cli import ConnectedProviderCommand, network_option
from ape.contracts import ContractContainer

from protocol.errors import BadInput, InvariantBroken, ProtocolError
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest, DeploymentParameters, TokenInfo, save
from protocol.units import Address, Digest, Seconds, address_bytes, address_of, parse_address, to_hex

PROJECT = Path(__file__).resolve().parents[1]
COMPILERS = PROJECT / "scripts" / "tooling" / "solcx"
DEVNET_SECONDS = {"challenge_seconds": 8, "proof_grace_seconds": 10, "unbonding_seconds": 10}
RECEIPT_SECONDS = 120
# Ape makes both at import, in ways that type checkers cannot follow.
PROJECT_MANAGER: Any = ape.project
ACCOUNT_MANAGER: Any = ape.accounts


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deploy. Without a stake token, development tokens that anybody may mint are deployed too."""

    parameters: DeploymentParameters
    owner: Address
    treasury: Address
    stake_token: Address | None
    payment_tokens: tuple[Address, ...]


class Deployer:
    """Sends one transaction after the other from one account, and keeps their receipts by name."""

    def __init__(self, account: AccountAPI, provider: ProviderAPI) -> None:
        self.account = account
        self.provider = provider
        self.receipts: dict[str, ReceiptAPI] = {}

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
    """Afterwards the contracts name each other; a deployer who is the owner allows the payment tokens."""
    contracts = PROJECT_MANAGER
    stake_token, payment_tokens = _tokens(deployer, plan)
    own = parse_address(str(deployer.account.address))
    # The registry's constructor takes the market and the market's the registry.
    market_address = predicted_address(own, deployer.account.nonce + 1)
    parameters = plan.parameters
    registry = deployer.create(
        "ProviderRegistry",
        contracts.ProviderRegistry,
        stake_token,
        market_address,
        parameters.unbonding_seconds,
    )
    market = deployer.create(
        "LeaseMarket",
        contracts.LeaseMarket,
        registry,
        plan.owner,
        plan.treasury,
        parameters.fee_bps,
        parameters.challenge_seconds,
        parameters.proof_grace_seconds,
    )
    if market != market_address:
        raise InvariantBroken(market_address, market, subject="address of LeaseMarket")
    if plan.owner == own:
        allow = contracts.LeaseMarket.at(market).allowToken
        for token in payment_tokens:
            transaction = allow.as_transaction(token, True, sender=deployer.account)
            deployer.send(f"allowToken {token}", transaction)
    return _manifest(deployer, parameters, market, registry, stake_token, payment_tokens)


def _tokens(deployer: Deployer, plan: Plan) -> tuple[Address, tuple[Address, ...]]:
    if plan.stake_token is not None:
        return plan.stake_token, plan.payment_tokens
    token = PROJECT_MANAGER.DevToken
    stake_token = deployer.create("stake token", token, "GPGPU stake", "GPU", 18)
    payment_token = deployer.create("payment token", token, "Devnet USD", "dUSD", 6)
    return stake_token, (*plan.payment_tokens, payment_token)


def _manifest(
    deployer: Deployer,
    parameters: DeploymentParameters,
    market: Address,
    registry: Address,
    stake_token: Address,
    payment_tokens: tuple[Address, ...],
) -> DeploymentManifest:
    provider = deployer.provider
    tokens = {stake_token, *payment_tokens}
    return DeploymentManifest(
        chain_id=provider.chain_id,
        block_number=min(receipt.block_number for receipt in deployer.receipts.values()),
        market=market,
        registry=registry,
        stake_token=stake_token,
        tokens=_token_infos(sorted(tokens)),
        code_hashes={
            address: Digest(keccak256(bytes(provider.get_code(address))))
            for address in (market, registry, *sorted(tokens))
        },
        transactions={
            name: bytes.fromhex(receipt.txn_hash.removeprefix("0x"))
            for name, receipt in deployer.receipts.items()
        },
        parameters=parameters,
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


def address_option(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A Click callback: checksummed addresses, one or several."""
    try:
        if isinstance(value, tuple):
            return tuple(parse_address(item) for item in value)
        return None if value is None else parse_address(value)
    except BadInput as error:
        raise click.BadParameter(str(error), context, parameter) from error


def deployment_options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option(
            "--manifest",
            "manifest_path",
            type=click.Path(dir_okay=False, path_type=Path),
            default=Path("build/deployment.json"),
            show_default=True,
            help="Where to write the manifest.",
        ),
        click.option("--account", "alias", help="Ape's alias of the deployer; on a local network TEST::0."),
        click.option("--stake-token", callback=address_option, help="Default: a development token."),
        click.option("--payment-token", "payment_tokens", multiple=True, callback=address_option),
        click.option("--owner", callback=address_option, help="Default: the deployer."),
        click.option("--treasury", callback=address_option, help="Default: the deployer."),
        click.option("--fee-bps", type=click.IntRange(0, 300), default=100, show_default=True),
        click.option("--challenge-seconds", type=click.IntRange(1), help="On a local network 8."),
        click.option("--proof-grace-seconds", type=click.IntRange(1), help="On a local network 10."),
        click.option("--unbonding-seconds", type=click.IntRange(0), help="On a local network 10."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=ConnectedProviderCommand)
@network_option()
@deployment_options
def cli(provider: ProviderAPI, manifest_path: Path, alias: str | None, **chosen: Any) -> None:
    """Deploy the contracts and write their manifest. Run it in the repository's root."""
    os.environ.setdefault("SOLCX_BINARY_PATH", str(COMPILERS))
    is_local = bool(provider.network.is_dev)
    account = _account(alias, is_local)
    plan = _plan(chosen, parse_address(str(account.address)), is_local)
    # From nothing: Ape's cache keeps a contract whose libraries have changed.
    PROJECT_MANAGER.load_contracts(use_cache=False)
    try:
        manifest = deploy(Deployer(account, provider), plan)
    except ProtocolError as error:
        raise click.ClickException(str(error)) from error
    save(manifest, manifest_path)
    click.echo(f"market {manifest.market}, registry {manifest.registry}: {manifest_path}", err=True)
    for address, digest in manifest.code_hashes.items():
        click.echo(f"code of {address}: {to_hex(digest)}", err=True)


def _account(alias: str | None, is_local: bool) -> AccountAPI:
    if alias is None or alias.upper().startswith("TEST::"):
        if not is_local:
            raise click.UsageError("--account: a deployment on a public network needs an account of yours")
        return ACCOUNT_MANAGER.test_accounts[int((alias or "TEST::0").rpartition("::")[2])]
    return ACCOUNT_MANAGER.load(alias)


def _plan(chosen: dict[str, Any], deployer: Address, is_local: bool) -> Plan:
    if not is_local:
        needed = (*DEVNET_SECONDS, "stake_token", "payment_tokens")
        missing = [name.replace("_", "-") for name in needed if not chosen[name]]
        if missing:
            raise click.UsageError(f"a deployment on a public network must be given {', '.join(missing)}")
    seconds = {name: Seconds(chosen[name] or default) for name, default in DEVNET_SECONDS.items()}
    return Plan(
        parameters=DeploymentParameters(fee_bps=chosen["fee_bps"], **seconds),
        owner=chosen["owner"] or deployer,
        treasury=chosen["treasury"] or deployer,
        stake_token=chosen["stake_token"],
        payment_tokens=chosen["payment_tokens"],
    )


if __name__ == "__main__":
    cli()
