"""The development chain: anvil with one block a second, a memory cap, and its files in our folder."""

import json
import os
import shutil
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BadInput
from scripts.localnet.processes import Process, Supervisor
from scripts.localnet.waiting import await_value

CHAIN_ID = 31337
BLOCK_SECONDS = 1
START_SECONDS = 30.0
# Anvil keeps the state of each block; a devnet of a day stays far below this.
MEMORY_BYTES = 4 * 1024**3
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Anvil:
    process: Process
    rpc_url: str


def anvil_command() -> str:
    """The project's own anvil, else the one on PATH; BadInput says how to get it."""
    local = PROJECT / "node_modules" / ".bin" / "anvil"
    found = str(local) if local.exists() else shutil.which("anvil")
    if found is None:
        raise BadInput(f"anvil: expected at {local} or on PATH, found in neither; run `make setup`")
    return found


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_anvil(supervisor: Supervisor, folder: Path, port: int | None = None) -> Anvil:
    """Start anvil on the loopback interface and wait until it answers with our chain id."""
    chosen = port or free_port()
    home = folder / "anvil"
    home.mkdir(parents=True, exist_ok=True)
    command = [
        anvil_command(),
        *("--host", "127.0.0.1", "--port", str(chosen)),
        *("--chain-id", str(CHAIN_ID), "--block-time", str(BLOCK_SECONDS), "--slots-in-an-epoch", "1"),
        *("--accounts", "3", "--quiet"),
    ]
    process = supervisor.start(
        "anvil", command, environment=os.environ | {"HOME": str(home)}, memory_bytes=MEMORY_BYTES
    )
    url = f"http://127.0.0.1:{chosen}"

    def is_ready() -> bool:
        process.require_running()
        return chain_id_at(url) == CHAIN_ID

    await_value("anvil answers", is_ready, timeout_seconds=START_SECONDS, poll_seconds=0.05)
    return Anvil(process=process, rpc_url=url)


def chain_id_at(url: str) -> int | None:
    """The chain id of the node at `url`, or None while nobody answers."""
    try:
        return int(str(rpc(url, "eth_chainId", [])), 16)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def rpc(url: str, method: str, parameters: list[object]) -> object:
    """One JSON-RPC call without web3, whose import takes longer; errors of the node are BadInput."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - http only
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the caller's node
        answer = json.load(response)
    if "error" in answer:
        raise BadInput(f"{method}: {answer['error'].get('message', answer['error'])}")
    return answer.get("result")
