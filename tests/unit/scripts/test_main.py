"""The command tree: complete, lazy, and quick to explain itself."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from scripts import market, renter
from scripts.main import ENTRIES, cli

HEAVY = ("web3", "ape", "torch", "pydantic", "yaml", "httpx2", "rich")


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "deploy"])
def test_entry__named__loads_a_command(name: str) -> None:
    assert isinstance(ENTRIES[name].load(), click.Command)


def test_help__is_asked__imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom scripts.main import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "launch" in shown.stdout


def test_help__is_asked__hides_the_aliases() -> None:
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0
    commands = [line.split()[0] for line in shown.output.split("Commands:")[1].splitlines() if line.strip()]
    assert "renter" not in commands
    assert "auditor" not in commands
    assert {"offers", "launch", "provider", "audit", "devnet", "deploy", "demo"} <= set(commands)


def test_commands__of_renter_and_market__are_all_at_the_top() -> None:
    assert set(renter.cli.commands) | set(market.cli.commands) <= set(ENTRIES)


def test_command__unknown__exits_2() -> None:
    assert CliRunner().invoke(cli, ["lunch"]).exit_code == 2
