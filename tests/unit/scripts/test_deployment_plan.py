"""What a deployment is made of: defaults on a development network, none on a public one."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from protocol.units import ZERO_ADDRESS, Address, address_of
from scripts.deployment.plan import DEVELOPMENT, Plan, dispute_seconds, plan_of, plan_options

DEPLOYER, OTHER = address_of(b"\x01" * 20), address_of(b"\x02" * 20)
STAKE, DOLLAR = address_of(b"\x03" * 20), address_of(b"\x04" * 20)
PERIODS = ("challenge", "proof-grace", "answer", "unbonding", "rotation", "exit")
WINDOWS = ("draw", "data", "commit", "reveal", "clock")
COMPLETE = (
    *("--stake-token", STAKE, "--payment-token", DOLLAR, "--threshold", "3", "--committee-size", "5"),
    *(word for name in (*PERIODS, *WINDOWS) for word in (f"--{name}-seconds", "3600")),
    *("--exit-seconds", str(2 * 3600 + 8 * 3600 + 3600)),
    *(
        "--draw-delay-blocks",
        "4",
        "--member-bond",
        "1000",
        "--challenge-bond",
        "10.5",
        "--absence-penalty",
        "1",
    ),
)


def planned(*arguments: str, is_development: bool = False, deployer: Address = DEPLOYER) -> Plan:
    plans: list[Plan] = []

    @click.command()
    @plan_options
    def command(**chosen: Any) -> None:
        plans.append(plan_of(chosen, deployer, is_development))

    result = CliRunner(mix_stderr=False).invoke(command, arguments)
    if result.exit_code:
        raise click.UsageError(result.stderr)
    return plans[0]


def test_plan_of__development_network__waits_ten_seconds_at_most() -> None:
    plan = planned(is_development=True)
    parameters = plan.parameters
    for name in DEVELOPMENT:
        assert not name.endswith("_seconds") or 0 < getattr(parameters, name) <= 10
    assert (plan.owner, plan.treasury, plan.stake_token, plan.wrapped_native) == (
        DEPLOYER,
        DEPLOYER,
        None,
        None,
    )
    assert parameters.timelock_seconds == 0
    assert parameters.exit_seconds >= dispute_seconds(DEVELOPMENT)


def test_plan_of__public_network__must_be_given_everything() -> None:
    with pytest.raises(click.UsageError) as caught:
        planned()
    for name in (*DEVELOPMENT, "stake_token", "payment_tokens"):
        assert name.replace("_", "-") in str(caught.value)
    plan = planned(*COMPLETE, "--owner", OTHER, "--timelock-seconds", "172800", "--member", OTHER)
    assert (plan.owner, plan.treasury, plan.members) == (OTHER, DEPLOYER, (OTHER,))
    assert (plan.stake_token, plan.payment_tokens, plan.wrapped_native) == (STAKE, (DOLLAR,), ZERO_ADDRESS)
    assert plan.parameters.timelock_seconds == 172_800
    assert plan.parameters.challenge_bond == 10_500_000_000_000_000_000


@pytest.mark.parametrize(
    "arguments",
    [
        ("--member-bond", "lots"),
        ("--member-bond", "1.0000000000000000001"),
        ("--member-bond", str(1 << 96)),
        ("--owner", "0x12"),
        ("--committee-size", "2"),
        ("--fee-bps", "301"),
        ("--challenge-seconds", "0"),
        ("--threshold", "65"),
        ("--threshold", "1", "--member", DEPLOYER, "--member", OTHER),
        ("--committee-size", "4"),
        ("--exit-seconds", "74"),
        ("--proof-grace-seconds", "7"),
    ],
)
def test_plan_options__out_of_range__are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match=arguments[0]):
        planned(*arguments, is_development=True)
