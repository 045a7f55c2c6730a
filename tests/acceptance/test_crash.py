"""Oracle and worker killed in the middle of a job, and once more after it: it ends once and is paid once."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.bodies import JobBody
from protocol.chain import connect, disconnect
from protocol.evidence import decode
from protocol.readers import renter_key
from protocol.structs import LeaseStatus, NoticeReason
from protocol.units import JobId
from scripts.audit.replay import Scope, replay
from scripts.audit.report import Report
from scripts.audit.sources import FolderSource
from scripts.client import renting
from scripts.client.api import OracleClient
from scripts.client.bundling import bundle_of
from scripts.client.following import ENDED_STATES, has_succeeded
from scripts.client.renting import Launch
from scripts.client.unsealing import JobLog, opener_of
from scripts.client.withdrawals import withdraw_credits
from scripts.localnet.folder import fresh_folder
from scripts.localnet.network import Network, ProviderPlan, open_network
from scripts.localnet.processes import Process, ProcessFailed
from scripts.localnet.waiting import await_value
from scripts.task import load_task
from tests.acceptance.tasks import SLOW, write_task

TICKS = 30
JOB_SECONDS = 180


def kill(network: Network, process: Process) -> None:
    """SIGKILL to the one process, as the kernel would do it; then it is no longer watched."""
    os.kill(process.popen.pid, signal.SIGKILL)
    assert process.popen.wait(timeout=10) == -signal.SIGKILL
    network.supervisor.stop(process)


def launch(network: Network, oracle: OracleClient, task_path: Path) -> Launch:
    purse, task = network.purse("renter"), load_task(task_path)
    with bundle_of(task) as bundle:
        proposal = renting.propose(network.opened_chain, oracle, task, bundle, None)
        prepared = renting.draft_launch(purse, proposal)
        renting.send(purse, oracle, prepared)
    return prepared


def await_job(
    network: Network, oracle: OracleClient, job_id: JobId, what: str, holds: Callable[[JobBody], bool]
) -> JobBody:
    def look() -> JobBody | None:
        network.supervisor.require_running()
        body = oracle.job(job_id)
        return body if holds(body) else None

    return await_value(what, look, timeout_seconds=JOB_SECONDS)


def await_tick(network: Network, oracle: OracleClient, job_id: JobId, tick: int) -> None:
    """Returns once the log of the attempt that runs has come so far."""
    domain = network.opened_chain.domain
    opener = opener_of(domain, (renter_key(domain, network.purse("renter").account),), oracle)

    def has_come() -> bool:
        network.supervisor.require_running()
        return b"tick %d\n" % tick in JobLog(oracle, oracle.job(job_id), opener).read(0)[0]

    await_value(f"tick {tick} is logged", has_come, timeout_seconds=JOB_SECONDS)


def sandboxed_processes(marker: str) -> list[int]:
    """Every process of this host that was started with the marker on its command line."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def audit(network: Network) -> Report:
    manifest = network.opened_chain.manifest
    web3 = connect(network.anvil.rpc_url, manifest.chain_id)
    try:
        return replay(web3, manifest, Scope(source=FolderSource(network.folder.artifacts)), lambda _: None)
    finally:
        disconnect(web3)


@pytest.mark.timeout(900)
def test_crash__oracle_and_worker_killed_in_mid_job__ends_once_and_is_paid_once(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "net") as folder, open_network(folder) as network:
        network.deploy()
        oracle_process = network.start_oracle()
        provider = network.open_provider(ProviderPlan("a", "3.60"))
        worker_process = network.start_worker(provider)
        network.await_workers(1)
        network.mint("renter", network.payment_token, "100")
        oracle = network.client("renter")
        # A word that no other process of this host has on its command line.
        marker = f"marker-{os.getpid()}"
        task = write_task(tmp_path / "task", SLOW, f"job.py {TICKS} {marker}", lease_seconds=1800)
        prepared = launch(network, oracle, task)
        (job_id,) = prepared.job_ids

        await_tick(network, oracle, job_id, 3)
        kill(network, oracle_process)
        network.start_oracle()
        network.await_workers(1)
        body = await_job(network, oracle, job_id, "the job runs on", lambda job: job.state == "running")
        assert body.attempt == 1, "a new oracle must not restart what still runs"
        await_tick(network, oracle, job_id, 8)

        assert sandboxed_processes(marker)
        kill(network, worker_process)
        await_value(
            "the job dies with its worker", lambda: not sandboxed_processes(marker), timeout_seconds=20
        )
        worker_process = network.start_worker(provider)
        network.await_workers(1)
        body = await_job(network, oracle, job_id, "the job ends", lambda job: job.state in ENDED_STATES)
        assert has_succeeded(body), body
        assert body.attempt == 2
        assert body.receipt is not None
        assert body.receipt.receipt.attempt == 2
        # The logs of both attempts, each under its own key.
        await_tick(network, oracle, job_id, TICKS - 1)

        # Once more, between the job's end and its proof.
        kill(network, worker_process)
        kill(network, next(item for item in network.supervisor.processes if item.name == "oracle"))
        network.start_oracle()
        network.start_worker(provider)
        network.await_workers(1)
        renting.give_notice(network.purse("renter"), prepared.terms, NoticeReason.WORK_DONE)
        market = network.opened_chain.market
        await_value(
            "the lease closes",
            lambda: market.lease_state(prepared.lease_id).status is LeaseStatus.CLOSED,
            timeout_seconds=120,
        )
        lease = await_value(
            "the oracle indexes the close",
            lambda: (found := oracle.lease(prepared.lease_id)).status == "closed" and found,
            timeout_seconds=30,
        )

        # Ended once: one receipt in all evidence, and the job is in a proof.
        evidence = [decode(path.read_bytes()) for path in (folder.artifacts / "evidence").iterdir()]
        receipts = [item.receipt.order_digest for part in evidence for item in part.receipts]
        assert receipts == [job_id]
        assert oracle.job(job_id).state == "proven"
        # Paid once: what the provider takes out is the lease's pay, and there is nothing left after it.
        purse = network.purse(provider.plan.wallet)
        taken = withdraw_credits(purse, [network.payment_token], purse.address)
        assert taken == {network.payment_token: lease.paid_units}
        assert lease.paid_units > 0
        assert withdraw_credits(purse, [network.payment_token], purse.address) == {}
        assert lease.paid_units + lease.fee_units + lease.refund_units == lease.deposit_units
        report = audit(network)
        assert report.differences == ()

        # The same history with one bit of the job's real output turned is found out.
        digest = body.receipt.sealed["output"].hex()
        path = folder.artifacts / "sha256" / digest[:2] / digest
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
        assert [item.code for item in audit(network).differences] == ["artifact_digest"]


@pytest.mark.parametrize("name", ["oracle", "anvil"])
def test_network__a_service_dies__is_reported_with_its_log(tmp_path: Path, name: str) -> None:
    with fresh_folder(tmp_path / "net") as folder, open_network(folder) as network:
        network.deploy()
        network.start_oracle()
        victim = next(item for item in network.supervisor.processes if item.name == name)
        os.kill(victim.popen.pid, signal.SIGKILL)
        victim.popen.wait()
        with pytest.raises(ProcessFailed, match=f"{name} ended with signal SIGKILL"):
            network.supervisor.require_running()
