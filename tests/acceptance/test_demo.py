"""`gpgpu demo` as people run it: to its end, interrupted, and again in the same folder."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.localnet.services import child_environment
from scripts.localnet.waiting import await_value

DEMO_SECONDS = 600


def start(folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.main", "demo", "--dir", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            start_new_session=True,
        )


def left_running(folder: Path) -> list[str]:
    """Command lines of this host's processes that name the folder, or work in it."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            environment = (entry / "environ").read_bytes().decode("utf-8", "replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if state != "Z" and (str(folder) in command or f"HOME={folder}" in environment):
            found.append(command)
    return found


@pytest.mark.timeout(2 * DEMO_SECONDS)
def test_demo__interrupted_then_run_again__leaves_nothing_and_ends_clean(tmp_path: Path) -> None:
    folder, log = tmp_path / "demo", tmp_path / "log"
    process = start(folder, log)
    try:
        await_value(
            "the training runs",
            lambda: process.poll() is not None or b"(TRACED): running" in log.read_bytes(),
            timeout_seconds=DEMO_SECONDS,
        )
        assert process.poll() is None, log.read_text()
        assert len(left_running(folder)) > 4
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Interrupted; everything that was started has been ended." in log.read_text()
    await_value("nothing is left running", lambda: not left_running(folder), timeout_seconds=10)

    process = start(folder, log)
    try:
        assert process.wait(timeout=DEMO_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    shown = log.read_text()
    assert "Verdict: CLEAN: 0 differences" in shown
    assert left_running(folder) == []
    report = json.loads((folder / "audit.json").read_text())
    assert report["verdict"] == "clean"
    assert report["counts"]["receipts"] == 10
    assert report["counts"]["leases"] == 2
    # The verifier may read the TRACED job; the others are for renter and worker alone.
    assert [item["what"] for item in report["not_checked"]] == ["contents of 27 sealed artifacts of 9 jobs"]
    accuracy = json.loads((folder / "results" / "digits" / "metrics.json").read_text())["test_accuracy"]
    assert accuracy > 0.97
    assert f"Test accuracy on held-out digits: {accuracy:.4f}" in shown
    assert len(list((folder / "results").glob("sweep-*/result.json"))) == 8
    assert (folder / "results" / "evening" / "result.json").is_file()
    # On its hours of the week every second was served, proven and paid.
    assert re.search(r"Escrow of the calendar lease \([12] of the 12 h a week offered\)", shown)
    assert "Pay for 1 min 00 s proven of 1 min 00 s scheduled" in shown
    for word in ("Pay for", "Refund", "Withdrawn", "usePermit + open", "postProof", "TRACED", "OPAQUE"):
        assert word in shown


@pytest.mark.timeout(DEMO_SECONDS)
def test_demo__killed__takes_everything_with_it(tmp_path: Path) -> None:
    folder, log = tmp_path / "demo", tmp_path / "log"
    process = start(folder, log)
    try:
        await_value(
            "the workers start",
            lambda: process.poll() is not None or b"Start their workers: done" in log.read_bytes(),
            timeout_seconds=DEMO_SECONDS,
        )
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    await_value("nothing is left running", lambda: not left_running(folder), timeout_seconds=10)


def test_demo__folder_with_other_files__is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    process = start(tmp_path, tmp_path.parent / "refused.log")
    assert process.wait(timeout=60) == 2
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert "found other files" in (tmp_path.parent / "refused.log").read_text()
