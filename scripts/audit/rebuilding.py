"""The sources against the chain: compiled anew, with the manifest's values in it, they are the code there.

A constructor could put anything into an immutable, and what a contract answers is no proof: here every byte
of the code is the compiler's, or an immutable whose value follows from the manifest.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from web3 import Web3

from protocol.abi_bytes import abi_encode
from protocol.chain import rpc_bytes
from protocol.errors import BadInput
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest
from protocol.units import ZERO_ADDRESS, Address, address_bytes
from scripts.audit.deployment import immutables_of
from scripts.audit.report import Section

COMPILE_SECONDS = 600
WORD_BYTES = 32
DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
NAME, VERSION = b"GPGPU", b"1"
SIGNING = (
    *("LeaseMarket", "LeaseAmendments", "LeaseSuccession"),
    *("OracleQuorum", "ComputeCourt", "CourtProceedings"),
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """Runtime code with zeros for the immutables, and where in it each of them lies, by name."""

    code: bytes
    immutables: Mapping[str, tuple[tuple[int, int], ...]]

    def masked(self, code: bytes) -> bytes:
        """`code`, as long as this one, with zeros for the immutables."""
        blank = bytearray(code)
        for start, length in (place for places in self.immutables.values() for place in places):
            blank[start : start + length] = bytes(length)
        return bytes(blank)


def check_sources(
    web3: Web3, manifest: DeploymentManifest, block: int, compiled: Mapping[str, Compiled], section: Section
) -> None:
    """Every contract of the manifest is what its source compiles to, with the manifest's values in it."""
    for (name, address), values in _expected(manifest).items():
        source = compiled[name]
        code = rpc_bytes(web3, "eth_getCode", [address, hex(block)])
        subject = f"{name} at {address}"
        if not section.compare("source_code_size", subject, len(source.code), len(code)):
            continue
        section.compare("source_code", subject, keccak256(source.code), keccak256(source.masked(code)))
        for immutable, places in source.immutables.items():
            expected = _word(values[immutable]) if immutable in values else "a value that the manifest gives"
            for start, length in places:
                place = f"{immutable} of {subject}, byte {start}"
                section.compare("source_immutable", place, expected, code[start : start + length])


def compile_sources(project: Path) -> Mapping[str, Compiled]:
    """The project's contracts, compiled from nothing; by name. BadInput where its sources do not compile."""
    forge = project / "node_modules" / ".bin" / "forge"
    if not forge.is_file():
        raise BadInput(f"sources in {project}: expected forge at {forge}; run `make setup` there")
    with tempfile.TemporaryDirectory(prefix="gpgpu-sources-") as name:
        out = Path(name) / "out"
        command = [str(forge), "build", "contracts", "--ast", "--force", "--out", str(out)]
        command += ["--cache-path", str(Path(name) / "cache")]
        done = subprocess.run(  # noqa: S603 - the project's own compiler
            command, cwd=project, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
        )
        if done.returncode != 0:
            raise BadInput(
                f"sources in {project}: cannot be compiled: {(done.stderr or done.stdout).strip()}"
            )
        paths = sorted(out.glob("*.sol/*.json"))
        artifacts = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    names = dict(named for artifact in artifacts.values() for named in _variables(artifact.get("ast")))
    return {name: _compiled(artifact, names) for name, artifact in artifacts.items()}


def _compiled(artifact: Mapping[str, Any], names: Mapping[int, str]) -> Compiled:
    deployed = artifact["deployedBytecode"]
    places = {
        names[int(identity)]: tuple((place["start"], place["length"]) for place in found)
        for identity, found in deployed.get("immutableReferences", {}).items()
    }
    return Compiled(bytes.fromhex(deployed["object"].removeprefix("0x")), places)


def _variables(node: Any) -> Iterator[tuple[int, str]]:
    """The compiler's numbers of immutables, and their names."""
    if isinstance(node, list):
        for item in node:
            yield from _variables(item)
    elif isinstance(node, dict):
        if node.get("mutability") == "immutable":
            yield node["id"], node["name"]
        for item in node.values():
            if isinstance(item, dict | list):
                yield from _variables(item)


def _expected(manifest: DeploymentManifest) -> Mapping[tuple[str, Address], Mapping[str, object]]:
    """The values of all immutables, those that no getter shows included."""
    found: dict[tuple[str, Address], Mapping[str, object]] = {}
    for (name, address), values in immutables_of(manifest).items():
        hidden = _domain(manifest.chain_id, address) if name in SIGNING else {}
        found[name, address] = {"EXIT_SECONDS": manifest.parameters.exit_seconds, **values, **hidden}
    if manifest.timelock != ZERO_ADDRESS:
        found["ProtocolTimelock", manifest.timelock] = {}
    return found


def _domain(chain_id: int, contract: Address) -> Mapping[str, object]:
    """What OpenZeppelin's EIP712 keeps in the code."""
    words = (keccak256(DOMAIN_TYPE), keccak256(NAME), keccak256(VERSION), chain_id, contract)
    separator = keccak256(abi_encode(("bytes32", "bytes32", "bytes32", "uint256", "address"), words))
    return {
        "_cachedDomainSeparator": separator,
        "_cachedChainId": chain_id,
        "_cachedThis": contract,
        "_hashedName": keccak256(NAME),
        "_hashedVersion": keccak256(VERSION),
        "_name": _short_string(NAME),
        "_version": _short_string(VERSION),
    }


def _short_string(text: bytes) -> bytes:
    return text.ljust(WORD_BYTES - 1, b"\0") + bytes([len(text)])


def _word(value: object) -> bytes:
    """As the compiler writes it into the code."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return value.to_bytes(WORD_BYTES)
    return address_bytes(Address(str(value))).rjust(WORD_BYTES, b"\0")
