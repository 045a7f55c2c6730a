"""The oracle as a process: a job from order to proof, crashes in between, and what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

from protocol import evidence, link
from protocol.evidence import Evidence
from protocol.orders import first_order_hash, job_id
from protocol.signed import SignedOrder
from protocol.structs import NO_PROOF, CompletionProof, LeaseStatus, Terms, from_json, to_json
from protocol.typed_data import digest, hash_struct
from protocol.units import JobId, to_hex
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_rental import order_job, until_indexed

PASSWORD = "correct horse"


def state_of(caller: rig.Caller, job: JobId) -> str:
    return caller.job(job)["state"]


def keystore_of(keeper: LocalAccount, folder: Path) -> dict[str, str]:
    """The settings that name it."""
    keystore, password = folder / "keeper.json", folder / "password"
    keystore.write_text(json.dumps(Account.encrypt(keeper.key, PASSWORD, kdf="scrypt", iterations=2)))
    password.write_text(PASSWORD + "\n")
    return {"keystore": str(keystore), "password_file": str(password)}


def test_oracle__job_from_order_to_settlement__proven_and_paid(
    rental: rig.Rental, tmp_path: Path, deployment: Deployment
) -> None:
    keeper = deployment.anvil.accounts[5]
    settings = {**keystore_of(keeper, tmp_path), "keeper_seconds": 0.3}
    with rig.run_oracle(tmp_path / "oracle", deployment, **settings) as oracle:
        renter = rig.Caller(oracle, rental.domain, rental.renter)
        worker_http = rig.Caller(oracle, rental.domain, rental.worker)
        terms, lease, (order,) = order_job(rental, renter, seconds=12)
        job = job_id(rental.domain, order.order)
        with link_rig.connect_worker(oracle, rental) as worker:
            assignment = worker.assignment(job)
            assert assignment.read_order() == order
            assert assignment.read_terms() == terms
            rig.until(lambda: deployment.anvil.now() >= terms.start + 3, "some seconds of the lease")
            beat = rental.heartbeat(lease)
            worker.send(link.Heartbeat.of(beat))
            for state in ("accepted", "preparing", "running"):
                worker.status(assignment, state)
            worker.log(assignment, 0, b"epoch 1\n")
            assert worker.expect(link.LogAck).next_offset == 8
            rig.until(lambda: state_of(renter, job) == "running", "running")
            assert renter.logs(job)[0] == b"epoch 1\n"
            signed = rental.receipt(order, assignment.attempt)
            missing = worker.send_receipt(signed, assignment.fencing_token)
            assert (missing.accepted, missing.code) == (False, "artifact_missing")
            assert worker_http.upload(rig.OUTPUT).status_code == 201
            assert worker.send_receipt(signed, assignment.fencing_token).accepted
            worker.expect_assignments(lambda all_: not all_)
        found = renter.job(job)
        assert (found["state"], found["receipt"]["receipt"]["outcome"]) == ("finished", "completed")
        digest_ = rig.sha256(rig.OUTPUT).hex()
        assert renter("GET", f"/v1/artifacts/{digest_}").content == rig.OUTPUT
        assert renter("GET", f"/v1/artifacts/{digest_}", Range="bytes=0-3").content == rig.OUTPUT[:4]
        prove(rental, oracle, worker_http, order, signed, [beat])
        rig.until(lambda: state_of(renter, job) == "proven", "proven")

        def closed() -> bool:
            return deployment.market.lease_state(lease).status is LeaseStatus.CLOSED

        rig.until(closed, "the keeper closes the lease", 60)
        assert metric(oracle, "keeper_spent_wei") > 0
        assert metric(oracle, "keeper_contested") == metric(oracle, "outbox_held") == 0
        assert deployment.market.credit_of(rental.offer.token, rental.offer.provider) > 0
        body = rig.until(
            lambda: (b := renter("GET", f"/v1/leases/{to_hex(lease)}").json())["status"] == "closed" and b,
            "the index shows it",
        )
        assert int(body["paid_units"]) + int(body["fee_units"]) + int(body["refund_units"]) == int(
            body["deposit_units"]
        )
        assert PASSWORD not in oracle.log_path.read_text()
        assert oracle.terminate() == 0


def metric(oracle: rig.OracleProcess, name: str) -> float:
    text = httpx2.get(f"{oracle.url}/metrics").text
    (found,) = [family for family in text_string_to_metric_families(text) if family.name.endswith(name)]
    return found.samples[0].value


def prove(
    rental: rig.Rental,
    oracle: rig.OracleProcess,
    worker_http: rig.Caller,
    order: rig.SignedOrder,
    receipt: rig.SignedReceipt,
    beats: list[rig.SignedHeartbeat],
) -> None:
    """Evidence first, then the proof on the chain, as a worker does."""
    proof = CompletionProof(
        lease_id=order.order.lease_id,
        previous_proof=NO_PROOF,
        proven_seconds=0,
        jobs_completed=1,
        leaf_count=1,
        jobs_root=evidence.jobs_root([digest(rental.domain, receipt.receipt)]),
        availability_root=evidence.availability_root([digest(rental.domain, b.heartbeat) for b in beats]),
        energy_joules=0,
    )
    terms = worker_http("GET", f"/v1/leases/{to_hex(order.order.lease_id)}").json()
    start = terms["terms"]["start"]
    covered = [b.heartbeat.block_timestamp for b in beats]
    proof = rig.replace(proof, proven_seconds=max(0, min(max(covered) - start, 30)))
    text = evidence.encode(Evidence(proof, (receipt,), tuple(beats), (order,)))
    target = f"/v1/proofs/{to_hex(hash_struct(proof))}/evidence"
    wrong = evidence.encode(
        Evidence(rig.replace(proof, jobs_completed=2), (receipt,), tuple(beats), (order,))
    )
    assert worker_http("PUT", target, wrong).json()["code"] == "digest_mismatch"
    wrong_target = f"/v1/proofs/{to_hex(hash_struct(rig.replace(proof, jobs_completed=2)))}/evidence"
    assert worker_http("PUT", wrong_target, wrong).json()["code"] == "evidence_mismatch"
    stranger = rig.Caller(oracle, rental.domain, rental.renter)
    assert stranger("PUT", target, text).json()["code"] == "not_the_worker"
    assert worker_http("PUT", target, text).status_code == 201
    assert worker_http("PUT", target, text).status_code == 200
    assert worker_http.http.get(oracle.url + target).content == text
    call = rental.deployment.market.build_post_proof(from_json(Terms, terms["terms"]), proof)
    rental.deployment.anvil.send(rental.worker, call)


@pytest.mark.parametrize("oracle", ["sqlite", "postgresql"], indirect=True)
def test_oracle__killed_again_and_again__job_ends_once_and_no_log_is_lost_or_doubled(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller, worker_http: rig.Caller
) -> None:
    _, _, (order,) = order_job(rental, renter)
    job = job_id(rental.domain, order.order)
    restart(oracle)
    with link_rig.connect_worker(oracle, rental) as worker:
        first = worker.assignment(job)
        worker.status(first, "running")
        rig.until(lambda: state_of(renter, job) == "running", "running")
        worker.log(first, 0, b"one ")
        worker.expect(link.LogAck)
        restart(oracle)
        with pytest.raises(ConnectionClosed):
            while True:
                worker.receive()
    attempts = (known(first, "running"),)
    with link_rig.connect_worker(oracle, rental, attempts=attempts) as worker:
        second = worker.assignment(job)
        assert (second.attempt, second.fencing_token) == (first.attempt, first.fencing_token)
        worker.log(second, 4, b"two")
        assert worker.expect(link.LogAck).next_offset == 7
        worker_http.upload(rig.OUTPUT)
        signed = rental.receipt(order, second.attempt)
        assert worker.send_receipt(signed, second.fencing_token).accepted
        restart(oracle)
    with link_rig.connect_worker(oracle, rental, attempts=(known(first, "finished"),)) as worker:
        # Its acknowledgement may have been lost: the same receipt again, and another one.
        assert worker.send_receipt(signed, second.fencing_token).accepted
        other = rental.receipt(order, second.attempt, exit_code=1)
        refused = worker.send_receipt(other, second.fencing_token)
        assert (refused.accepted, refused.code) == (False, "receipt_conflict")
        worker.expect_assignments(lambda all_: not all_)
    assert renter.logs(job)[0] == b"one two"
    found = renter.job(job)
    assert (found["state"], found["attempt"]) == ("finished", 1)
    assert found["receipt"]["receipt"] == to_json(signed.receipt)


def restart(oracle: rig.OracleProcess) -> None:
    oracle.kill()
    oracle.start()


def known(assignment: link.Assignment, state: str) -> link.Attempt:
    return link.Attempt(
        job_id=assignment.job_id,
        attempt=assignment.attempt,
        fencing_token=assignment.fencing_token,
        state=state,  # type: ignore[arg-type]
    )


def test_oracle__worker_reports_lost__next_attempt_and_stale_receipt_refused(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller, worker_http: rig.Caller
) -> None:
    _, _, (order,) = order_job(rental, renter)
    job = job_id(rental.domain, order.order)
    worker_http.upload(rig.OUTPUT)
    with link_rig.connect_worker(oracle, rental) as worker:
        first = worker.assignment(job)
        worker.log(first, 0, b"first")
        worker.expect(link.LogAck)
    with link_rig.connect_worker(oracle, rental, attempts=(known(first, "lost"),)) as worker:
        (second,) = worker.expect_assignments(lambda all_: any(a.attempt == 2 for a in all_))
        assert second.fencing_token > first.fencing_token
        stale = worker.send_receipt(rental.receipt(order, 1), first.fencing_token)
        assert (stale.accepted, stale.code) == (False, "stale_attempt")
        worker.log(first, 5, b"late")
        worker.log(second, 0, b"second")
        ack = worker.expect(link.LogAck)
        assert (ack.attempt, ack.next_offset) == (2, 6)
        assert worker.send_receipt(rental.receipt(order, 2), second.fencing_token).accepted
    assert renter.logs(job)[0] == b"firstsecond"
    assert renter.job(job)["attempt"] == 2


def test_oracle__worker_silent_beyond_the_timeout__superseded_when_it_returns(
    rental: rig.Rental, tmp_path: Path, deployment: Deployment
) -> None:
    with rig.run_oracle(tmp_path / "oracle", deployment, worker_timeout_seconds=1.0) as oracle:
        renter = rig.Caller(oracle, rental.domain, rental.renter)
        _, _, (order,) = order_job(rental, renter)
        job = job_id(rental.domain, order.order)
        with link_rig.connect_worker(oracle, rental) as worker:
            first = worker.assignment(job)
            worker.status(first, "running")
        rig.until(lambda: state_of(renter, job) == "queued", "the attempt is given up")
        with link_rig.connect_worker(oracle, rental, attempts=(known(first, "running"),)) as worker:
            assert worker.assignment(job).attempt == 2


def test_oracle__several_jobs__one_at_a_time_in_order(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller, worker_http: rig.Caller
) -> None:
    _, lease, orders = order_job(rental, renter, count=3)
    worker_http.upload(rig.OUTPUT)
    seen = []
    with link_rig.connect_worker(oracle, rental) as worker:
        for order in orders:
            job = job_id(rental.domain, order.order)
            worker.assignment(job)
            assert worker.desired is not None
            assert [a.job_id for a in worker.desired.assignments] == [to_hex(job)]
            seen.append(to_hex(job))
            (assignment,) = worker.desired.assignments
            receipt = rental.receipt(order, assignment.attempt)
            assert worker.send_receipt(receipt, assignment.fencing_token).accepted
    listed = renter("GET", f"/v1/leases/{to_hex(lease)}/jobs").json()["jobs"]
    assert [job["job_id"] for job in listed] == seen
    first = renter("GET", f"/v1/leases/{to_hex(lease)}/jobs?limit=1").json()
    page = renter("GET", f"/v1/leases/{to_hex(lease)}/jobs?limit=1&cursor={first['next_cursor']}").json()
    assert [job["job_id"] for job in page["jobs"]] == seen[1:2]


def test_oracle__order_before_the_lease_is_open__waits_then_runs_after_confirmations(
    rental: rig.Rental, tmp_path: Path, deployment: Deployment
) -> None:
    with rig.run_oracle(tmp_path / "oracle", deployment, confirmations=3) as oracle:
        renter = rig.Caller(oracle, rental.domain, rental.renter)
        terms = rental.terms(delay_seconds=6)
        order = rental.order(terms)
        job = job_id(rental.domain, order.order)
        assert renter.post_order(terms, order).status_code == 201
        assert renter.post_order(terms, order).status_code == 200
        rig.until(lambda: "not on the chain" in renter.job(job)["detail"], "waits for the lease")
        rental.open(terms)
        opened = int(deployment.anvil.call("eth_blockNumber"), 16)
        rig.until(lambda: "not confirmed" in renter.job(job)["detail"], "waits for confirmations")
        rig.until(lambda: "not uploaded" in renter.job(job)["detail"], "waits for the bundle")
        renter.upload(rig.BUNDLE)
        with link_rig.connect_worker(oracle, rental) as worker:
            worker.assignment(job)
        assert int(deployment.anvil.call("eth_blockNumber"), 16) >= opened + 3


def test_oracle__first_order_in_the_terms__needs_no_signature(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller
) -> None:
    draft = rental.terms()
    unsigned = rental.order(draft)
    terms = rig.replace(draft, first_order=first_order_hash(unsigned.order))
    order = rig.replace(unsigned.order, lease_id=rig.lease_id(rental.domain, terms))
    response = renter.post_order(terms, SignedOrder(order, None, unsigned.spec))
    assert response.status_code == 201, response.text
    other = rig.replace(order, nonce=5)
    response = renter.post_order(terms, SignedOrder(other, None, unsigned.spec))
    assert (response.status_code, response.json()["code"]) == (403, "signature_invalid")


def test_oracle__lease_ends_under_a_running_job__worker_told_to_cancel(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller
) -> None:
    _, _, orders = order_job(rental, renter, count=2, seconds=6)
    jobs = [job_id(rental.domain, order.order) for order in orders]
    with link_rig.connect_worker(oracle, rental) as worker:
        assert not worker.assignment(jobs[0]).cancel
        worker.expect_assignments(lambda all_: any(a.cancel for a in all_))
        rig.until(lambda: state_of(renter, jobs[1]) == "abandoned", "the idle job is given up")
        rig.until(lambda: state_of(renter, jobs[0]) == "abandoned", "no receipt before the last proof")


def test_oracle__logs_waited_for__arrive_while_waiting(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller
) -> None:
    _, _, (order,) = order_job(rental, renter)
    job = job_id(rental.domain, order.order)
    with link_rig.connect_worker(oracle, rental) as worker:
        assignment = worker.assignment(job)
        with ThreadPoolExecutor(1) as reader:
            waiting = reader.submit(renter.logs, job, 0, 20)
            worker.log(assignment, 0, b"news")
            assert waiting.result(10)[0] == b"news"


def test_oracle__worker_connects_again__old_connection_closed(
    rental: rig.Rental, oracle: rig.OracleProcess, renter: rig.Caller
) -> None:
    until_indexed(rental, renter)
    with link_rig.connect_worker(oracle, rental) as first, link_rig.connect_worker(oracle, rental) as second:
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                first.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4001
        second.expect(link.Desired)
