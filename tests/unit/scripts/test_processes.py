"""Supervised processes: they end with us, whatever happens, and their failures are explained."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.localnet.processes import Process, ProcessFailed, Supervisor, last_lines
from scripts.localnet.waiting import DeadlineExceeded, await_value

FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text("ready")
time.sleep(600)
"""
PARENT = """
import pathlib, sys, time
from scripts.localnet.processes import Supervisor
folder = pathlib.Path(sys.argv[1])
child = Supervisor(folder).start("child", [sys.executable, "-c", "import time; time.sleep(600)"])
(folder / "pid.new").write_text(str(child.popen.pid))
(folder / "pid.new").rename(folder / "pid")
time.sleep(600)
"""


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _written(path: Path) -> str:
    return await_value(f"{path} is written", lambda: path.exists() and path.read_text(), timeout_seconds=20)


def _start(supervisor: Supervisor, code: str, *arguments: str) -> Process:
    return supervisor.start("child", [sys.executable, "-c", code, *arguments])


def test_supervisor__left_by_an_error__ends_children_and_grandchildren(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Supervisor(tmp_path) as supervisor:
        child = _start(supervisor, FAMILY, str(tmp_path / "pid"))
        grandchild = int(_written(tmp_path / "pid"))
        assert _is_alive(grandchild)
        raise RuntimeError("anything")
    assert not child.is_running
    await_value("the grandchild ends", lambda: not _is_alive(grandchild), timeout_seconds=10)


def test_supervisor__child_ignores_sigterm__is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.localnet.processes.STOP_SECONDS", 0.2)
    with Supervisor(tmp_path) as supervisor:
        child = _start(supervisor, STUBBORN, str(tmp_path / "ready"))
        _written(tmp_path / "ready")
    assert child.popen.returncode == -signal.SIGKILL


def test_supervisor__parent_killed__child_dies(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    try:
        child = int(_written(tmp_path / "pid"))
        assert _is_alive(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    await_value("the child dies", lambda: not _is_alive(child), timeout_seconds=10)


def test_supervisor__process_ended__error_shows_the_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = _start(supervisor, "import sys; print('out of luck'); sys.exit(7)")
        child.popen.wait()
        with pytest.raises(ProcessFailed, match="exit code 7") as caught:
            supervisor.require_running()
    assert "out of luck" in str(caught.value)


def test_supervisor_run__too_slow__is_ended(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor, pytest.raises(ProcessFailed, match="SIGTERM"):
        supervisor.run("slow", [sys.executable, "-c", "import time; time.sleep(600)"], timeout_seconds=0.5)


def test_supervisor__memory_cap__holds(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start(
            "greedy", [sys.executable, "-c", "x = bytearray(2**30)"], memory_bytes=256 * 1024**2
        )
        assert child.popen.wait(timeout=20) != 0
    assert "MemoryError" in child.log_path.read_text()


def test_last_lines__large_log__only_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert last_lines(path, 2) == ["line 99998", "line 99999"]
    assert last_lines(tmp_path / "none") == ["(no output)"]


def test_await_value__never__says_what_was_awaited() -> None:
    with pytest.raises(DeadlineExceeded, match=r"the moon rises: expected within 0\.05 s"):
        await_value("the moon rises", lambda: None, timeout_seconds=0.05, poll_seconds=0.01)


def test_await_value__zero__is_a_value() -> None:
    assert await_value("zero", lambda: 0, timeout_seconds=1) == 0


def test_leash__parent_already_gone__child_ends() -> None:
    from scripts.localnet.processes import LEASH

    wrong_parent = str(os.getpid() + 1)
    ended = subprocess.run([sys.executable, str(LEASH), wrong_parent, "0", "true"], check=False)
    assert ended.returncode == -signal.SIGKILL
