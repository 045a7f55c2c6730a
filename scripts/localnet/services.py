"""The services of a local network as real processes: Ape's deployment, the oracle, workers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ServiceUnavailable
from protocol.units import Address, UnitId, to_hex
from scripts.client.api import OracleClient
from scripts.localnet.anvil import CHAIN_ID, PROJECT, Anvil
from scripts.localnet.folder import NetworkFolder
from scripts.localnet.processes import Process, Supervisor
from scripts.localnet.waiting import await_value

DEPLOY_SECONDS = 240.0
START_SECONDS = 60.0
IDENTIFY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker of the network. `device` tells it from others that share this host's processors."""

    name: str
    unit_id: UnitId
    device: str
    heartbeat_seconds: int = 5
    proof_interval_seconds: int = 60


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, with the project's tools found first, and without settings that were meant for other commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GPGPU_")}
    tools = (str(Path(sys.executable).parent), str(PROJECT / "node_modules" / ".bin"))
    kept["PATH"] = os.pathsep.join((*tools, kept.get("PATH", os.defpath)))
    # So that a checkout that is not installed works as well.
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PROJECT), kept.get("PYTHONPATH", ""))))
    kept["PYTHONUNBUFFERED"] = "1"
    return kept | dict(extra or {})


def deploy_contracts(
    supervisor: Supervisor,
    folder: NetworkFolder,
    anvil: Anvil,
    treasury: Address,
    members: Sequence[Address],
) -> None:
    """Run `ape run deploy` to its end; afterwards the manifest is in the folder."""
    ape = Path(sys.executable).with_name("ape")
    command = [
        *(str(ape), "run", "deploy", "--network", "ethereum:local:foundry"),
        *("--manifest", str(folder.manifest), "--treasury", treasury),
        *(argument for member in members for argument in ("--member", member)),
    ]
    environment = child_environment({"APE_FOUNDRY_HOST": anvil.rpc_url})
    supervisor.run("deploy", command, environment=environment, folder=PROJECT, timeout_seconds=DEPLOY_SECONDS)


def start_oracle(supervisor: Supervisor, folder: NetworkFolder, anvil: Anvil, port: int) -> Process:
    """Start the oracle on the loopback interface; `await_oracle` says when it answers."""
    settings = folder.root / "oracle.toml"
    write_toml(
        settings,
        {
            "rpc_url": anvil.rpc_url,
            "chain_id": CHAIN_ID,
            "manifest": str(folder.manifest),
            "data_dir": str(folder.data_dir("oracle")),
            "heads_url": anvil.rpc_url.replace("http://", "ws://"),
            "port": port,
            "confirmations": 0,
            "poll_seconds": 0.3,
            "keeper_seconds": 0.5,
            "readers_file": str(folder.readers_file),
            "keystore": str(folder.keystore("keeper")),
            "password_file": str(folder.password_file),
        },
    )
    command = [sys.executable, "-m", "oracle", "--settings", str(settings)]
    return supervisor.start("oracle", command, environment=child_environment(), folder=folder.root)


def await_oracle(process: Process, url: str) -> None:
    """Returns once the oracle has read the chain up to its head. ProcessFailed, DeadlineExceeded."""

    def is_ready() -> bool:
        process.require_running()
        try:
            with OracleClient(url) as client:
                return client.health().status == "ok"
        except ServiceUnavailable:
            return False

    await_value("the oracle answers", is_ready, timeout_seconds=START_SECONDS)


def start_worker(
    supervisor: Supervisor, folder: NetworkFolder, anvil: Anvil, oracle_url: str, plan: WorkerPlan
) -> Process:
    """Start a worker on this host's processors; `await_workers` says when the oracle knows it."""
    settings = folder.root / f"{plan.name}.toml"
    write_toml(
        settings,
        {
            "rpc_url": anvil.rpc_url,
            "chain_id": CHAIN_ID,
            "manifest": str(folder.manifest),
            "oracle_url": oracle_url,
            "unit_id": to_hex(plan.unit_id),
            "keystore": str(folder.keystore(plan.name)),
            "password_file": str(folder.password_file),
            "data_dir": str(folder.data_dir(plan.name)),
            "device": "cpu",
            "cpu_device": plan.device,
            # This host runs everything else too, and torch's threads wait for each other by spinning.
            "cpu_threads": 1,
            "heartbeat_seconds": plan.heartbeat_seconds,
            "proof_interval_seconds": plan.proof_interval_seconds,
            "poll_seconds": 0.5,
        },
    )
    command = [sys.executable, "-m", "worker", "--settings", str(settings)]
    return supervisor.start(plan.name, command, environment=child_environment(), folder=folder.root)


def await_workers(supervisor: Supervisor, url: str, count: int) -> None:
    """Returns once so many workers are connected to the oracle. ProcessFailed, DeadlineExceeded."""

    def are_connected() -> bool:
        supervisor.require_running()
        with OracleClient(url) as client:
            return client.health().workers_connected >= count

    await_value(f"{count} workers connect", are_connected, timeout_seconds=START_SECONDS)


def identify_devices(folder: NetworkFolder, device: str, worker: str) -> Path:
    """The inventory of this host's processors under the name `device`, as the worker tells it, in a file.

    Afterwards the worker has an encryption key.
    """
    keys = folder.encryption_keys(worker)
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "worker",
        "identify",
        "--json",
        "--device",
        "cpu",
        "--cpu-device",
        device,
        "--key-dir",
        str(keys),
    ]
    found = subprocess.run(  # noqa: S603 - our own module
        command,
        env=child_environment(),
        cwd=folder.root,
        capture_output=True,
        text=True,
        timeout=IDENTIFY_SECONDS,
        check=False,
    )
    if found.returncode != 0:
        raise ServiceUnavailable(f"worker identify: exit code {found.returncode}: {found.stderr.strip()}")
    path = folder.root / f"inventory-{device}.json"
    path.write_text(found.stdout, encoding="utf-8")
    return path


def write_toml(path: Path, values: Mapping[str, str | int | float]) -> None:
    """A flat TOML file; JSON's strings and numbers are TOML's."""
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    path.write_text("".join(lines), encoding="utf-8")
