"""Copies the contracts' ABIs from forge's build to protocol/abi; `--check` only says whether they differ."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from protocol.abi import CONTRACTS

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "protocol" / "abi"
DELEGATES = {
    "LeaseMarket": ("LeaseAmendments", "LeaseSuccession"),
    "ComputeCourt": ("CourtProceedings",),
}
"""Contracts whose code answers at another's address: callers see one contract with the functions of all."""
_CALLABLE = ("function", "event", "error")


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where a file differs from the build.")
@click.option(
    "--build",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "build" / "forge",
    help="Where forge put its artifacts.",
)
def cli(check: bool, build: Path) -> None:
    """Keep protocol/abi/ equal to what the compiler says of the contracts."""
    wanted = {f"{name}.json": render(read_abi(build, name)) for name in CONTRACTS}
    present = {path.name: path.read_text() for path in sorted(TARGET.glob("*.json"))}
    differing = sorted(
        name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)
    )
    if not differing:
        click.echo(f"protocol/abi is up to date: {len(wanted)} contracts", err=True)
        return
    if check:
        click.echo(f"protocol/abi differs from the build: {', '.join(differing)}", err=True)
        click.echo("run: python -m scripts.export_abi", err=True)
        sys.exit(1)
    for name in differing:
        write(TARGET / name, wanted.get(name))
    click.echo(f"written: {', '.join(differing)}", err=True)


def read_abi(build: Path, contract: str) -> list[dict[str, Any]]:
    """What callers of the contract's address can call and be told, each entry once."""
    found = read_artifact(build, contract)
    for delegate in DELEGATES.get(contract, ()):
        found += [entry for entry in read_artifact(build, delegate) if entry["type"] in _CALLABLE]
    return list({json.dumps(entry, sort_keys=True): entry for entry in found}.values())


def read_artifact(build: Path, contract: str) -> list[dict[str, Any]]:
    """The ABI in forge's artifact of a contract, wherever its source lies."""
    path = build / f"{contract}.sol" / f"{contract}.json"
    if not path.is_file():
        raise click.ClickException(f"expected forge's artifact {path}; run: forge build")
    return json.loads(path.read_text())["abi"]


def render(abi: list[dict[str, Any]]) -> str:
    """Stable text: entries by kind and name, keys sorted."""
    ordered = sorted(abi, key=lambda entry: (entry["type"], entry.get("name", ""), json.dumps(entry)))
    return json.dumps(ordered, indent=1, sort_keys=True) + "\n"


def write(path: Path, text: str | None) -> None:
    """Afterwards the file holds `text`, or is gone where no contract has that name any more."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


if __name__ == "__main__":
    cli()
