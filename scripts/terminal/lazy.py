"""A Click group that imports a command's module only when that command is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and what the list of commands says of it without importing it."""

    module: str
    attribute: str
    summary: str
    hidden: bool = False

    def load(self) -> click.Command:
        found = import_module(self.module)
        for name in self.attribute.split("."):
            found = found.commands[name] if isinstance(found, click.Group) else getattr(found, name)
        if not isinstance(found, click.Command):
            raise TypeError(
                f"expected a Click command at {self.module}:{self.attribute}, found {type(found)}"
            )
        return found


class LazyGroup(click.Group):
    """Lists its entries from their summaries, so that `--help` costs no import but Click's."""

    def __init__(self, entries: Mapping[str, Entry], **attributes: object) -> None:
        super().__init__(**attributes)  # type: ignore[arg-type]
        self.entries = dict(entries)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in self.entries.items() if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        return None if entry is None else entry.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # The name typed, not the command's own: both `gpgpu audit` and `gpgpu auditor` are one group.
        name = args[0] if args else None
        _, command, rest = super().resolve_command(ctx, args)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, entry.summary) for name, entry in self.entries.items() if not entry.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
