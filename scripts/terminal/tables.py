"""Tables and JSON as commands print them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click


def print_json(document: Any) -> None:
    """One document on stdout, for programs."""
    click.echo(json.dumps(document, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; columns whose head starts with "#" are numbers and stand right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        is_number = column.startswith("#")
        table.add_column(column.removeprefix("#"), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console()
    # Where nobody looks, a pipe for instance, lines are not cut to a guessed width.
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def short(identity: str) -> str:
    """The beginning of an id or address, enough for people to tell them apart."""
    return identity if len(identity) <= 14 else f"{identity[:10]}…{identity[-4:]}"
