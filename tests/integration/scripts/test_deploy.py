"""Deployment with Ape on a real chain, and commands as Ape's scripts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.chain import check_deployment, read_block
from protocol.contracts import Market, Quorum, Token, TokenTerms
from protocol.manifest import load
from protocol.units import address_bytes, address_of
from scripts.audit.deployment import check_immutables
from scripts.audit.report import Section
from scripts.deployment.contracts import predicted_address
from scripts.localnet.anvil import PROJECT
from scripts.localnet.services import child_environment
from tests.anvil import Anvil, account, contract_address

APE = str(Path(sys.executable).with_name("ape"))


def run(anvil: Anvil | None, *command: str) -> "subprocess.CompletedProcess[str]":
    environment = child_environment({"APE_FOUNDRY_HOST": anvil.rpc_url} if anvil else {})
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize(
    "command", [(APE, "run", "deploy"), (sys.executable, "-m", "scripts.main", "deploy")]
)
def test_deploy__local_network__contracts_and_manifest_agree(
    anvil: Anvil, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "deployment.json"
    treasury = address_of(address_bytes(account(9).address))
    options = ("--network", "ethereum:local:foundry", "--manifest", str(path), "--treasury", treasury)
    members = [account(index).address for index in (5, 6, 7)]
    named = [argument for member in members for argument in ("--member", member)]
    done = run(anvil, *command, *options, "--fee-bps", "250", *named)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = load(path)
    check_deployment(anvil.web3, manifest)
    section = Section("deployment")
    check_immutables(anvil.web3, manifest, read_block(anvil.web3, "latest").number, section)
    assert section.compared > 30
    assert section.differences == []
    parameters = manifest.parameters
    for name in ("challenge", "proof_grace", "answer", "unbonding", "rotation", "draw", "commit", "reveal"):
        assert 0 < getattr(parameters, f"{name}_seconds") <= 10
    market, quorum = Market(anvil.web3, manifest.market), Quorum(anvil.web3, manifest.quorum)
    assert (market.treasury(), market.owner(), quorum.owner()) == (treasury, manifest.owner, manifest.owner)
    assert [quorum.member_at(index).signer for index in range(3)] == members
    assert quorum.threshold() == parameters.threshold == 2
    assert sorted(manifest.tokens) == ["GPU", "WNC", "dUSD"]
    dollar = manifest.tokens["dUSD"]
    assert (dollar.decimals, Token(anvil.web3, dollar.address).name()) == (6, "Devnet USD")
    assert market.token_terms(dollar.address) == TokenTerms(True, 250)
    assert market.token_terms(manifest.wrapped_native) == TokenTerms(True, 250)
    assert market.token_terms(manifest.stake_token) == TokenTerms(False, 0)
    assert manifest.block_number > 0
    created = anvil.call("eth_getTransactionReceipt", "0x" + manifest.transactions["LeaseMarket"].hex())
    assert int(created["blockNumber"], 16) >= manifest.block_number


def test_deploy__same_compiler_settings__gives_the_bytes_that_the_tests_use(
    anvil: Anvil, tmp_path: Path
) -> None:
    """Audits compare code by its hash, and Ape must not deploy what its cache holds of older sources."""
    path = tmp_path / "deployment.json"
    done = run(anvil, APE, "run", "deploy", "--network", "ethereum:local:foundry", "--manifest", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = load(path)
    transaction = "0x" + manifest.transactions["LeaseMarket"].hex()
    sent = anvil.call("eth_getTransactionByHash", transaction)["input"]
    artifact = json.loads((PROJECT / "build/forge/LeaseMarket.sol/LeaseMarket.json").read_text())
    assert sent.startswith(artifact["bytecode"]["object"])


def test_deploy__malformed_address__exits_2(anvil: Anvil, tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    options = ("--network", "ethereum:local:foundry", "--manifest", str(path), "--treasury", "0x12")
    done = run(anvil, APE, "run", "deploy", *options)
    assert done.returncode == 2
    assert "expected 0x and 40 hex digits" in done.stderr
    assert not path.exists()


def test_predicted_address__nonce__is_that_of_the_chain() -> None:
    creator = address_of(address_bytes(account(0).address))
    for nonce in (0, 1, 127, 128, 70_000):
        assert predicted_address(creator, nonce) == contract_address(creator, nonce)


@pytest.mark.parametrize("name", ["renter", "provider", "auditor", "devnet", "demo", "deploy"])
def test_ape_run__every_script__explains_itself(name: str) -> None:
    done = run(None, APE, "run", name, "--help")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Usage:" in done.stdout
