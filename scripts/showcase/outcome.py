"""The table at the end: who was paid what, what was reached, what it cost, and the audit's verdict."""

from rich.console import Console
from rich.table import Table

from protocol.accrual import ALWAYS, scheduled_seconds
from protocol.bodies import LeaseBody
from protocol.weekly_hours import format_hours
from scripts.auditor import show_report
from scripts.client.amounts import format_duration
from scripts.client.chain import Tokens
from scripts.showcase.play import Outcome
from scripts.terminal.views import class_of_job


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Everything on stdout, money first, the verdict last."""
    # Where nobody looks, lines are not cut to a guessed width.
    wide = console if console.is_terminal else Console(file=console.file, width=160)
    for table in (_money(outcome), _jobs(outcome), _gas(outcome)):
        wide.print(table)
    show_report(outcome.report)
    root = outcome.folder.root
    wide.print(f"\nTest accuracy on held-out digits: [bold]{outcome.accuracy:.4f}[/]", highlight=False)
    for what, path in (
        ("Results", root / "results"),
        ("Artifacts and evidence", outcome.folder.artifacts),
        ("Audit's report", root / "audit.json"),
        ("Logs", outcome.folder.logs),
    ):
        wide.print(f"{what + ':':24}{path}", highlight=False, soft_wrap=True)


def _money(outcome: Outcome) -> Table:
    table = Table(title="Money", title_justify="left", header_style="bold")
    table.add_column("What")
    table.add_column("How much", justify="right")
    table.add_column("Whose")
    for title, lease in (("first lease", outcome.lease), ("calendar lease", outcome.calendar)):
        _add_lease(table, title, lease, outcome.tokens)
        table.add_section()
    show = outcome.tokens.show
    for payment in outcome.payments:
        amount = show(payment.token, payment.amount_units)
        table.add_row("Withdrawn", amount, f"{payment.who} {payment.account}")
    return table


def _add_lease(table: Table, title: str, lease: LeaseBody, tokens: Tokens) -> None:
    terms = lease.terms
    token, scheduled = terms.offer.token, scheduled_seconds(terms.weekly_hours, terms.start, lease.end)
    proven, owed = format_duration(lease.settled_seconds), format_duration(scheduled)
    hours = f"{terms.weekly_hours.bit_count()} of the {format_hours(terms.offer.weekly_hours)} offered"
    if terms.offer.weekly_hours == ALWAYS:
        hours = "offered always"
    rows = (
        (f"Escrow of the {title} ({hours})", lease.deposit_units, f"renter {terms.renter}"),
        (
            f"Pay for {proven} proven of {owed} scheduled",
            lease.paid_units,
            f"provider {terms.offer.provider}",
        ),
        (f"Fee, {terms.fee_bps / 100:g} % of pay", lease.fee_units, "treasury"),
        ("Refund", lease.refund_units, f"renter {terms.renter}"),
    )
    for what, amount, whose in rows:
        table.add_row(what, tokens.show(token, amount), whose)


def _jobs(outcome: Outcome) -> Table:
    table = Table(title="Jobs", title_justify="left", header_style="bold")
    for column in ("Class", "Runs", "Ended", "Output's SHA-256", "Trace root"):
        table.add_column(column, overflow="fold")
    for body in outcome.jobs:
        receipt = body.receipt.receipt if body.receipt is not None else None
        table.add_row(
            class_of_job(body),
            " ".join((body.spec.entrypoint, *body.spec.arguments)),
            body.state if receipt is None else f"{receipt.outcome.name.lower()}, {body.state}",
            "-" if receipt is None else f"{receipt.output_digest.hex()[:32]}…",
            f"{receipt.trace_root.hex()[:16]}…" if receipt and any(receipt.trace_root) else "-",
        )
    return table


def _gas(outcome: Outcome) -> Table:
    table = Table(title="Gas", title_justify="left", header_style="bold")
    table.add_column("Transaction")
    for column in ("Count", "Least", "Most"):
        table.add_column(column, justify="right")
    for use in outcome.gas:
        table.add_row(use.function, str(use.count), f"{use.least:,}", f"{use.most:,}")
    return table
