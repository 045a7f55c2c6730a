"""Two oracles on one PostgreSQL: one works, the other takes over, and nobody need know which."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol import link
from protocol.orders import job_id
from protocol.signed import SignedOffer
from protocol.typed_data import sign
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_rental import order_job
from tests.integration.oracle.test_oracle_market import ask, read, taken_from
from tests.integration.oracle.test_oracle_service import known, state_of
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
