"""The renter's commands: offers, quote, launch, status, logs, download, and what moves a lease's end."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protocol.errors import BadInput
from protocol.units import Address, JobId, LeaseId, to_hex
from scripts.market import QUOTE_SECONDS, offers, quote
from scripts.terminal import options
from scripts.terminal.failures import Group, fail
from scripts.terminal.options import Bytes32, together
from scripts.terminal.session import Session
from scripts.terminal.tables import print_json, short
from scripts.terminal.views import launch_document, show_jobs, show_launch, show_leases, show_plan

if TYPE_CHECKING:
    from protocol.bodies import JobBody
    from scripts.client.renting import Launch, Proposal

REASONS = ("unspecified", "work_done", "owner_returns", "maintenance", "hardware_fault", "unreachable")
CALENDAR = together(
    click.option(
        "--hours",
        "rules",
        multiple=True,
        help='Lease these hours of the week: "mon-fri 18-24" (UTC); repeatable.',
    ),
    click.option("--start", help="Such as 2026-01-05T18:00Z. Default: now."),
    click.option("--end", help="As --start, instead of the task's lease_seconds."),
)
MAX_ARTIFACT_BYTES = 64 << 30
MAX_OUTPUT_FILES = 100_000


@click.group(cls=Group)
def cli() -> None:
    """Rent a unit and run jobs on it."""


cli.add_command(offers)
cli.add_command(quote)


@cli.command()
@click.argument("task_file", type=options.FILE)
@click.option("--lease", "lease_id", type=Bytes32(), help="Use this lease of yours instead of a new one.")
@click.option("--offer", "offer_hash", type=Bytes32(), help="Rent this offer instead of the best.")
@click.option("--offer-file", type=options.FILE, help="Rent the signed offer in this file.")
@click.option(
    "--quote", "quote_seconds", type=QUOTE_SECONDS, help="Rent the best of what workers bid in so long."
)
@CALENDAR
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--detach", "-d", is_flag=True, help="Do not wait for the jobs.")
@together(*options.connection, options.oracle_url, *options.key, options.as_json)
def launch(
    task_file: Path,
    lease_id: LeaseId | None,
    offer_hash: bytes | None,
    offer_file: Path | None,
    quote_seconds: int | None,
    rules: tuple[str, ...],
    start: str | None,
    end: str | None,
    yes: bool,
    detach: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Run a task: rent a unit, or use a lease, and send its jobs.

    Shows what it will cost before anything is sent.
    """
    from scripts.client import renting
    from scripts.client.bundling import bundle_of
    from scripts.client.offers import read_signed_offer
    from scripts.client.schedules import schedule_of
    from scripts.task import load_task

    if sum(given_offer is not None for given_offer in (offer_file, offer_hash, quote_seconds)) > 1:
        raise click.UsageError("--offer, --offer-file, --quote: expected one of them")
    chosen = (offer_hash, offer_file, quote_seconds, rules, start, end)
    if lease_id is not None and chosen != (None, None, None, (), None, None):
        raise click.UsageError("--lease: expected no offer, hours or times beside it: the lease has its own")
    task = load_task(task_file)
    section = task.section
    schedule = schedule_of(
        section.lease_seconds, section.max_lease_seconds, rules or section.hours, start, end
    )
    offer = offer_hash if offer_file is None else read_signed_offer(offer_file)
    with Session(given) as session, bundle_of(task) as bundle:
        if lease_id is None:
            chain, oracle = session.chain, session.oracle
            if quote_seconds is not None:
                offer = renting.best_quote(chain, oracle, task, quote_seconds, schedule)
            proposal = renting.propose(chain, oracle, task, bundle, offer, schedule)
            prepared = _prepare_new(session, proposal, yes)
        else:
            oracle = session.oracle
            prepared = renting.launch_on_lease(session.purse, oracle, oracle.lease(lease_id), task, bundle)
            jobs = len(prepared.orders)
            click.echo(f"{jobs} jobs under lease {to_hex(lease_id)}, at no further cost", err=True)
            click.echo(f"{prepared.privacy.describe()}", err=True)
            _confirm(yes)
        receipt = renting.send(session.purse, session.oracle, prepared)
        if as_json:
            print_json(launch_document(prepared, receipt.transaction_hash if receipt else None))
        else:
            show_launch(prepared)
        if not detach:
            _follow(session, prepared, quiet=as_json)


def _prepare_new(session: Session, proposal: "Proposal", yes: bool) -> "Launch":
    """Terms and orders of a new lease, once its plan was shown and agreed to."""
    from scripts.client import renting

    show_plan(proposal, session.chain.tokens)
    session.purse.require(proposal.offer.token, proposal.deposit_units, "escrow of the lease")
    _confirm(yes)
    # Only now: the lease starts seconds from here, however long the answer took.
    return renting.draft_launch(session.purse, proposal)


def _confirm(yes: bool) -> None:
    if not yes:
        click.confirm("Go on?", abort=True, err=True)


def _follow(session: Session, prepared: "Launch", quiet: bool) -> None:
    from scripts.client.following import follow, has_succeeded

    is_alone = len(prepared.job_ids) == 1

    def on_change(body: "JobBody") -> None:
        click.echo(f"{short(body.job_id)} {body.state} {body.detail}".rstrip(), err=True)

    def on_log(_: bytes, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    shown = on_log if is_alone and not quiet else None
    ended = list(follow(session.oracle, prepared.job_ids, on_change, shown, session.opener))
    failed = [body for body in ended if not has_succeeded(body)]
    if failed:
        fail(f"{len(failed)} of {len(ended)} jobs did not succeed")


@cli.command()
@click.argument("identity", type=Bytes32(), required=False)
@together(options.manifest, options.oracle_url, *options.key, options.as_json)
def status(identity: bytes | None, as_json: bool, **given: Any) -> None:
    """Show a lease, a job, or all leases of a wallet."""
    from protocol.bodies import json_of
    from scripts.client.answers import ServiceRefused
    from scripts.client.chain import Tokens

    with Session(given) as session:
        oracle = session.oracle
        if identity is None:
            leases = list(oracle.leases(renter=session.address))
            if as_json:
                print_json([json_of(body) for body in leases])
            else:
                show_leases(Tokens(session.manifest), leases)
            return
        try:
            lease = oracle.lease(LeaseId(identity))
        except ServiceRefused as error:
            if error.status != 404:
                raise
            job = oracle.job(JobId(identity))
            if as_json:
                print_json(json_of(job))
            else:
                show_jobs([job])
            return
        jobs = list(oracle.jobs_of_lease(LeaseId(identity))) if given["keystore"] is not None else []
        if as_json:
            print_json({"lease": json_of(lease), "jobs": [json_of(job) for job in jobs]})
            return
        show_leases(Tokens(session.manifest), [lease])
        show_jobs(jobs)


@cli.command()
@click.argument("job_id", type=Bytes32())
@click.option("--follow", "-f", "is_following", is_flag=True, help="Until the job has ended.")
@together(options.manifest, options.oracle_url, *options.key)
def logs(job_id: JobId, is_following: bool, **given: Any) -> None:
    """Print a job's log, and follow it with -f."""
    from scripts.client.unsealing import JobLog

    with Session(given) as session:
        log = JobLog(session.oracle, session.oracle.job(job_id), session.opener)
        for piece in log.pieces(is_following):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


@cli.command()
@click.argument("job_id", type=Bytes32())
@together(options.manifest, options.oracle_url, *options.key)
def cancel(job_id: JobId, **given: Any) -> None:
    """End a job of yours; one that runs stops as soon as its worker hears."""
    with Session(given) as session:
        body = session.oracle.cancel(job_id)
        stopping = body.state in ("assigned", "running")
        click.echo(f"job {to_hex(job_id)}: {'stopping' if stopping else body.state}")


@cli.command()
@click.argument("job_id", type=Bytes32())
@click.argument("number", type=click.IntRange(0, 9))
@together(options.manifest, options.oracle_url, *options.key)
def priority(job_id: JobId, number: int, **given: Any) -> None:
    """Put a job before (9) or behind (0) your others under its lease."""
    with Session(given) as session:
        body = session.oracle.set_priority(job_id, number)
        click.echo(f"job {to_hex(job_id)}: {body.state}, priority {body.priority}")


@cli.command()
@click.argument("old_lease_id", type=Bytes32())
@click.argument("new_lease_id", type=Bytes32())
@together(options.manifest, options.oracle_url, *options.key)
def resume(old_lease_id: LeaseId, new_lease_id: LeaseId, **given: Any) -> None:
    """Order under one lease of yours what another has left undone; its artifacts are still there."""
    from scripts.client.resuming import resume as take_over

    with Session(given) as session:
        found = take_over(session.oracle, old_lease_id, new_lease_id)
        for body, result in found.jobs:
            what = result.job_id if result.refused is None else f"refused: {result.refused.message}"
            click.echo(f"job {body.job_id}: {what}")
        click.echo(f"{len(found.jobs)} jobs taken over, {found.unsettled} may still end", err=True)


@cli.command()
@click.argument("job_id", type=Bytes32())
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--all", "with_all", is_flag=True, help="Also the log, the trace and its checkpoints.")
@together(options.manifest, options.oracle_url, *options.key)
def download(job_id: JobId, folder: Path, with_all: bool, **given: Any) -> None:
    """Fetch a job's output, deciphered where it is sealed, its digests checked."""
    from protocol.bundle import extract_bundle
    from scripts.client.unsealing import download_artifact

    with Session(given) as session:
        oracle, opener, body = session.oracle, session.opener, session.oracle.job(job_id)
        if body.receipt is None:
            raise BadInput(f"job {to_hex(job_id)}: expected one that has ended, it is {body.state}")
        if folder.exists() and any(folder.iterdir()):
            raise BadInput(f"{folder}: expected an empty folder or none")
        with tempfile.TemporaryDirectory(prefix="gpgpu-output-") as name:
            path = Path(name) / "output.tar"
            size_bytes = download_artifact(oracle, opener, body, "output", path, MAX_ARTIFACT_BYTES)
            with path.open("rb") as tar:
                count = extract_bundle(tar, folder, MAX_ARTIFACT_BYTES, MAX_OUTPUT_FILES)
        digest = body.receipt.artifacts["output"].hex()
        click.echo(f"{count} files, {size_bytes} bytes, sha256 {digest}: {folder}", err=True)
        for item in sorted(set(body.receipt.artifacts) - {"output"}) if with_all else ():
            download_artifact(oracle, opener, body, item, folder / ".gpgpu" / item, MAX_ARTIFACT_BYTES)


@cli.command()
@click.argument("lease_id", type=Bytes32())
@click.option("--reason", type=click.Choice(REASONS), default="work_done", show_default=True)
@together(*options.connection, options.oracle_url, *options.key)
def notice(lease_id: LeaseId, reason: str, **given: Any) -> None:
    """Move the end of a lease nearer."""
    from protocol.events import NoticeGiven
    from protocol.structs import NoticeReason
    from scripts.client.providing import event_of
    from scripts.client.renting import give_notice

    with Session(given) as session:
        terms = session.oracle.lease(lease_id).terms
        receipt = give_notice(session.purse, terms, NoticeReason[reason.upper()])
        event = event_of(receipt, NoticeGiven, session.manifest)
        click.echo(f"lease {to_hex(lease_id)} ends at {event.end} (Unix seconds)")


@cli.command()
@click.argument("lease_id", type=Bytes32())
@click.argument("seconds", type=click.IntRange(1))
@together(*options.connection, options.oracle_url, *options.key)
def topup(lease_id: LeaseId, seconds: int, **given: Any) -> None:
    """Move the end of any lease away by SECONDS, within what it was opened for, and pay for them."""
    _move_end(given, lease_id, seconds, beyond_max_end=False)


@cli.command()
@click.argument("lease_id", type=Bytes32())
@click.argument("seconds", type=click.IntRange(1))
@together(*options.connection, options.oracle_url, *options.key)
def extend(lease_id: LeaseId, seconds: int, **given: Any) -> None:
    """Move the end of your lease away by SECONDS, within the offer's longest duration, and pay for them."""
    _move_end(given, lease_id, seconds, beyond_max_end=True)


def _move_end(given: dict[str, Any], lease_id: LeaseId, seconds: int, beyond_max_end: bool) -> None:
    from scripts.client.renting import end_of, move_end

    with Session(given) as session:
        terms = session.oracle.lease(lease_id).terms
        end = end_of(session.chain, terms) + seconds
        if end > terms.max_end and not beyond_max_end:
            raise BadInput(f"lease {to_hex(lease_id)}: can be topped up until {terms.max_end}, not {end}")
        move_end(session.purse, terms, end)
        click.echo(f"lease {to_hex(lease_id)} ends at {end} (Unix seconds)")


@cli.command()
@click.argument("lease_id", type=Bytes32())
@together(*options.connection, options.oracle_url, *options.key)
def accept(lease_id: LeaseId, **given: Any) -> None:
    """Say that your lease's pending proof is right: its provider is paid at once."""
    from protocol.events import Settled
    from scripts.client.providing import event_of
    from scripts.client.renting import accept_proof

    with Session(given) as session:
        terms = session.oracle.lease(lease_id).terms
        event = event_of(accept_proof(session.purse, terms), Settled, session.manifest)
        paid = session.chain.tokens.show(terms.offer.token, event.pay)
        click.echo(f"{event.settled_seconds} s of lease {to_hex(lease_id)} settled, {paid} paid")


@cli.command()
@click.option("--to", "receiver", type=options.AddressText(), help="Default: your own address.")
@together(*options.connection, *options.key)
def withdraw(receiver: Address | None, **given: Any) -> None:
    """Take out credits: refunds, pay, compensation."""
    with Session(given) as session:
        withdraw_all(session, receiver)


def withdraw_all(session: Session, receiver: Address | None) -> None:
    """Credits in every token of the manifest, and compensation; exit code 1 where there is nothing."""
    from scripts.client.withdrawals import withdraw_compensation, withdraw_credits, withdraw_fees

    purse, manifest = session.purse, session.manifest
    to = purse.address if receiver is None else receiver
    tokens = sorted({info.address for info in manifest.tokens.values()})
    taken = list(withdraw_credits(purse, tokens, to).items())
    compensation = withdraw_compensation(purse, to)
    if compensation:
        taken.append((manifest.stake_token, compensation))
    if purse.address == session.chain.market.treasury():
        fees = withdraw_fees(purse, tokens)
        taken += fees.items()
    for token, amount in taken:
        click.echo(f"{session.chain.tokens.show(token, amount)} to {to}")
    if not taken:
        fail(f"nothing to withdraw for {purse.address}")
