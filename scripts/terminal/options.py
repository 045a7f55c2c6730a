"""Options that several commands share, each with its environment variable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from protocol.errors import BadInput
from protocol.units import hex_bytes, parse_address

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)

manifest = click.option(
    "--manifest",
    "manifest_path",
    type=FILE,
    envvar="GPGPU_MANIFEST",
    default=Path("build/deployment.json"),
    show_default=True,
    show_envvar=True,
    help="The deployment's manifest.",
)
rpc_url = click.option(
    "--rpc-url",
    envvar="GPGPU_RPC_URL",
    default="http://127.0.0.1:8545",
    show_default=True,
    show_envvar=True,
    help="The node to read from and to send through.",
)
oracle_url = click.option(
    "--oracle-url",
    envvar="GPGPU_ORACLE_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    show_envvar=True,
    help="The oracle's HTTP address.",
)
keystore = click.option(
    "--keystore", type=FILE, envvar="GPGPU_KEYSTORE", show_envvar=True, help="V3 keystore file of your key."
)
password_file = click.option(
    "--password-file",
    type=FILE,
    envvar="GPGPU_PASSWORD_FILE",
    show_envvar=True,
    help="File with the keystore's password; without it you are asked.",
)
data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="GPGPU_DATA_DIR",
    show_envvar=True,
    help="Where sent transactions are remembered. Default: this user's data folder.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


connection = (manifest, rpc_url)
key = (keystore, password_file, data_dir)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, listed by `--help` in the order given."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class Bytes32(click.ParamType):
    """32 bytes as 0x and 64 hex digits."""

    name = "0x..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            return hex_bytes(str(value).lower(), 32, "id")
        except BadInput as error:
            self.fail(str(error), param, ctx)


class AddressText(click.ParamType):
    """A checksummed address."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_address(value)
        except BadInput as error:
            self.fail(str(error), param, ctx)
