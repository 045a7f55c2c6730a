"""A whole network of real processes, and the command line on it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.localnet.folder import fresh_folder
from scripts.localnet.network import Network, Provider, ProviderPlan, open_network
from scripts.main import cli


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command did and said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@dataclass(slots=True)
class Running:
    """A network with one provider whose worker is connected."""

    network: Network
    provider: Provider

    def environment(self, wallet: str = "renter") -> dict[str, str]:
        """What makes a shell one of this wallet."""
        folder = self.network.folder
        if not folder.keystore(wallet).exists():
            self.network.make_key(wallet)
        return {
            "GPGPU_MANIFEST": str(folder.manifest),
            "GPGPU_RPC_URL": self.network.anvil.rpc_url,
            "GPGPU_ORACLE_URL": self.network.oracle_url,
            "GPGPU_KEYSTORE": str(folder.keystore(wallet)),
            "GPGPU_PASSWORD_FILE": str(folder.password_file),
            "GPGPU_DATA_DIR": str(folder.data_dir("wallets") / f"shell-{wallet}"),
        }

    def gpgpu(
        self, *arguments: str, wallet: str = "renter", answer: str | None = None, **settings: str
    ) -> Shown:
        """Run a command as this wallet's owner would; settings override the environment."""
        result = CliRunner(mix_stderr=False).invoke(
            cli, arguments, input=answer, env=self.environment(wallet) | settings, catch_exceptions=False
        )
        return Shown(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: str, wallet: str = "renter") -> Any:
        """What a command that must succeed prints with --json."""
        result = self.gpgpu(*arguments, "--json", wallet=wallet)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One network for all tests that do no harm to it."""
    root: Path = tmp_path_factory.mktemp("network")
    with fresh_folder(root / "net") as folder, open_network(folder) as network:
        network.deploy()
        network.start_oracle()
        provider = network.open_provider(ProviderPlan("a", "3.60"))
        network.start_worker(provider)
        network.await_workers(1)
        network.mint("renter", network.payment_token, "1000")
        yield Running(network, provider)
