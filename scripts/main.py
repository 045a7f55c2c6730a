"""The console command `gpgpu`: renter's verbs at the top level, one group for each other role."""

from __future__ import annotations

import click

from scripts.terminal.lazy import Entry, LazyGroup

ENTRIES = {
    "offers": Entry("scripts.market", "cli.offers", "List the offers one can rent, cheapest first."),
    "quote": Entry("scripts.market", "cli.quote", "Ask workers what a task would cost now."),
    "launch": Entry(
        "scripts.renter", "cli.launch", "Run a task: rent a unit, or use a lease, and send its jobs."
    ),
    "status": Entry("scripts.renter", "cli.status", "Show a lease, a job, or all leases of a wallet."),
    "logs": Entry("scripts.renter", "cli.logs", "Print a job's log, and follow it with -f."),
    "download": Entry("scripts.renter", "cli.download", "Fetch a job's output, its digests checked."),
    "cancel": Entry("scripts.renter", "cli.cancel", "End a job."),
    "priority": Entry("scripts.renter", "cli.priority", "Put a job before or behind others of its lease."),
    "resume": Entry("scripts.renter", "cli.resume", "Order under a lease what another has left undone."),
    "topup": Entry("scripts.renter", "cli.topup", "Pay for more seconds of any lease."),
    "extend": Entry("scripts.renter", "cli.extend", "Pay for more seconds of your lease, beyond its terms."),
    "accept": Entry("scripts.renter", "cli.accept", "Say that a pending proof is right: it is paid at once."),
    "notice": Entry("scripts.renter", "cli.notice", "Move the end of a lease nearer."),
    "withdraw": Entry("scripts.renter", "cli.withdraw", "Take out credits: refunds, pay, compensation."),
    "provider": Entry("scripts.provider", "cli", "Stake, register units, list offers, withdraw."),
    "audit": Entry("scripts.auditor", "cli", "Replay the chain and reconcile every unit and every proof."),
    "deploy": Entry("scripts.deploy", "cli", "Deploy the contracts with Ape and write their manifest."),
    "devnet": Entry("scripts.devnet", "cli", "Run a whole network on this machine."),
    "demo": Entry("scripts.demo", "cli", "Show the whole path on this machine, in under three minutes."),
    "renter": Entry("scripts.renter", "cli", "The renter's commands.", hidden=True),
    "auditor": Entry("scripts.auditor", "cli", "The auditor's commands.", hidden=True),
}


@click.command(cls=LazyGroup, entries=ENTRIES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gpgpu", prog_name="gpgpu")
def cli() -> None:
    """Rent GPUs on a market of smart contracts, where the work is proven.

    Exit codes: 0 done, 1 what was asked for failed, 2 bad input, 3 chain or service unavailable.
    """


if __name__ == "__main__":
    cli()
