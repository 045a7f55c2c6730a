"""What a command works with, opened when it is first needed and closed at the end."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from protocol.manifest import DeploymentManifest
    from protocol.units import Address
    from scripts.client.api import OracleClient
    from scripts.client.chain import Chain
    from scripts.client.purse import Purse
    from scripts.client.unsealing import Opener


class Session:
    """Built of the shared options' values; imports nothing heavy before it must."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in ("purse", "oracle", "chain"):
            opened = self.__dict__.get(name)
            if opened is not None:
                opened.close()

    @cached_property
    def manifest(self) -> "DeploymentManifest":
        from protocol.manifest import load

        return load(self._given["manifest_path"])

    @cached_property
    def chain(self) -> "Chain":
        from scripts.client.chain import chain_of

        return chain_of(self.manifest, self._given["rpc_url"])

    @cached_property
    def account(self) -> "LocalAccount":
        from scripts.client.wallet import unlock

        return unlock(self._keystore(), self._given["password_file"], _ask)

    @cached_property
    def purse(self) -> "Purse":
        from scripts.client.purse import Purse

        return Purse(self.chain, self.account, self._data_dir())

    @cached_property
    def oracle(self) -> "OracleClient":
        """The oracle, asked in the name of the key where one is given."""
        from scripts.client.api import Identity, OracleClient

        identity = None
        if self._given.get("keystore") is not None:
            from protocol.typed_data import Domain

            domain = Domain(self.manifest.chain_id, self.manifest.market)
            identity = Identity(domain, self.account)
        return OracleClient(self._given["oracle_url"], identity)

    @cached_property
    def opener(self) -> "Opener":
        """Reads what is sealed to the key's owner."""
        from protocol.readers import renter_key
        from protocol.typed_data import Domain
        from scripts.client.unsealing import opener_of

        domain = Domain(self.manifest.chain_id, self.manifest.market)
        return opener_of(domain, (renter_key(domain, self.account),), self.oracle)

    @property
    def address(self) -> "Address":
        """Whose key was given, without unlocking it."""
        from scripts.client.wallet import address_of_keystore

        return address_of_keystore(self._keystore())

    def _keystore(self) -> Path:
        path = self._given.get("keystore")
        if path is None:
            raise click.UsageError("a key is needed here: give --keystore or set GPGPU_KEYSTORE")
        return path

    def _data_dir(self) -> Path:
        given = self._given.get("data_dir")
        if given is not None:
            return given
        import platformdirs

        return platformdirs.user_data_path("gpgpu")


def _ask(prompt: str) -> str:
    return click.prompt(prompt, hide_input=True, err=True)
