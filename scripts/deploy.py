"""Deploys the contracts with Ape and writes the manifest that every other component starts from."""

import os
from pathlib import Path
from typing import Any

import ape
import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand, network_option

from protocol.errors import ProtocolError
from protocol.manifest import save
from protocol.units import parse_address, to_hex
from scripts.deployment.contracts import PROJECT_MANAGER, Deployer, deploy
from scripts.deployment.plan import plan_of, plan_options

PROJECT = Path(__file__).resolve().parents[1]
COMPILERS = PROJECT / "scripts" / "tooling" / "solcx"
ACCOUNT_MANAGER: Any = ape.accounts


@click.command(cls=ConnectedProviderCommand)
@network_option()
@click.option(
    "--manifest",
    "manifest_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("build/deployment.json"),
    show_default=True,
    help="Where to write the manifest.",
)
@click.option("--account", "alias", help="Ape's alias of the deployer; on a local network TEST::0.")
@plan_options
def cli(provider: ProviderAPI, manifest_path: Path, alias: str | None, **chosen: Any) -> None:
    """Deploy the contracts and write their manifest. Run it in the repository's root."""
    os.environ.setdefault("SOLCX_BINARY_PATH", str(COMPILERS))
    is_local = bool(provider.network.is_dev)
    account = _account(alias, is_local)
    plan = plan_of(chosen, parse_address(str(account.address)), is_local)
    # From nothing: Ape's cache keeps a contract whose libraries have changed.
    PROJECT_MANAGER.load_contracts(use_cache=False)
    try:
        manifest = deploy(Deployer(account, provider), plan)
    except ProtocolError as error:
        raise click.ClickException(str(error)) from error
    save(manifest, manifest_path)
    click.echo(f"market {manifest.market}: {manifest_path}", err=True)
    for address, digest in manifest.code_hashes.items():
        click.echo(f"code of {address}: {to_hex(digest)}", err=True)


def _account(alias: str | None, is_local: bool) -> AccountAPI:
    if alias is None or alias.upper().startswith("TEST::"):
        if not is_local:
            raise click.UsageError("--account: a deployment on a public network needs an account of yours")
        return ACCOUNT_MANAGER.test_accounts[int((alias or "TEST::0").rpartition("::")[2])]
    return ACCOUNT_MANAGER.load(alias)


if __name__ == "__main__":
    cli()
