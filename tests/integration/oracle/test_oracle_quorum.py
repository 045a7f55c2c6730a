"""Three oracles, each with its key, its store and its own view: two of them decide that a worker is gone."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from oracle.quorum.collector import Decided, submit
from protocol import link
from protocol.bodies import ErrorBody
from protocol.findings import FINDINGS_TARGET, FindingSignatureBody, OutageBody
from protocol.outbox import IntentState, SqliteOutbox
from protocol.sender import Sender
from protocol.structs import LeaseStatus, Outage, QuorumSignature
from protocol.typed_data import hash_struct, recover, sign
from protocol.units import hex_bytes, to_hex
from tests.anvil import CHAIN_ID, Deployment, account, free_port
from tests.integration.oracle import dying_oracle
from tests.integration.oracle import oracle_quorum_rig as quorum_rig
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig

PACE = {"outage_seconds": 3, "quorum_seconds": 0.3, "quorum_timeout_seconds": 5.0}
DELEGATE, PAYER = 4, 5


@contextmanager
def run_members(folder: Path, rental: rig.Rental, count: int) -> Iterator[list[rig.OracleProcess]]:
    """Oracles of the first members, each of which knows the others' addresses and nothing else of them."""
    members = quorum_rig.seat_members(rental.deployment)[:count]
    ports = [free_port() for _ in members]
    urls = [f"http://127.0.0.1:{port}" for port in ports]

    def start(index: int) -> rig.OracleProcess:
        home = folder / f"oracle {index}"
        peers = [url for url in urls if url != urls[index]]
        settings = {**PACE, **quorum_rig.keystore_of(members[index], home)}
        settings |= {"port": ports[index], "quorum_peers": peers}
        return stack.enter_context(rig.run_oracle(home, rental.deployment, **settings))

    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        yield list(pool.map(start, range(count)))


class Heart:
    """A worker that is linked to some oracles, and beats for them until it stops."""

    def __init__(self, rental: rig.Rental, lease: rig.LeaseId, oracle: rig.OracleProcess) -> None:
        self._rental, self._lease, self._oracle = rental, lease, oracle
        self._stop, self.beats = threading.Event(), 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with link_rig.connect_worker(self._oracle, self._rental) as worker:
            while not self._stop.wait(0.3):
                worker.send(link.Heartbeat.of(self._rental.heartbeat(self._lease)))
                self.beats += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def hearts(rental: rig.Rental, lease: rig.LeaseId, oracles: list[rig.OracleProcess]) -> Iterator[list[Heart]]:
    for oracle in oracles:
        target = f"{oracle.url}/v1/leases/{to_hex(lease)}"
        rig.until(lambda target=target: httpx2.get(target).status_code == 200, "the lease is indexed")
    found = [Heart(rental, lease, oracle) for oracle in oracles]
    try:
        rig.until(lambda: all(heart.beats > 1 for heart in found), "every oracle hears the worker")
        yield found
    finally:
        for heart in found:
            heart.stop()


def test_outage__seen_by_two_of_three__moves_the_lease_and_the_third_refuses(
    rental: rig.Rental, tmp_path: Path, deployment: Deployment
) -> None:
    refuge, delegate = quorum_rig.Refuge.register(rental), account(DELEGATE)
    policy = refuge.policy(delegate)
    terms = rental.terms(policy_hash=hash_struct(policy))
    lease = rental.open(terms)
    target = f"/v1/leases/{to_hex(lease)}/outage"
    with run_members(tmp_path, rental, 3) as oracles:
        attest(refuge, tmp_path)
        with hearts(rental, lease, oracles) as beating:
            rig.until(lambda: deployment.anvil.now() >= terms.start, "the lease has begun")
            for oracle in oracles:
                assert httpx2.get(oracle.url + target).json()["code"] == "no_outage"
            for heart in beating[:2]:
                heart.stop()
            found = rig.until(lambda: outage_at(oracles[0], target), "two oracles sign the outage")
            outage, signatures = found.read()
            assert [each.member for each in signatures] == [0, 1]
            deployment.quorum.require(hash_struct(outage), signatures)
            third = rig.Caller(oracles[2], rental.domain, account(quorum_rig.MEMBERS[0]))
            refused = quorum_rig.ask(third, outage)
            assert (refused.status_code, refused.json()["code"]) == (409, "heartbeat_seen")
            assert httpx2.get(oracles[2].url + target).status_code == 404
            assert oracles[2].lines("finding_refused") and not oracles[2].lines("finding_signed")
            rig.until(lambda: outage_at(oracles[1], target), "the second oracle has collected them too")
            following, signature = refuge.following(terms, lease)
            failure = quorum_rig.failure_by(outage, signatures)
            call = deployment.market.build_failover(
                terms, policy, following, signature, quorum_rig.NOT_IN_TREE, failure
            )
            deployment.anvil.send(delegate, call)
        moved = rig.lease_id(rental.domain, following)
        assert deployment.market.lease_state(moved).status is LeaseStatus.OPEN
        assert deployment.market.lease_state(moved).hops == 1
        strangers_are_refused(oracles[0], rental, outage)


def attest(refuge: quorum_rig.Refuge, folder: Path) -> None:
    """What the quorum has decided of GPUs goes to the chain through a sender, once."""
    deployment = refuge.rental.deployment
    finding, domain = refuge.attestation(), quorum_rig.quorum_domain(refuge.rental.deployment)
    signers = [account(index) for index in quorum_rig.MEMBERS[:2]]
    signatures = tuple(QuorumSignature(i, sign(domain, finding, each)) for i, each in enumerate(signers))
    outbox = SqliteOutbox(folder / "finding.sqlite")
    sender = Sender(deployment.anvil.web3, account(PAYER), outbox, CHAIN_ID)
    for _ in range(2):
        assert submit(sender, deployment.quorum, Decided(finding, signatures)) is not None
    (row,) = outbox.list_unconfirmed() or [None]
    if row is not None:
        assert sender.wait(row.intent, 30).status == 1
    state = submit(sender, deployment.quorum, Decided(finding, signatures))
    assert state is IntentState.MINED
    assert deployment.quorum.finding_of(refuge.unit_id).gpu_class == refuge.offer.gpu_class
    assert submit(sender, deployment.quorum, Decided(Outage(rig.LeaseId(bytes(32)), 1), ())) is None
    outbox.close()


def outage_at(oracle: rig.OracleProcess, target: str) -> OutageBody | None:
    response = httpx2.get(oracle.url + target)
    return OutageBody.model_validate_json(response.content) if response.status_code == 200 else None


def strangers_are_refused(oracle: rig.OracleProcess, rental: rig.Rental, outage: Outage) -> None:
    for stranger in (rental.renter, rental.worker):
        answer = quorum_rig.ask(rig.Caller(oracle, rental.domain, stranger), outage)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_member")
    answer = httpx2.post(oracle.url + FINDINGS_TARGET, content=b"{}")
    assert answer.status_code == 401
    member = rig.Caller(oracle, rental.domain, account(quorum_rig.MEMBERS[1]))
    for body in (b"{}", b"[]", b'{"kind": "outage", "finding": {"lease_id": 1}}', b"\xff"):
        answer = member("POST", FINDINGS_TARGET, body)
        assert answer.status_code == 422, answer.text
        ErrorBody.model_validate_json(answer.content)
    absent = json.dumps({"kind": "calibration", "finding": {}}).encode()
    assert member("POST", FINDINGS_TARGET, absent).status_code == 422


def test_signer__killed_between_writing_and_answering__signs_the_same_again_and_nothing_else(
    rental: rig.Rental, tmp_path: Path, deployment: Deployment
) -> None:
    lease = rental.open(rental.terms())
    proposer = account(quorum_rig.MEMBERS[1])
    member, *_ = quorum_rig.seat_members(deployment)
    home = tmp_path / "oracle"
    # It proposes nothing by itself.
    settings = {**PACE, "quorum_seconds": 3600.0, **quorum_rig.keystore_of(member, home)}
    with rig.run_oracle(home, deployment, dying_oracle.__name__, **settings) as oracle:
        with hearts(rental, lease, [oracle]):
            pass
        caller = rig.Caller(oracle, rental.domain, proposer)
        since = deployment.anvil.now() + 2
        outage = Outage(lease, since)
        rig.until(lambda: refusal_of(caller, outage) is None, "it dies of having signed")
        assert oracle.process is not None and oracle.process.wait(10) == -9
        (written,) = statements(home)
        oracle.module = "oracle"
        oracle.start()
        answer = quorum_rig.ask(caller, outage)
        assert answer.status_code == 200, answer.text
        signature = FindingSignatureBody.model_validate_json(answer.content).signature
        assert statements(home) == [written] == [(0, signature)]
        domain = quorum_rig.quorum_domain(deployment)
        assert recover(domain, outage, hex_bytes(signature, 65)) == member.address
        further = quorum_rig.ask(caller, Outage(lease, since - 1))
        assert (further.status_code, further.json()["code"]) == (409, "contradiction")
        later = quorum_rig.ask(caller, Outage(lease, since + 1))
        assert (later.status_code, later.json()["code"]) == (409, "not_watching")
        with hearts(rental, lease, [oracle]):
            pass  # the worker is back
        returned = quorum_rig.ask(caller, outage)
        assert (returned.status_code, returned.json()["code"]) == (409, "heartbeat_seen")
        assert statements(home) == [written]


def refusal_of(caller: rig.Caller, outage: Outage) -> str | None:
    """None: no answer came."""
    try:
        answer = quorum_rig.ask(caller, outage)
    except httpx2.HTTPError:
        return None
    assert answer.status_code == 409, answer.text
    return answer.json()["code"]


def statements(home: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(home / "data" / "store.sqlite") as connection:
        rows = connection.execute("SELECT number, signature FROM statements ORDER BY number").fetchall()
    connection.close()
    return rows
