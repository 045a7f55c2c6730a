"""How plans, launches, leases and jobs are shown to people, and as documents to programs."""

from typing import TYPE_CHECKING, Any

import click

from protocol.structs import OfferKind
from protocol.units import to_hex, unpack_name
from scripts.terminal.tables import print_table

if TYPE_CHECKING:
    from protocol.bodies import JobBody, LeaseBody
    from scripts.client.chain import Tokens
    from scripts.client.renting import Launch, Proposal


def show_plan(proposal: "Proposal", tokens: "Tokens") -> None:
    """What will be rented and paid, before anyone is asked."""
    from scripts.client.amounts import format_duration
    from scripts.client.schedules import format_instant

    offer, terms, task = proposal.offer, proposal.terms, proposal.task
    jobs = len(proposal.specs)
    bond = tokens.show(tokens.manifest.stake_token, offer.bond)
    share = "seconds owed and not served pay you their share of it"
    if offer.kind is not OfferKind.RESERVED:
        share = "an idle lease owes no seconds, so none of it is yours"
    job_class = task.section.job_class.upper()
    lines = (
        ("Task", f"{task.file.name}: {jobs} {job_class} {'job' if jobs == 1 else 'jobs'}"),
        ("Unit", f"{offer.gpu_count} x {unpack_name(offer.gpu_class)} of {offer.provider}"),
        ("Rate", f"{tokens.show(offer.token, offer.price_per_hour)} an hour, {offer.kind.name.lower()}"),
        ("Lease", f"{format_instant(terms.start)} to {format_instant(terms.end)}"),
        ("Hours", _hours(proposal)),
        (
            "Escrow",
            f"{tokens.show(offer.token, proposal.deposit_units)}: the most you can pay, fees of gas apart",
        ),
        (
            "Refund",
            "every second that the provider does not prove; you may end it with"
            f" {format_duration(offer.notice_seconds)} notice after {format_duration(offer.min_seconds)}",
        ),
        ("Bond", f"{bond} of the provider; {share}"),
        ("Privacy", proposal.privacy.describe()),
    )
    for name, text in lines:
        click.echo(f"{name:8} {text}", err=True)


def _hours(proposal: "Proposal") -> str:
    """What of the lease is scheduled."""
    from protocol.accrual import scheduled_seconds
    from scripts.client.amounts import format_duration

    terms = proposal.terms
    seconds = scheduled_seconds(terms.weekly_hours, terms.start, terms.end)
    if seconds == terms.end - terms.start:
        return f"all of it, {format_duration(seconds)}"
    return f"{format_duration(seconds)} in {terms.weekly_hours.bit_count()} hours of the week"


def launch_document(prepared: "Launch", transaction_hash: bytes | None) -> dict[str, Any]:
    """What `launch --json` prints."""
    return {
        "lease_id": to_hex(prepared.lease_id),
        "transaction": None if transaction_hash is None else to_hex(transaction_hash),
        "start": prepared.terms.start,
        "end": prepared.terms.end,
        "jobs": [
            {"job_id": to_hex(job), "arguments": list(order.spec.arguments)}
            for job, order in zip(prepared.job_ids, prepared.orders, strict=True)
        ],
    }


def show_launch(prepared: "Launch") -> None:
    click.echo(f"lease {to_hex(prepared.lease_id)}")
    for job, order in zip(prepared.job_ids, prepared.orders, strict=True):
        click.echo(f"job   {to_hex(job)} {' '.join(order.spec.arguments)}".rstrip())


def show_leases(tokens: "Tokens", leases: "list[LeaseBody]") -> None:
    rows = [
        (
            body.lease_id,
            body.status,
            tokens.show(body.terms.offer.token, body.deposit_units),
            tokens.show(body.terms.offer.token, body.paid_units + body.fee_units),
            tokens.show(body.terms.offer.token, body.refund_units),
            body.settled_seconds,
            "pending" if body.matures_at else "-",
        )
        for body in leases
    ]
    print_table("Leases", ("Lease", "Status", "#Deposit", "#Paid", "#Refund", "#Settled s", "Proof"), rows)


def show_jobs(jobs: "list[JobBody]") -> None:
    rows = [
        (
            body.job_id,
            class_of_job(body),
            body.state,
            body.receipt.receipt.outcome.name.lower() if body.receipt else "-",
            body.receipt.receipt.exit_code if body.receipt else "-",
            " ".join((body.spec.entrypoint, *body.spec.arguments)),
            body.detail,
        )
        for body in jobs
    ]
    print_table("Jobs", ("Job", "Class", "State", "Outcome", "#Exit", "Runs", "Detail"), rows)


def class_of_job(body: "JobBody") -> str:
    """The class, and what it counts as where nobody who could check the job can read it."""
    name = body.spec.job_class.name
    return name if body.checked_as == name else f"{name}, as {body.checked_as}"
