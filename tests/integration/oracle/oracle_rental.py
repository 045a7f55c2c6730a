"""Fixtures: a rental on a chain of its own, an oracle, and the parties that call it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig


@pytest.fixture
def deployment(still_deployment: Deployment) -> Deployment:
    """Made without waiting for blocks; `rental` starts the clock."""
    return still_deployment


@pytest.fixture
def rental(deployment: Deployment) -> rig.Rental:
    made = rig.make_rental(deployment)
    deployment.anvil.call("evm_setIntervalMining", 1)
    deployment.anvil.block_time_seconds = 1
    return made


@pytest.fixture
def oracle(rental: rig.Rental, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[rig.OracleProcess]:
    """On SQLite, or on what the test is parametrised with."""
    settings = {}
    if getattr(request, "param", "sqlite") == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres").new_database()
    with rig.run_oracle(tmp_path / "oracle", rental.deployment, **settings) as running:
        yield running


@pytest.fixture
def renter(oracle: rig.OracleProcess, rental: rig.Rental) -> rig.Caller:
    return rig.Caller(oracle, rental.domain, rental.renter)


@pytest.fixture
def worker_http(oracle: rig.OracleProcess, rental: rig.Rental) -> rig.Caller:
    return rig.Caller(oracle, rental.domain, rental.worker)


def order_job(rental: rig.Rental, renter: rig.Caller, count: int = 1, **terms: int) -> tuple:
    """An open lease, and so many jobs of it with their bundle uploaded."""
    chosen = rental.terms(**terms)
    lease = rental.open(chosen)
    assert renter.upload(rig.BUNDLE).status_code in (200, 201)
    orders = [rental.order(chosen, nonce) for nonce in range(count)]
    for order in orders:
        response = renter.post_order(chosen, order)
        assert response.status_code == 201, response.text
    return chosen, lease, orders


def until_indexed(rental: rig.Rental, caller: rig.Caller) -> None:
    """Until the oracle knows the rental's unit."""
    rig.until(lambda: caller("GET", "/v1/offers").json()["offers"], "the offer is indexed")
