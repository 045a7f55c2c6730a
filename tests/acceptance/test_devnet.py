"""`gpgpu devnet up` as a developer runs it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.localnet.anvil import free_port
from scripts.localnet.services import child_environment
from scripts.localnet.waiting import await_value
from tests.acceptance.test_demo import left_running


@pytest.mark.timeout(400)
def test_devnet__up__serves_a_renter_and_ends_at_sigterm(tmp_path: Path) -> None:
    folder, out, errors = tmp_path / "net", tmp_path / "out", tmp_path / "errors"
    command = [sys.executable, "-m", "scripts.main", "devnet", "up", "--workers", "1", "--dir", str(folder)]
    ports = ["--port", str(free_port()), "--oracle-port", str(free_port())]
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            command + ports, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=child_environment()
        )
    try:
        await_value(
            "the network is ready",
            lambda: process.poll() is not None or b"Ready." in errors.read_bytes(),
            timeout_seconds=300,
        )
        assert process.poll() is None, errors.read_text()
        exports = dict(line.removeprefix("export ").split("=", 1) for line in out.read_text().splitlines())
        shown = subprocess.run(
            [sys.executable, "-m", "scripts.main", "offers"],
            env=child_environment(exports),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "3.6 dUSD" in shown.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, errors.read_text()
    finally:
        process.kill()
        process.wait()
    await_value("nothing is left running", lambda: not left_running(folder), timeout_seconds=10)
