"""The worker as a process: jobs from the oracle into the sandbox, receipts back, proofs on the chain."""

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from protocol import evidence, manifest
from protocol.accrual import scheduled_seconds
from protocol.structs import JobClass, LeaseStatus
from protocol.trace import check_chain, decode_leaves, trace_root
from protocol.units import parse_address, to_hex
from tests.anvil import Deployment
from tests.integration.oracle.oracle_rig import until
from tests.integration.worker.worker_rig import (
    LIMITS,
    make_cpu_rental,
    make_worker,
    run_scene,
)

ROOT = Path(__file__).resolve().parents[3]
HELLO = """
import os, pathlib
print("hello from", os.getuid())
pathlib.Path(os.environ["GPGPU_OUTPUT"], "result.txt").write_text("42")
"""
COUNTER = """
import torch
from worker.sdk import StepResult, TracedJob

class Counter(TracedJob):
    def init(self, context):
        self.total = torch.zeros(4, dtype=torch.int64)
    def step(self, index):
        drawn = torch.randint(100, (4,))
        self.total += drawn
        return StepResult(batch={"drawn": drawn}, metrics={"sum": float(self.total.sum())})
    def state(self):
        return {"total": self.total}
    def load_state(self, state):
        self.total = state["total"].clone()
    def finish(self, context):
        (context.output / "total.txt").write_text(str(self.total.tolist()))
"""
SLEEPER = """
import time
print("MARKER asleep", flush=True)
time.sleep({seconds})
print("awake", flush=True)
"""


def test_jobs__opaque_and_traced__end_proven_with_all_that_they_left(
    deployment: Deployment, tmp_path: Path
) -> None:
    with run_scene(tmp_path, deployment, proof_interval_seconds=4) as scene:
        opaque = scene.launch({"main.py": HELLO})
        traced = scene.launch(
            {"job.py": COUNTER},
            "job:Counter",
            job_class=JobClass.TRACED,
            steps=20,
            checkpoint_every=5,
            seed=3,
        )
        first, second = scene.wait_done(opaque), scene.wait_done(traced)
        receipts = [body["receipt"]["receipt"] for body in (first, second)]
        assert [receipt["outcome"] for receipt in receipts] == ["completed", "completed"]
        assert scene.log(opaque) == "hello from 65534\n"
        packed = io.BytesIO(scene.artifact(receipts[0]["output_digest"]))
        with tarfile.open(fileobj=packed) as output:
            assert output.extractfile("result.txt").read() == b"42"  # type: ignore[union-attr]
        artifacts = second["receipt"]["artifacts"]
        assert set(artifacts) == {"output", "trace", "log", *(f"checkpoint/{index}" for index in range(5))}
        leaves = decode_leaves(scene.artifact(artifacts["trace"]))
        check_chain(leaves, bytes.fromhex(receipts[1]["spec_digest"][2:]))
        assert to_hex(trace_root(leaves)) == receipts[1]["trace_root"]
        assert [leaf.step for leaf in leaves] == [0, 5, 10, 15, 20]
        for job in (opaque, traced):
            scene.wait_state(job, ("proven",), 90)
        assert scene.worker.terminate() == 0


def test_lease__served_to_its_end__is_claimed_whole(deployment: Deployment, tmp_path: Path) -> None:
    with run_scene(tmp_path, deployment, lease_seconds=14, proof_interval_seconds=4) as scene:
        job = scene.launch({"main.py": HELLO})
        scene.wait_done(job)
        market, terms = deployment.market, scene.terms
        lease = market.lease_id_of(terms)
        whole = scheduled_seconds(terms.weekly_hours, terms.start, terms.end)

        def claimed() -> int:
            state = market.lease_state(lease)
            assert state.status is LeaseStatus.OPEN
            return max(state.settled_seconds, state.pending_seconds)

        until(lambda: claimed() == whole, "every second is claimed", 60)
        proof_hash = market.lease_state(lease).proof_hash
        text = httpx2.get(f"{scene.oracle.url}/v1/proofs/{to_hex(proof_hash)}/evidence").content
        found = evidence.decode(text)
        worker = parse_address(scene.rental.worker.address)
        assert evidence.check(found, scene.rental.domain, worker, terms) == []
        assert len(scene.worker.events("proof_posted")) >= 2


def test_job__non_zero_exit__is_reported_with_its_log(deployment: Deployment, tmp_path: Path) -> None:
    with run_scene(tmp_path, deployment) as scene:
        body = scene.wait_done(scene.launch({"main.py": "import sys; print('oh'); sys.exit(3)"}))
        receipt = body["receipt"]["receipt"]
        assert (receipt["outcome"], receipt["exit_code"]) == ("failed", 3)
        big = "x = bytearray(1 << 20)\nkept = []\nwhile True: kept.append(bytearray(8 << 20))"
        job = scene.launch({"main.py": big}, limits=replace(LIMITS, memory_bytes=96 << 20))
        body = scene.wait_done(job)
        assert body["receipt"]["receipt"]["outcome"] == "limit_exceeded"
        assert f"limit memory_bytes of {96 << 20} exceeded" in scene.log(job)
        job = scene.launch(
            {"main.py": "while True: print('x' * 1000)"}, limits=replace(LIMITS, log_bytes=50_000)
        )
        assert scene.wait_done(job)["receipt"]["receipt"]["outcome"] == "limit_exceeded"
        log = scene.log(job)
        assert "limit log_bytes of 50000 exceeded" in log
        assert len(log) < 51_000


def test_bundle__with_a_link__is_refused_with_a_receipt(deployment: Deployment, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("main.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with run_scene(tmp_path, deployment) as scene:
        body = scene.wait_done(scene.launch_bundle(out.getvalue()))
        assert body["receipt"]["receipt"]["outcome"] == "refused"


def test_worker_killed__in_mid_job__job_ends_once_in_a_second_attempt(
    deployment: Deployment, tmp_path: Path
) -> None:
    with run_scene(tmp_path, deployment, proof_interval_seconds=4) as scene:
        job = scene.launch({"main.py": SLEEPER.format(seconds=6)})
        until(lambda: "MARKER" in scene.log(job), "the job prints")
        assert scene.worker.kill() >= 3
        scene.worker.start()
        body = scene.wait_done(job)
        assert body["attempt"] == 2
        assert body["receipt"]["receipt"]["outcome"] == "completed"
        scene.wait_state(job, ("proven",), 90)


def test_oracle_killed__in_mid_job__job_ends_in_its_first_attempt(
    deployment: Deployment, tmp_path: Path
) -> None:
    with run_scene(tmp_path, deployment) as scene:
        job = scene.launch({"main.py": SLEEPER.format(seconds=4)})
        until(lambda: "MARKER" in scene.log(job), "the job prints")
        scene.oracle.kill()
        scene.oracle.start()
        body = scene.wait_done(job)
        assert body["attempt"] == 1
        assert "awake" in scene.log(job)


def test_cancel__by_the_renter_in_mid_job__stops_it_with_a_receipt(
    deployment: Deployment, tmp_path: Path
) -> None:
    with run_scene(tmp_path, deployment) as scene:
        job = scene.launch({"main.py": SLEEPER.format(seconds=300)})
        until(lambda: "MARKER" in scene.log(job), "the job prints")
        assert scene.renter("POST", f"/v1/jobs/{to_hex(job)}/cancel").status_code == 200
        body = scene.wait_done(job)
        assert body["receipt"]["receipt"]["outcome"] == "cancelled"


def test_lease__ends_under_a_running_job__job_is_cancelled(deployment: Deployment, tmp_path: Path) -> None:
    with run_scene(tmp_path, deployment, lease_seconds=8) as scene:
        job = scene.launch({"main.py": SLEEPER.format(seconds=300)})
        body = scene.wait_done(job)
        assert body["receipt"]["receipt"]["outcome"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chain_id": 1}, "expected chain 1"),
        ({"unit_id": "0x" + "11" * 32}, "expected a registered unit"),
        ({"cpu_device": "another"}, "expected 1 GPUs on this host, got 0"),
        ({"surprise": 1}, "surprise"),
        ({"limit_tier": "cgroup_v2"}, "limit_tier"),
    ],
)
def test_start__wrong_settings__ends_with_code_2_and_says_why(
    deployment: Deployment, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    rental = make_cpu_rental(deployment, "tests")
    worker = make_worker(tmp_path / "worker", rental, "http://127.0.0.1:9")
    done = run_with({**worker.settings, **change}, tmp_path)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_start__contract_without_code__ends_with_code_2(deployment: Deployment, tmp_path: Path) -> None:
    rental = make_cpu_rental(deployment, "tests")
    worker = make_worker(tmp_path / "worker", rental, "http://127.0.0.1:9")
    wrong = replace(deployment.manifest, market=parse_address(rental.renter.address))
    manifest.save(wrong, Path(str(worker.settings["manifest"])))
    done = run_with(worker.settings, tmp_path)
    assert (done.returncode, "no code" in done.stderr) == (2, True), done.stderr


def test_start__second_worker_in_the_same_folder__is_refused(deployment: Deployment, tmp_path: Path) -> None:
    with run_scene(tmp_path, deployment) as scene:
        done = run_with(scene.worker.settings, tmp_path)
        assert (done.returncode, "another worker runs in it" in done.stderr) == (2, True), done.stderr


def run_with(settings: dict[str, object], folder: Path) -> "subprocess.CompletedProcess[str]":
    path = folder / "settings.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    return subprocess.run(
        [sys.executable, "-m", "worker", "--settings", str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
