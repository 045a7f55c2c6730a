"""Two oracles on one PostgreSQL: one works, the other takes over, and nobody need know which."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from oracle.store.engine import open_store
from oracle.store.outbox_tables import outbox_intents
from protocol import link
from protocol.findings import OutageBody
from protocol.orders import job_id
from protocol.signed import SignedOffer
from protocol.structs import LeaseStatus
from protocol.typed_data import sign
from protocol.units import to_hex
from tests.anvil import Deployment
from tests.integration.oracle import oracle_quorum_rig as quorum_rig
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_rental import order_job
from tests.integration.oracle.test_oracle_market import ask, read, taken_from
from tests.integration.oracle.test_oracle_service import keystore_of, known, state_of
from tests.postgres import Postgres

DUTY_SECONDS = 1.5
# Longer than any test waits: what comes sooner was woken by the other oracle.
DESIRED_SECONDS = 120.0
DUTIES = {"watcher", "dispatcher", "housekeeping"}


@dataclass(slots=True)
class Pair:
    """`first` holds all duties."""

    first: rig.OracleProcess
    second: rig.OracleProcess
    rental: rig.Rental

    def renter(self, oracle: rig.OracleProcess) -> rig.Caller:
        return rig.Caller(oracle, self.rental.domain, self.rental.renter)

    def worker(self, oracle: rig.OracleProcess) -> rig.Caller:
        return rig.Caller(oracle, self.rental.domain, self.rental.worker)


@pytest.fixture
def pair(rental: rig.Rental, deployment: Deployment, tmp_path: Path, postgres: Postgres) -> Iterator[Pair]:
    settings = {
        "database_url": postgres.new_database(),
        "duty_seconds": DUTY_SECONDS,
        "desired_seconds": DESIRED_SECONDS,
        "housekeeping_seconds": 0.5,
        "worker_timeout_seconds": 20.0,
    }
    with ExitStack() as stack:
        first = stack.enter_context(rig.run_oracle(tmp_path / "first", deployment, **settings))
        rig.until(lambda: taken(first) >= DUTIES, "the first takes all duties")
        second = stack.enter_context(rig.run_oracle(tmp_path / "second", deployment, **settings))
        yield Pair(first, second, rental)


def taken(oracle: rig.OracleProcess) -> set[str]:
    return {line["duty"] for line in oracle.lines("duty_taken")}


def assigned(*oracles: rig.OracleProcess) -> list[int]:
    """The attempts that were started, by whichever."""
    return [line["attempt"] for oracle in oracles for line in oracle.lines("job_assigned")]


def test_oracles__worker_and_renter_at_different_ones__job_runs_as_with_one(
    pair: Pair, postgres: Postgres
) -> None:
    rental, here, there = pair.rental, pair.renter(pair.first), pair.renter(pair.second)
    # All that the oracles have open: they connect again.
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gpgpu-oracle'"
    )
    rig.until(lambda: there("GET", "/v1/offers").status_code == 200, "answers again")
    with link_rig.connect_worker(pair.second, rental) as worker:
        _, _, (order,) = order_job(rental, here)
        job = job_id(rental.domain, order.order)
        assignment = worker.assignment(job)
        worker.status(assignment, "running")
        rig.until(lambda: state_of(here, job) == "running", "running")
        pair.worker(pair.second).upload(rig.OUTPUT)
        receipt = rental.receipt(order, assignment.attempt)
        assert worker.send_receipt(receipt, assignment.fencing_token).accepted
    assert state_of(there, job) == state_of(here, job) == "finished"
    assert (assigned(pair.first), assigned(pair.second)) == ([1], [])
    assert taken(pair.second) == set()


def test_oracles__quotes_asked_at_one__bid_by_a_worker_at_the_other(pair: Pair) -> None:
    rental, here = pair.rental, pair.renter(pair.first)
    offer = SignedOffer(rental.offer, sign(rental.domain, rental.offer, rental.provider))
    with link_rig.connect_worker(pair.second, rental, quotes=True) as worker:
        rig.until(lambda: here("GET", "/v1/offers?connected=1").json()["offers"], "known to the first")
        asked = ask(here)
        assert asked.json()["asked"] == 1
        request = worker.expect(link.QuoteRequest)
        worker.send(link.Quote(request_id=request.request_id, signed_offer=offer.to_json()))
        answer = read(here, asked, wait_seconds=15).json()
    assert answer["closed"]
    assert [taken_from(quote) for quote in answer["quotes"]] == [offer]


def test_oracles__holder_killed_under_a_job__other_takes_over_and_the_attempt_goes_on(pair: Pair) -> None:
    rental, there = pair.rental, pair.renter(pair.second)
    _, _, orders = order_job(rental, there, count=2)
    first_job, second_job = (job_id(rental.domain, order.order) for order in orders)
    with link_rig.connect_worker(pair.first, rental) as worker:
        assignment = worker.assignment(first_job)
        worker.status(assignment, "running")
        rig.until(lambda: state_of(there, first_job) == "running", "running")
        pair.first.kill()
    with link_rig.connect_worker(pair.second, rental, attempts=(known(assignment, "running"),)) as worker:
        again = worker.assignment(first_job)
        assert (again.attempt, again.fencing_token) == (assignment.attempt, assignment.fencing_token)
        pair.worker(pair.second).upload(rig.OUTPUT)
        receipt = rental.receipt(orders[0], again.attempt)
        assert worker.send_receipt(receipt, again.fencing_token).accepted
        following = worker.assignment(second_job)
        assert following.fencing_token > again.fencing_token
    rig.until(lambda: taken(pair.second) >= DUTIES, "the second takes all duties")
    assert (assigned(pair.first), assigned(pair.second)) == ([1], [1])


def test_oracles__holder_stopped_then_continued__works_no_more_and_nothing_is_dispatched_twice(
    pair: Pair,
) -> None:
    rental, there = pair.rental, pair.renter(pair.second)
    assert pair.first.process is not None
    os.kill(pair.first.process.pid, signal.SIGSTOP)
    with link_rig.connect_worker(pair.second, rental) as worker:
        _, _, (order,) = order_job(rental, there)
        job = job_id(rental.domain, order.order)
        assignment = worker.assignment(job)
        assert taken(pair.second) >= {"watcher", "dispatcher"}
        os.kill(pair.first.process.pid, signal.SIGCONT)
        rig.until(lambda: len(lost(pair.first)) >= 2, "the first notices")
        pair.worker(pair.second).upload(rig.OUTPUT)
        receipt = rental.receipt(order, assignment.attempt)
        assert worker.send_receipt(receipt, assignment.fencing_token).accepted
        here = pair.renter(pair.first)
        assert state_of(here, job) == "finished"
    assert assigned(pair.first, pair.second) == [1]
    assert pair.second.terminate() == 0
    rig.until(lambda: len(pair.first.lines("duty_taken")) >= 5, "the first takes over at once again")


def lost(oracle: rig.OracleProcess) -> list[str]:
    refused = [line["loop"] for line in oracle.lines("turn_failed") if line["code"] == "duty_lost"]
    return refused + [line["duty"] for line in oracle.lines("duty_lost")]


def test_oracles__worker_connects_to_the_other__first_connection_ends(pair: Pair) -> None:
    rental, here = pair.rental, pair.renter(pair.first)
    rig.until(lambda: here("GET", "/v1/offers").json()["offers"], "the offer is indexed")
    with link_rig.connect_worker(pair.first, rental) as old, link_rig.connect_worker(pair.second, rental):
        with pytest.raises(link_rig.ConnectionClosed) as caught:
            while True:
                old.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4001
        rig.until(
            lambda: here("GET", "/v1/offers").json()["offers"][0]["worker_connected"], "seen by the first"
        )


@contextmanager
def run_pair(
    deployment: Deployment, folder: Path, duties: set[str], **settings: Any
) -> Iterator[tuple[rig.OracleProcess, rig.OracleProcess]]:
    """The first has these duties."""
    with ExitStack() as stack:
        first = stack.enter_context(rig.run_oracle(folder / "first", deployment, **settings))
        rig.until(lambda: taken(first) >= duties, "the first takes its duties")
        yield first, stack.enter_context(rig.run_oracle(folder / "second", deployment, **settings))


def test_oracles__keeper_killed_with_a_transaction_under_way__other_brings_it_to_its_end_and_goes_on(
    deployment: Deployment, tmp_path: Path, postgres: Postgres
) -> None:
    rental, anvil, keeper = rig.make_rental(deployment), deployment.anvil, deployment.anvil.accounts[5]
    settings = {
        **keystore_of(keeper, tmp_path),
        "database_url": postgres.new_database(),
        "duty_seconds": DUTY_SECONDS,
        "keeper_seconds": 0.2,
    }

    def closes(terms: rig.Terms) -> bool:
        return deployment.market.lease_state(rig.lease_id(rental.domain, terms)).status is LeaseStatus.CLOSED

    def sent(tag: str) -> int:
        return int(anvil.call("eth_getTransactionCount", keeper.address, tag), 16)

    with run_pair(deployment, tmp_path, {"keeper", "watcher"}, **settings) as (first, second):
        terms = over(rental, salt=1)
        rig.until(lambda: sent("pending") == 1, "the first closes the lease")
        first.kill()
        rig.until(lambda: "keeper" in taken(second), "the second takes over")
        anvil.mine()
        assert closes(terms)
        rig.until(lambda: second.lines("transaction"), "and hears what became of it")
        following = over(rental, salt=2)
        rig.until(lambda: sent("pending") == 2, "the second closes the next one")
        anvil.mine()
        assert closes(following) and sent("latest") == 2
        rig.until(lambda: len(second.lines("transaction")) == 2, "both are settled")
        assert not second.lines("key_contested")
    with closing(open_store(settings["database_url"])) as store, store.read() as transaction:
        query = select(outbox_intents.c.nonce, outbox_intents.c.state).order_by(outbox_intents.c.nonce)
        assert transaction.execute(query).all() == [(0, "mined"), (1, "mined")]


def over(rental: rig.Rental, salt: int) -> rig.Terms:
    """A lease that nobody served, and that can be closed."""
    rental.deployment.anvil.mine()
    terms = rental.terms(seconds=2, salt=salt)
    rental.open(terms)
    rental.deployment.anvil.advance(30)
    return terms


def test_oracles__of_one_member_of_the_quorum__one_proposes_and_both_answer(
    deployment: Deployment, tmp_path: Path, postgres: Postgres
) -> None:
    rental, member = rig.make_rental(deployment), deployment.anvil.accounts[quorum_rig.MEMBERS[0]]
    quorum_rig.seat_alone(deployment, member)
    settings = {
        **quorum_rig.keystore_of(member, tmp_path),
        "database_url": postgres.new_database(),
        "outage_seconds": 1,
        "quorum_seconds": 0.2,
    }
    lease = rental.open(rental.terms())
    deployment.anvil.call("evm_setIntervalMining", 1)
    target = f"/v1/leases/{to_hex(lease)}"

    def answers(oracle: rig.OracleProcess, path: str) -> bytes | None:
        response = rig.Caller(oracle, rental.domain, member)("GET", path)
        return response.content if response.status_code == 200 else None

    with run_pair(deployment, tmp_path, {"quorum", "watcher"}, **settings) as (first, second):
        rig.until(lambda: answers(second, target), "the lease is indexed")
        quorum_rig.beat_once(second, rental, lease)
        found = rig.until(lambda: answers(second, f"{target}/outage"), "the worker is found to be gone")
        assert answers(first, f"{target}/outage") == found
        outage, (signature,) = OutageBody.model_validate_json(found).read()
        for oracle in (first, second):
            given = quorum_rig.ask(rig.Caller(oracle, rental.domain, member), outage).json()["signature"]
            assert given == to_hex(signature.signature)
        later = quorum_rig.ask(
            rig.Caller(second, rental.domain, member), rig.replace(outage, since=outage.since + 1)
        )
        assert later.status_code == 200, later.text
        assert (len(first.lines("finding_signed")), len(second.lines("finding_signed"))) == (1, 1)
        assert "quorum" not in taken(second)
