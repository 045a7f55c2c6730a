"""Deployment with Ape on a real chain, and commands as Ape's scripts."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.abi_bytes import abi_encode
from protocol.calls import Call
from protocol.chain import check_deployment, read_block
from protocol.contracts import Market, Quorum, Token, TokenTerms
from protocol.difference import Difference
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest, load
from protocol.units import Address, address_bytes, address_of
from scripts.audit.deployment import check_immutables
from scripts.audit.rebuilding import Compiled, check_sources, compile_sources
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


@pytest.fixture(scope="module")
def compiled() -> Mapping[str, Compiled]:
    """The sources, compiled from nothing."""
    return compile_sources(PROJECT)


def test_deploy__behind_a_timelock__is_owned_by_it_and_made_of_the_sources(
    anvil: Anvil, tmp_path: Path, compiled: Mapping[str, Compiled]
) -> None:
    """Ape and forge make the same bytes, and Ape deploys nothing that its cache holds of older sources."""
    path, member = tmp_path / "deployment.json", account(5).address
    options = ("--network", "ethereum:local:foundry", "--manifest", str(path))
    done = run(anvil, APE, "run", "deploy", *options, "--timelock-seconds", "3", "--member", member)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = load(path)
    market, quorum = Market(anvil.web3, manifest.market), Quorum(anvil.web3, manifest.quorum)
    assert manifest.timelock == manifest.owner == market.owner() == quorum.owner()
    dollar = manifest.tokens["dUSD"].address
    assert not market.token_allowed(dollar)

    differences = differences_with(anvil, manifest, compiled)
    assert differences == []

    allow, add = market.build_set_token(dollar, True, 100), quorum.build_add_member(member, member)
    anvil.advance(4)
    for call in (allow, add):
        anvil.send(account(7), executed(manifest.timelock, call))
    assert market.token_terms(dollar) == TokenTerms(True, 100)
    assert quorum.member_at(0).signer == member

    for address, code in ((manifest.court, "source_code"), (manifest.quorum, "source_immutable")):
        tamper(anvil, address, compiled, code)
        assert {item.code for item in differences_with(anvil, manifest, compiled)} == {code}
        tamper(anvil, address, compiled, code)


def differences_with(
    anvil: Anvil, manifest: DeploymentManifest, compiled: Mapping[str, Compiled]
) -> list[Difference]:
    section = Section("sources")
    check_sources(anvil.web3, manifest, read_block(anvil.web3, "latest").number, compiled, section)
    assert section.compared > 100
    return section.differences


def executed(timelock: Address, call: Call) -> Call:
    """A call that was scheduled, as anybody executes it once its delay is over."""
    selector = keccak256(b"execute(address,uint256,bytes,bytes32,bytes32)")[:4]
    arguments = (call.to, 0, call.data, bytes(32), bytes(32))
    return Call(
        timelock, selector + abi_encode(("address", "uint256", "bytes", "bytes32", "bytes32"), arguments)
    )


def tamper(anvil: Anvil, address: Address, compiled: Mapping[str, Compiled], code: str) -> None:
    """Flip one bit: of what the compiler made, or of an immutable. Twice leaves it as it was."""
    found = bytearray.fromhex(anvil.call("eth_getCode", address, "latest")[2:])
    places = [place for places in compiled["OracleQuorum"].immutables.values() for place in places]
    where = places[0][0] + 31 if code == "source_immutable" else 0
    found[where] ^= 1
    anvil.call("anvil_setCode", address, "0x" + found.hex())
    anvil.mine()


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
