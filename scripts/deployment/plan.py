"""What a deployment is made of: parameters, owner, tokens; and the options that say so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from protocol.errors import BadInput
from protocol.manifest import DeploymentParameters
from protocol.units import ZERO_ADDRESS, Address, Seconds, parse_address

STAKE_DECIMALS: Final = 18
STAKE_UNIT: Final = 10**STAKE_DECIMALS
# All periods that people wait for on a development network are ten seconds or less.
DEVELOPMENT: Final[Mapping[str, int]] = {
    "challenge_seconds": 8,
    "proof_grace_seconds": 10,
    "answer_seconds": 10,
    "unbonding_seconds": 10,
    "rotation_seconds": 2,
    "threshold": 2,
    "committee_size": 3,
    "draw_delay_blocks": 4,
    "draw_seconds": 10,
    "data_seconds": 5,
    "commit_seconds": 5,
    "reveal_seconds": 5,
    "clock_seconds": 10,
    "member_bond": 100 * STAKE_UNIT,
    "challenge_bond": 10 * STAKE_UNIT,
    "absence_penalty": STAKE_UNIT,
}
MAX_SECONDS: Final = (1 << 32) - 1
MAX_UNITS: Final = (1 << 96) - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deploy. Without a stake token, development tokens that anybody may mint are deployed too.

    `members` of the quorum sign, and withdraw their bonds, by these addresses; they deposit their bonds.
    `owner` owns market and quorum, or proposes to the timelock that does, where the parameters have one.
    `wrapped_native` None: a development coin's wrapper is deployed; zero: no native coin is taken.
    """

    parameters: DeploymentParameters
    owner: Address
    treasury: Address
    stake_token: Address | None
    payment_tokens: tuple[Address, ...]
    wrapped_native: Address | None
    members: tuple[Address, ...] = ()


def dispute_seconds(values: Mapping[str, int]) -> int:
    """How long a dispute can last: both clocks, two rounds, and the time to bring the spec of a verdict."""
    round_names = ("draw_seconds", "data_seconds", "commit_seconds", "reveal_seconds")
    rounds = 2 * sum(values[name] for name in round_names)
    return 2 * values["clock_seconds"] + rounds + values["reveal_seconds"]


def plan_of(chosen: Mapping[str, Any], deployer: Address, is_development: bool) -> Plan:
    """Out of the options' values. UsageError names what a public network must be given."""
    values = {
        name: default if chosen[name] is None else chosen[name] for name, default in DEVELOPMENT.items()
    }
    if not is_development:
        needed = (*DEVELOPMENT, "exit_seconds", "stake_token", "payment_tokens")
        missing = [name.replace("_", "-") for name in needed if chosen[name] in (None, ())]
        if missing:
            raise click.UsageError(f"a deployment on a public network must be given {', '.join(missing)}")
    # A member stays bonded for longer than any dispute that it was drawn for.
    exit_seconds = Seconds(chosen["exit_seconds"] or dispute_seconds(values) + values["rotation_seconds"])
    _require_sound(values, exit_seconds, len(chosen["members"]))
    extra = {name: chosen[name] for name in ("fee_bps", "timelock_seconds")}
    wrapped_native = chosen["wrapped_native"]
    if wrapped_native is None and not is_development:
        wrapped_native = ZERO_ADDRESS
    return Plan(
        parameters=DeploymentParameters(**values, **extra, exit_seconds=exit_seconds),
        owner=chosen["owner"] or deployer,
        treasury=chosen["treasury"] or deployer,
        stake_token=chosen["stake_token"],
        payment_tokens=chosen["payment_tokens"],
        wrapped_native=wrapped_native,
        members=chosen["members"],
    )


def _require_sound(values: Mapping[str, int], exit_seconds: int, members: int) -> None:
    """What constructors refuse, before anything is paid for. UsageError."""
    if exit_seconds < dispute_seconds(values):
        raise click.UsageError(f"--exit-seconds: expected at least a dispute's {dispute_seconds(values)}")
    if values["proof_grace_seconds"] < values["challenge_seconds"]:
        raise click.UsageError("--proof-grace-seconds: expected at least --challenge-seconds")
    if values["threshold"] * 2 <= members:
        raise click.UsageError(
            f"--threshold: expected a majority of {members} members, got {values['threshold']}"
        )
    if values["committee_size"] % 2 == 0:
        raise click.UsageError("--committee-size: expected an odd number")


def _address(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A Click callback: checksummed addresses, one or several."""
    try:
        if isinstance(value, tuple):
            return tuple(parse_address(item) for item in value)
        return None if value is None else parse_address(value)
    except BadInput as error:
        raise click.BadParameter(str(error), context, parameter) from error


def _amount(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A Click callback: an amount of the stake token, which has 18 decimals, in base units."""
    from scripts.client.amounts import parse_amount

    if value is None:
        return None
    try:
        units = parse_amount(value, STAKE_DECIMALS)
    except BadInput as error:
        raise click.BadParameter(str(error), context, parameter) from error
    if units > MAX_UNITS:
        raise click.BadParameter(f"expected less than 2^96 base units, got {value}", context, parameter)
    return units


def _count(name: str, least: int, most: int, what: str) -> Callable[..., Any]:
    default = f"On a development network {DEVELOPMENT[name]}."
    return click.option(
        f"--{name.replace('_', '-')}", type=click.IntRange(least, most), help=f"{what} {default}"
    )


def _stake(name: str, what: str) -> Callable[..., Any]:
    default = f"On a development network {DEVELOPMENT[name] // STAKE_UNIT}."
    return click.option(f"--{name.replace('_', '-')}", callback=_amount, help=f"{what} {default}")


def plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options whose values `plan_of` takes."""
    options = (
        click.option("--stake-token", callback=_address, help="Default: a development token."),
        click.option("--payment-token", "payment_tokens", multiple=True, callback=_address),
        click.option(
            "--wrapped-native", callback=_address, help="The native coin as a token (WETH9); zero: none."
        ),
        click.option("--owner", callback=_address, help="Default: the deployer."),
        click.option("--treasury", callback=_address, help="Default: the deployer."),
        click.option(
            "--member", "members", multiple=True, callback=_address, help="Of the quorum; repeatable."
        ),
        click.option(
            "--timelock-seconds",
            type=click.IntRange(0, MAX_SECONDS),
            default=0,
            help="Deploy a timelock with this delay as owner; --owner proposes to it. Default: none.",
        ),
        click.option("--fee-bps", type=click.IntRange(0, 300), default=100, show_default=True),
        _count("challenge_seconds", 1, MAX_SECONDS, "How long a proof can be challenged."),
        _count("proof_grace_seconds", 1, MAX_SECONDS, "How long after its end a lease takes proofs."),
        _count("answer_seconds", 1, MAX_SECONDS, "How long a worker has to answer an order posted on-chain."),
        _count("unbonding_seconds", 0, MAX_SECONDS, "How long stake unbonds."),
        _count("rotation_seconds", 1, MAX_SECONDS, "From when on a change of the quorum counts."),
        click.option(
            "--exit-seconds",
            type=click.IntRange(1, MAX_SECONDS),
            help="How long the bond of a member that left stays. On a development network as a dispute.",
        ),
        _count("threshold", 1, 64, "How many members of the quorum decide."),
        _stake("member_bond", "Of each member of the quorum, in the stake token."),
        _stake("challenge_bond", "Of each dispute, in the stake token."),
        _stake("absence_penalty", "Of an arbiter who gives no verdict, in the stake token."),
        _count("committee_size", 3, 9, "Arbiters of a dispute; odd."),
        _count("draw_delay_blocks", 1, 128, "A committee is drawn by the hash of the block so much later."),
        _count("draw_seconds", 1, MAX_SECONDS, "To draw a committee."),
        _count("data_seconds", 1, MAX_SECONDS, "To vote on what data can be had."),
        _count("commit_seconds", 1, MAX_SECONDS, "To commit to a verdict."),
        _count("reveal_seconds", 1, MAX_SECONDS, "To reveal it."),
        _count("clock_seconds", 1, MAX_SECONDS, "Of each side in a bisection."),
    )
    for option in reversed(options):
        command = option(command)
    return command
