"""What can be rented: offers, searched by what one requires, and quotes that workers bid when asked."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protocol.units import unpack_name
from scripts.terminal import options
from scripts.terminal.failures import Group
from scripts.terminal.options import together
from scripts.terminal.session import Session
from scripts.terminal.tables import print_json, print_table

if TYPE_CHECKING:
    from protocol.bodies import OfferBody
    from protocol.matching import Requirements, Schedule
    from scripts.client.chain import Tokens

Count = click.IntRange(1)
QUOTE_SECONDS = click.IntRange(1, 120)
FILTERS = together(
    click.option("--class", "gpu_class", help='Such as "RTX 4090" or CPU.'),
    click.option("--count", "gpu_count", type=Count, help="GPUs of the unit."),
    click.option("--token", help="Symbol or address."),
    click.option("--max-price", help="An hour of the unit, in --token."),
    click.option("--kind", type=click.Choice(("reserved", "idle"))),
    click.option("--vram-gib", type=Count, help="At least, of each GPU."),
    click.option("--tflops", type=click.FloatRange(0, min_open=True), help="At least, as measured."),
    click.option("--measured-within", type=Count, help="Hours since the quorum measured it, at most."),
    click.option("--reputation", help="At least, in --token: fees that the provider's leases paid."),
    click.option("--seconds", type=Count, help="Free for a lease of so long."),
    click.option("--hours", "rules", multiple=True, help='Free in all these hours: "mon-fri 18-24" (UTC).'),
    click.option("--start", help="Such as 2026-01-05T18:00Z. Default: now."),
    click.option("--end", help="As --start, instead of --seconds."),
    click.option("--connected", is_flag=True, help="Whose worker is there now."),
)


@click.group(cls=Group)
def cli() -> None:
    """Find out what can be rented."""


@cli.command()
@together(options.oracle_url, options.as_json)
@FILTERS
def offers(oracle_url: str, as_json: bool, **filters: Any) -> None:
    """List the offers one can rent, cheapest first, listed on chain or in the oracle's book."""
    from protocol.bodies import json_of
    from scripts.client.api import OracleClient
    from scripts.client.chain import Tokens

    with OracleClient(oracle_url) as oracle:
        tokens = Tokens(oracle.deployment().manifest)
        found = list(oracle.offers(requirements_of(tokens, **filters)))
    if as_json:
        print_json([json_of(body) for body in found])
        return
    show_offers(tokens, f"{len(found)} offers", found)


@cli.command()
@click.argument("task_file", type=options.FILE)
@click.option(
    "--seconds", type=QUOTE_SECONDS, default=10, show_default=True, help="How long to wait for bids."
)
@together(*options.connection, options.oracle_url, options.keystore, options.password_file, options.as_json)
def quote(task_file: Path, seconds: int, as_json: bool, **given: Any) -> None:
    """Ask workers what a task would cost now; `launch --quote` takes the best at once."""
    from protocol.bodies import json_of
    from scripts.client import renting
    from scripts.client.quoting import request_quotes, sound_bids
    from scripts.task import load_task

    task = load_task(task_file)
    with Session(given) as session:
        chain = session.chain
        needs = renting.needs_of(task, chain, renting.schedule_of_task(task))
        answer = request_quotes(session.oracle, needs, seconds)
        bids = sound_bids(chain, answer.quotes, needs, renting.next_start(chain))
    if as_json:
        print_json([json_of(bid) for bid, _ in bids])
        return
    title = f"{len(bids)} quotes: {answer.asked} workers asked, {answer.answered} answered"
    show_offers(chain.tokens, title, [bid.offer for bid, _ in bids])


def requirements_of(
    tokens: "Tokens",
    *,
    gpu_class: str | None,
    gpu_count: int | None,
    token: str | None,
    max_price: str | None,
    kind: str | None,
    vram_gib: int | None,
    tflops: float | None,
    measured_within: int | None,
    reputation: str | None,
    seconds: int | None,
    rules: Sequence[str],
    start: str | None,
    end: str | None,
    connected: bool,
) -> "Requirements":
    """What the command line's filters mean. BadInput."""
    from protocol.matching import Requirements
    from protocol.structs import OfferKind

    address = None if token is None else tokens.address_of(token)

    def units(option: str, amount: str | None) -> int | None:
        if amount is None:
            return None
        if address is None:
            raise click.UsageError(f"{option}: expected --token beside it: an amount is in some token")
        return tokens.parse(address, amount)

    return Requirements(
        gpu_class=gpu_class,
        gpu_count=gpu_count,
        token=address,
        max_price_per_hour=units("--max-price", max_price),
        schedule=_schedule(seconds, rules, start, end),
        kind=None if kind is None else OfferKind[kind.upper()],
        min_vram_mib=(vram_gib or 0) * 1024,
        min_gops=math.ceil((tflops or 0) * 1000),
        max_attestation_age_seconds=None if measured_within is None else measured_within * 3600,
        min_reputation_units=units("--reputation", reputation) or 0,
        connected=connected,
    )


def _schedule(
    seconds: int | None, rules: Sequence[str], start: str | None, end: str | None
) -> "Schedule | None":
    if (seconds, tuple(rules), start, end) == (None, (), None, None):
        return None
    if seconds is None and end is None:
        raise click.UsageError("--hours, --start: expected --seconds or --end beside them")
    from scripts.client.schedules import schedule_of

    return schedule_of(seconds or 1, None, rules, start, end)


def show_offers(tokens: "Tokens", title: str, found: "Sequence[OfferBody]") -> None:
    """As a table for people."""
    from protocol.weekly_hours import format_hours
    from scripts.client.amounts import format_duration

    rows = [
        (
            body.offer_hash,
            f"{body.offer.gpu_count} x {unpack_name(body.offer.gpu_class)}",
            tokens.show(body.offer.token, body.offer.price_per_hour),
            body.offer.kind.name.lower(),
            format_hours(body.offer.weekly_hours & ~body.booked_hours),
            f"{format_duration(body.offer.min_seconds)} to {format_duration(body.offer.max_seconds)}",
            f"{body.measured_gops / 1000:g}" if body.measured_gops else "-",
            tokens.show(body.offer.token, body.reputation_units),
            "yes" if body.worker_connected else "no",
        )
        for body in found
    ]
    columns = (
        *("Offer", "Unit", "#Price an hour", "Kind", "Free hours", "Lease"),
        *("#TFLOP/s", "#Reputation", "Worker here"),
    )
    print_table(title, columns, rows)
