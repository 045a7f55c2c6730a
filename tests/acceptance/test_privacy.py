"""What the oracle can read of a renter's jobs: nothing where they are sealed, all where they are not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.sealing import public_bytes
from protocol.units import to_hex
from scripts.client.reader_files import read_reader_key
from scripts.localnet.services import child_environment
from scripts.localnet.waiting import await_value
from tests.acceptance.conftest import Running
from tests.acceptance.tasks import write_task

# Words that no file of ours holds, put together at run time where they are not to be in the bundle.
SCRIPT = """
import os, pathlib, sys
word = sys.argv[1]
# codemarker-{label}
print("logmarker" + "-" + word, flush=True)
(pathlib.Path(os.environ["GPGPU_OUTPUT"]) / "out.txt").write_text("outmarker" + "-" + word)
"""
MARKERS = ("codemarker", "logmarker", "outmarker")


@pytest.fixture(scope="module")
def lease(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A lease of the unit, whose first job is sealed, EXACT, and checked by those who can read it."""
    folder = tmp_path_factory.mktemp("sealed")
    task = write_sealed(folder, "sealed")
    await_value("the unit is free", lambda: is_free(running, task), timeout_seconds=120)
    launched = running.gpgpu("launch", str(task), "--yes", "--json")
    assert launched.exit_code == 0, launched.output
    yield {**json.loads(launched.stdout), "plan": launched.stderr}
    assert running.gpgpu("notice", json.loads(launched.stdout)["lease_id"]).exit_code == 0


def write_sealed(folder: Path, label: str, more: str = "") -> Path:
    return write_task(folder, SCRIPT.format(label=label), f"job.py {label}", more=f"    class: exact\n{more}")


def is_free(running: Running, task: Path) -> bool:
    """The plan can be made: nobody else has the unit."""
    return "Go on?" in running.gpgpu("launch", str(task), answer="n\n").output


def found(running: Running, word: str) -> set[str]:
    """Kinds of markers with this word in any file of the oracle's: artifacts, logs, evidence, database."""
    texts = [
        path.read_bytes() for path in running.network.folder.data_dir("oracle").rglob("*") if path.is_file()
    ]
    assert len(texts) > 5
    return {marker for marker in MARKERS if any(f"{marker}-{word}".encode() in text for text in texts)}


def reader_of(running: Running, name: str) -> str:
    return to_hex(public_bytes(read_reader_key(running.network.folder.reader_key(name))))


def launch(running: Running, lease: dict[str, Any], task: Path) -> tuple[str, str]:
    """The job's id, and what was said on the way."""
    shown = running.gpgpu("launch", str(task), "--yes", "--json", "--lease", lease["lease_id"])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)["jobs"][0]["job_id"], shown.stderr


def check_results(running: Running, job_id: str, word: str, folder: Path) -> None:
    shown = running.gpgpu("download", job_id, str(folder), "--all")
    assert shown.exit_code == 0, shown.output
    assert (folder / "out.txt").read_text() == f"outmarker-{word}"
    assert (folder / ".gpgpu" / "log").read_text() == f"logmarker-{word}\n"
    assert running.gpgpu("logs", job_id, "-f").stdout == f"logmarker-{word}\n"


def test_sealed__by_default__renter_reads_and_oracle_does_not(
    running: Running, lease: dict[str, Any], tmp_path: Path
) -> None:
    job_id = lease["jobs"][0]["job_id"]
    check_results(running, job_id, "sealed", tmp_path / "out")
    assert found(running, "sealed") == set()
    assert "Privacy  encrypted: you and the worker can read" in lease["plan"]
    job = running.json("status", job_id)
    assert job["checked_as"] == "EXACT"
    readers = {wrapped[:66] for wrapped in job["order"]["bundle"]["wrapped_keys"]}
    assert reader_of(running, "verifier") in readers and "so can verifier 0x" in lease["plan"]
    # The oracle publishes keys of members too; but on this network none has deposited its bond.
    assert reader_of(running, "member-0") not in readers
    stranger = running.gpgpu("download", job_id, str(tmp_path / "stolen"), wallet="stranger")
    assert stranger.exit_code == 2 and not (tmp_path / "stolen").exists()


def test_plain__as_the_task_says__oracle_reads_all(
    running: Running, lease: dict[str, Any], tmp_path: Path
) -> None:
    """The control: where nothing is sealed, the same search finds every marker."""
    job_id, said = launch(running, lease, write_sealed(tmp_path, "plain", "    encrypt: false\n"))
    check_results(running, job_id, "plain", tmp_path / "out")
    assert found(running, "plain") == set(MARKERS)
    assert "not encrypted: the task says so; the oracle can read" in said


def test_sealed__to_no_verifier__is_treated_as_opaque_and_says_so(
    running: Running, lease: dict[str, Any], tmp_path: Path
) -> None:
    job_id, said = launch(running, lease, write_sealed(tmp_path, "alone", "    verifiers: false\n"))
    assert "nor can any verifier: the EXACT job is treated as OPAQUE" in said
    job = running.json("status", job_id)
    assert (job["checked_as"], len(job["order"]["bundle"]["wrapped_keys"])) == ("OPAQUE", 2)
    assert "EXACT, as OPAQUE" in running.gpgpu("status", job_id, COLUMNS="300").stdout


def test_rotate__new_key__next_job_is_sealed_to_it_and_runs(
    running: Running, lease: dict[str, Any], tmp_path: Path
) -> None:
    network = running.network
    worker = running.provider.plan.worker
    before = network.opened_chain.registry.unit_of(running.provider.unit_id)[0]
    identify = [sys.executable, "-m", "worker", "identify", "--json", "--device", "cpu", "--cpu-device", "a"]
    keys = ["--key-dir", str(network.folder.encryption_keys(worker)), "--new-key"]
    made = subprocess.run([*identify, *keys], env=child_environment(), capture_output=True, check=True)
    (tmp_path / "inventory.json").write_bytes(made.stdout)
    unit_id = to_hex(running.provider.unit_id)
    rotate = ("provider", "rotate", unit_id, "--inventory", str(tmp_path / "inventory.json"))
    assert running.gpgpu(*rotate, wallet="stranger").exit_code == 2
    shown = running.gpgpu(*rotate, wallet=running.provider.plan.wallet)
    assert shown.exit_code == 0, shown.output
    after = network.opened_chain.registry.unit_of(running.provider.unit_id)[0]
    assert after.encryption_key != before.encryption_key
    assert (after.worker, to_hex(after.encryption_key)) == (
        before.worker,
        json.loads(made.stdout)["encryption_key"],
    )
    job_id, _ = launch(running, lease, write_sealed(tmp_path, "rotated"))
    check_results(running, job_id, "rotated", tmp_path / "out")
    readers = {wrapped[:66] for wrapped in running.json("status", job_id)["order"]["bundle"]["wrapped_keys"]}
    assert to_hex(after.encryption_key) in readers
    assert to_hex(before.encryption_key) not in readers
