"""A whole network on this machine, in the foreground: chain, contracts, oracle, keys, workers."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.terminal.failures import Group

if TYPE_CHECKING:
    from scripts.localnet.network import Network

PRICES = ("3.60", "7.20", "5.40", "9.00")


@click.group(cls=Group)
def cli() -> None:
    """Run a whole network on this machine."""


@cli.command()
@click.option(
    "--dir",
    "folder_path",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".devnet"),
    show_default=True,
    help="Made fresh: keys, manifest, data and logs of the network.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8545, show_default=True, help="The chain's.")
@click.option(
    "--oracle-port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="The oracle's."
)
@click.option("--workers", type=click.IntRange(0, len(PRICES)), default=2, show_default=True)
def up(folder_path: Path, port: int, oracle_port: int, workers: int) -> None:
    """Start everything, say how to use it, and run until Ctrl-C."""
    from scripts.localnet.folder import fresh_folder
    from scripts.localnet.network import ProviderPlan, open_network
    from scripts.terminal.signals import ending_like_ctrl_c

    with (
        ending_like_ctrl_c(),
        fresh_folder(folder_path) as folder,
        open_network(folder, port, oracle_port) as network,
    ):
        click.echo(f"chain at {network.anvil.rpc_url}", err=True)
        network.deploy()
        network.open_quorum()
        click.echo("quorum of 3 members, 2 of which decide", err=True)
        network.start_oracle()
        click.echo(f"oracle at {network.oracle_url}", err=True)
        for name, price in zip("abcd"[:workers], PRICES, strict=False):
            network.start_worker(network.open_provider(ProviderPlan(name, price)))
            click.echo(f"provider {name} offers this host's processors at {price} dUSD an hour", err=True)
        network.await_workers(workers)
        network.mint("renter", network.payment_token, "1000")
        show_usage(network)
        wait_for_end(network)


def show_usage(network: "Network") -> None:
    """The lines that make a shell a renter's."""
    folder = network.folder
    for name, value in (
        ("GPGPU_MANIFEST", folder.manifest),
        ("GPGPU_RPC_URL", network.anvil.rpc_url),
        ("GPGPU_ORACLE_URL", network.oracle_url),
        ("GPGPU_KEYSTORE", folder.keystore("renter")),
        ("GPGPU_PASSWORD_FILE", folder.password_file),
        ("GPGPU_DATA_DIR", folder.data_dir("wallets") / "shell"),
    ):
        click.echo(f"export {name}={value}")
    click.echo("Ready. Ctrl-C ends it all.", err=True)


def wait_for_end(network: "Network") -> None:
    """Returns at Ctrl-C; ProcessFailed where a service ends on its own."""
    from scripts.localnet.waiting import watch

    try:
        watch(network.supervisor.require_running)
    except KeyboardInterrupt:
        click.echo("Ending.", err=True)
