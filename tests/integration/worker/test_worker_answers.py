"""Orders that a renter posts on-chain get the worker's answer, known to it or not."""

from pathlib import Path

from protocol.structs import NO_ORDER
from protocol.units import JobId
from tests.anvil import Deployment
from tests.integration.oracle.oracle_rig import until
from tests.integration.worker.worker_rig import Scene, run_scene

UNKNOWN = JobId(b"\x0f" * 32)


def post(scene: Scene, order_digest: JobId) -> None:
    deployment = scene.rental.deployment
    call = deployment.market.build_post_order(scene.terms, order_digest)
    deployment.anvil.send(scene.rental.renter, call)


def test_posted_orders__one_that_came_and_one_that_never_did__are_both_answered(
    deployment: Deployment, tmp_path: Path
) -> None:
    market = deployment.market
    with run_scene(tmp_path, deployment) as scene:
        lease = market.lease_id_of(scene.terms)

        def answered() -> bool:
            return market.posted_order_of(lease).order_digest == NO_ORDER

        job = scene.launch({"main.py": "print(1)"})
        scene.wait_done(job, 60)
        for order_digest in (job, UNKNOWN):
            post(scene, order_digest)
            assert market.posted_order_of(lease).order_digest == order_digest
            until(answered, "the worker's answer")
