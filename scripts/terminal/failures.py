"""How a command's failure becomes one line on stderr and an exit code that scripts can rely on."""

from __future__ import annotations

from typing import Any

import click

from protocol.errors import InsufficientFunds, InvariantBroken, ProtocolError, RejectedError, RetryableError

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_UNAVAILABLE = 3


def exit_code_of(error: ProtocolError) -> int:
    """1: what was asked for failed; 2: what was given is wrong; 3: the chain or a service is away."""
    if isinstance(error, InsufficientFunds):
        return EXIT_BAD_INPUT  # waiting does not fill a wallet
    if isinstance(error, RetryableError):
        return EXIT_UNAVAILABLE
    if isinstance(error, RejectedError) and not isinstance(error, InvariantBroken):
        return EXIT_BAD_INPUT
    return EXIT_FAILED


class Command(click.Command):
    """A command whose protocol errors end it with one line and the exit code of their kind."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ProtocolError as error:
            click.echo(f"error: {error} [{error.code}]", err=True)
            ctx.exit(exit_code_of(error))


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


def fail(message: str) -> None:
    """End the command with exit code 1: the input was right, the thing asked for failed."""
    click.echo(message, err=True)
    click.get_current_context().exit(EXIT_FAILED)
