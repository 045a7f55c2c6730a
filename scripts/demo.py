"""The whole path on this machine: rent, train, sweep, rent by calendar, prove, settle, withdraw, audit."""

from pathlib import Path

import click

from scripts.terminal.failures import Command

TITLES = {
    "chain": "Start a chain",
    "deploy": "Deploy the contracts with Ape",
    "quorum": "Three members bond for the quorum",
    "oracle": "Start the oracle",
    "providers": "Two providers stake and list",
    "workers": "Start their workers",
    "digits": "Rent, and train on digits (TRACED)",
    "calendar": "Calendar lease beside it: hours of a week",
    "sweep": "Sweep of 8 jobs (OPAQUE), first lease",
    "notice": "End the first lease early",
    "settle": "Proofs, windows, settlement, close",
    "withdraw": "Withdraw pay and refund",
    "audit": "Audit from the chain alone",
}


@click.command(cls=Command)
@click.option(
    "--dir",
    "folder_path",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Made fresh; results and logs stay in it.",
)
def cli(folder_path: Path) -> None:
    """Show the whole path on this machine, in under three minutes.

    Nothing is left running, however it ends.
    """
    from rich.console import Console

    from scripts.localnet.folder import fresh_folder
    from scripts.showcase.outcome import show_outcome
    from scripts.showcase.play import play
    from scripts.terminal.failures import fail
    from scripts.terminal.progress import Steps
    from scripts.terminal.signals import ending_like_ctrl_c

    console = Console()
    try:
        with ending_like_ctrl_c(), fresh_folder(folder_path) as folder:
            with Steps(TITLES, console).shown() as steps:
                outcome = play(folder, steps)
            show_outcome(outcome, console)
    except KeyboardInterrupt:
        click.echo("Interrupted; everything that was started has been ended.", err=True)
        click.get_current_context().exit(130)
    if not outcome.report.is_clean:
        fail(f"the audit found {len(outcome.report.differences)} differences")
