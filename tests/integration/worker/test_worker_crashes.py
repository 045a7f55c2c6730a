"""kill -9 at many instants, an oracle gone when the lease ends: nothing is lost, nothing counts twice."""

import time
from pathlib import Path

import httpx2

from protocol import evidence
from protocol.accrual import scheduled_seconds
from protocol.events import ProofPosted, decode, emitters
from protocol.logs import fetch_logs
from protocol.units import parse_address, to_hex
from tests.anvil import Anvil, Deployment, deploy
from tests.integration.oracle.oracle_rig import until
from tests.integration.worker.worker_rig import Scene, run_scene

JOB = """
import time
for index in range(12):
    print("line", index, flush=True)
    time.sleep(0.25)
"""
KILLS_AFTER_SECONDS = (0.3, 1.1, 2.3, 3.7, 5.2)


def posted(scene: Scene) -> list[ProofPosted]:
    deployment = scene.rental.deployment
    manifest = deployment.manifest
    logs = fetch_logs(deployment.anvil.web3, [manifest.market], manifest.block_number, _head(deployment))
    ours = emitters(manifest)
    return [event for log in logs if isinstance(event := decode(log, ours), ProofPosted)]


def _head(deployment: Deployment) -> int:
    return int(deployment.anvil.call("eth_blockNumber"), 16)


def check_history(scene: Scene) -> int:
    """All evidence is sound, each proof follows the one before; returns how many jobs they carry."""
    previous, carried, worker = None, 0, parse_address(scene.rental.worker.address)
    for event in posted(scene):
        url = f"{scene.oracle.url}/v1/proofs/{to_hex(event.proof_hash)}/evidence"
        found = evidence.decode(httpx2.get(url).content)
        assert evidence.check(found, scene.rental.domain, worker, scene.terms, previous) == []
        previous, carried = found.proof, carried + found.proof.jobs_completed
    return carried


def test_worker__killed_at_many_instants__claims_all_and_each_job_once(anvil: Anvil, tmp_path: Path) -> None:
    deployment = deploy(anvil, proof_grace_seconds=60)
    with run_scene(tmp_path, deployment, lease_seconds=45, proof_interval_seconds=4) as scene:
        jobs = [scene.launch({"main.py": JOB}) for _ in range(2)]
        for seconds in KILLS_AFTER_SECONDS:
            # Not a wait for a condition: the instant of the kill is what is varied.
            time.sleep(seconds)
            scene.worker.kill()
            scene.worker.start()
        bodies = [scene.wait_done(job, 90) for job in jobs]
        assert {body["receipt"]["receipt"]["outcome"] for body in bodies} <= {"completed", "cancelled"}
        market, terms = deployment.market, scene.terms
        lease = market.lease_id_of(terms)
        whole = scheduled_seconds(terms.weekly_hours, terms.start, terms.end)

        def claimed() -> bool:
            state = market.lease_state(lease)
            return max(state.settled_seconds, state.pending_seconds) == whole

        until(claimed, "every second is claimed", 90)
        for job in jobs:
            scene.wait_state(job, ("proven",), 30)
        assert check_history(scene) == len(jobs)


def test_oracle__gone_when_the_lease_ends__proof_is_posted_and_its_evidence_follows(
    anvil: Anvil, tmp_path: Path
) -> None:
    deployment = deploy(anvil, proof_grace_seconds=16)
    with run_scene(tmp_path, deployment, lease_seconds=10, proof_interval_seconds=3600) as scene:
        scene.wait_done(scene.launch({"main.py": "print(1)"}))
        scene.oracle.kill()
        until(lambda: bool(posted(scene)), "the proof is on the chain", 60)
        scene.oracle.start()
        (event,) = posted(scene)
        url = f"{scene.oracle.url}/v1/proofs/{to_hex(event.proof_hash)}/evidence"
        until(lambda: httpx2.get(url).status_code == 200, "its evidence is with the oracle")
        assert check_history(scene) == 1
