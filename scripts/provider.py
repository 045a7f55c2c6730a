"""The provider's commands: stake, units, offers listed or signed, money out."""

from pathlib import Path
from typing import Any

import click

from protocol.units import Address, OfferHash, UnitId, to_hex, unpack_name
from scripts.terminal import options
from scripts.terminal.failures import Group, fail
from scripts.terminal.options import AddressText, Bytes32, together
from scripts.terminal.session import Session
from scripts.terminal.tables import print_json, print_table

WALLET = together(*options.connection, *options.key)
DAY_SECONDS = 86_400


@click.group(cls=Group)
def cli() -> None:
    """Stake, register units, list offers, withdraw."""


@cli.command()
@click.argument("amount")
@WALLET
def stake(amount: str, **given: Any) -> None:
    """Add AMOUNT to your stake, in the stake token."""
    from scripts.client import providing

    with Session(given) as session:
        token = session.manifest.stake_token
        providing.stake(session.purse, session.chain.tokens.parse(token, amount))
        account = session.chain.registry.stake_of(session.purse.address)
        click.echo(f"stake {session.chain.tokens.show(token, account.stake_units)}")


@cli.command()
@click.option("--worker", type=AddressText(), required=True, help="Address of the host's worker key.")
@click.option(
    "--inventory",
    type=options.FILE,
    required=True,
    help="What `python -m worker identify --json --key-dir FOLDER` printed on the host.",
)
@click.option("--node", required=True, help="Your own name of the host; only its hash is published.")
@WALLET
def register(worker: Address, inventory: Path, node: str, **given: Any) -> None:
    """Register the devices of one host as a unit."""
    from scripts.client import providing

    devices = providing.read_devices(inventory)
    with Session(given) as session:
        unit_id = providing.register_unit(session.purse, worker, devices, node)
        click.echo(to_hex(unit_id))


@cli.command()
@click.argument("unit_id", type=Bytes32())
@click.option("--worker", type=AddressText(), help="Address of another worker key.")
@click.option(
    "--inventory",
    type=options.FILE,
    help="What `python -m worker identify --json --key-dir FOLDER --new-key` printed on the host.",
)
@click.option("--no-encryption", is_flag=True, help="Take the encryption key away: jobs come unencrypted.")
@WALLET
def rotate(
    unit_id: UnitId, worker: Address | None, inventory: Path | None, no_encryption: bool, **given: Any
) -> None:
    """Give a unit another worker key or encryption key; open leases go on."""
    from scripts.client import providing

    if worker is None and inventory is None and not no_encryption:
        raise click.UsageError("expected --worker, --inventory or --no-encryption")
    if inventory is not None and no_encryption:
        raise click.UsageError("--no-encryption: expected no --inventory beside it")
    key = bytes(32) if no_encryption else None
    if inventory is not None:
        key = providing.read_devices(inventory).encryption_key
        if not any(key):
            raise click.UsageError(
                "--inventory: expected one with an encryption key: identify with --key-dir"
            )
    with Session(given) as session:
        unit = providing.rotate_worker(session.purse, unit_id, worker, key)
        click.echo(f"worker {unit.worker}, encryption key {to_hex(unit.encryption_key)}")


@cli.command("list")
@click.option("--unit", "unit_id", type=Bytes32(), required=True)
@click.option("--price", required=True, help="An hour of the whole unit, such as 0.25.")
@click.option("--token", required=True, help="Symbol or address of the token of the price.")
@click.option("--bond", required=True, help="In the stake token: locked while a lease lives.")
@click.option(
    "--hours", "rules", multiple=True, help='Such as "mon-fri 18-24" (UTC); repeatable. Default: always.'
)
@click.option("--min-seconds", type=click.IntRange(0), default=60, show_default=True)
@click.option("--max-seconds", type=click.IntRange(1), default=7 * DAY_SECONDS, show_default=True)
@click.option("--notice-seconds", type=click.IntRange(0), default=300, show_default=True)
@click.option("--valid-days", type=click.IntRange(1, 365), default=30, show_default=True)
@click.option(
    "--signed", is_flag=True, help="Sign the offer and print it instead: it costs nothing, a file does."
)
@WALLET
def list_command(
    unit_id: UnitId,
    price: str,
    token: str,
    bond: str,
    rules: tuple[str, ...],
    min_seconds: int,
    max_seconds: int,
    notice_seconds: int,
    valid_days: int,
    signed: bool,
    **given: Any,
) -> None:
    """List an offer of a unit; its hash goes to stdout, or with --signed the offer that renters take."""
    from protocol.weekly_hours import parse_hours
    from scripts.client import providing
    from scripts.client.offers import signed_offer_text

    with Session(given) as session:
        tokens = session.chain.tokens
        address = tokens.address_of(token)
        draft = providing.OfferDraft(
            unit_id=unit_id,
            token=address,
            price_per_hour=tokens.parse(address, price),
            weekly_hours=parse_hours(rules),
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            notice_seconds=notice_seconds,
            bond=tokens.parse(session.manifest.stake_token, bond),
            valid_seconds=valid_days * DAY_SECONDS,
        )
        if signed:
            click.echo(signed_offer_text(providing.sign_offer(session.purse, draft)))
        else:
            click.echo(to_hex(providing.list_offer(session.purse, draft)))


@cli.command()
@click.argument("offer_files", type=options.FILE, nargs=-1, required=True)
@together(options.manifest, options.oracle_url, options.keystore, options.password_file)
def publish(offer_files: tuple[Path, ...], **given: Any) -> None:
    """Put signed offers of yours into the oracle's book, where every renter finds them."""
    from scripts.client.offers import read_signed_offer

    offers = [read_signed_offer(path) for path in offer_files]
    with Session(given) as session:
        for signed in offers:
            posted = session.oracle.post_offer(signed)
            click.echo(f"{posted.offer_hash} {'is in the book' if posted.created else 'was in the book'}")


@cli.command()
@click.option("--salt", type=click.IntRange(0, (1 << 256) - 1), help="Of the signed offer.")
@click.option("--offer-file", type=options.FILE, help="The signed offer.")
@click.option("--all", "everything", is_flag=True, help="Every offer of yours, listed or signed.")
@WALLET
def cancel(salt: int | None, offer_file: Path | None, everything: bool, **given: Any) -> None:
    """Void signed offers of yours; leases already open keep their terms."""
    from scripts.client import providing
    from scripts.client.offers import read_signed_offer

    if (salt is not None) + (offer_file is not None) + everything != 1:
        raise click.UsageError("expected one of --salt, --offer-file and --all")
    if offer_file is not None:
        salt = read_signed_offer(offer_file).offer.salt
    with Session(given) as session:
        if salt is None:
            epoch = providing.raise_epoch(session.purse)
            click.echo(f"every offer before epoch {epoch} is void")
        else:
            providing.cancel_salt(session.purse, salt)
            click.echo(f"what was signed with salt {salt} is void")


@cli.command()
@click.argument("offer_hash", type=Bytes32())
@WALLET
def unlist(offer_hash: OfferHash, **given: Any) -> None:
    """Take an offer off the market; leases already open keep their terms."""
    from scripts.client.purse import fresh_intent

    with Session(given) as session:
        call = session.chain.market.build_unlist(offer_hash)
        session.purse.send(fresh_intent("unlist"), call)
        click.echo(f"{to_hex(offer_hash)} is no longer listed")


@cli.command()
@together(*options.connection, options.keystore, options.password_file, options.as_json)
def status(as_json: bool, **given: Any) -> None:
    """Show your stake, units, offers and credits, from the chain alone."""
    from scripts.client.holdings import holdings_of

    with Session(given) as session:
        show = session.chain.tokens.show
        held = holdings_of(session.chain, session.address)
        if as_json:
            print_json(held.to_json())
            return
        stake_token = session.manifest.stake_token
        rows = [
            ("stake", show(stake_token, held.stake.stake_units)),
            ("locked", show(stake_token, held.stake.locked_units)),
            ("unbonding", show(stake_token, held.stake.unbonding_units)),
            *((f"credit in {token}", show(token, amount)) for token, amount in held.credits.items()),
        ]
        print_table(held.provider, ("What", "#How much"), rows)
        print_table(
            "Units",
            ("Unit", "Class", "#GPUs", "Worker"),
            [
                (to_hex(unit_id), unpack_name(unit.gpu_class), unit.gpu_count, unit.worker)
                for unit_id, unit in held.units.items()
            ],
        )
        print_table(
            "Offers",
            ("Offer", "Unit", "#Price an hour", "Valid until"),
            [
                (
                    to_hex(name),
                    to_hex(offer.unit_id),
                    show(offer.token, offer.price_per_hour),
                    offer.valid_until,
                )
                for name, offer in held.offers.items()
            ],
        )


@cli.command()
@click.option("--to", "receiver", type=AddressText(), help="Default: your own address.")
@WALLET
def withdraw(receiver: Address | None, **given: Any) -> None:
    """Take out what your leases earned."""
    from scripts.renter import withdraw_all

    with Session(given) as session:
        withdraw_all(session, receiver)


@cli.command()
@click.argument("amount", required=False)
@click.option("--to", "receiver", type=AddressText(), help="Default: your own address.")
@WALLET
def unstake(amount: str | None, receiver: Address | None, **given: Any) -> None:
    """Start to unbond AMOUNT of your free stake; without AMOUNT, take out what has unbonded."""
    from scripts.client.purse import fresh_intent

    with Session(given) as session:
        chain, purse, token = session.chain, session.purse, session.manifest.stake_token
        if amount is not None:
            units = chain.tokens.parse(token, amount)
            purse.send(fresh_intent("start unbonding"), chain.registry.build_start_unbonding(units))
            account = chain.registry.stake_of(purse.address)
            shown = chain.tokens.show(token, account.unbonding_units)
            click.echo(f"{shown} can leave at {account.unbond_at} (Unix seconds)")
            return
        account = chain.registry.stake_of(purse.address)
        if not account.unbonding_units:
            fail(f"nothing of {purse.address} is unbonding")
        to = purse.address if receiver is None else receiver
        purse.send(fresh_intent("withdraw stake"), chain.registry.build_withdraw_stake(to))
        click.echo(f"{chain.tokens.show(token, account.unbonding_units)} to {to}")
