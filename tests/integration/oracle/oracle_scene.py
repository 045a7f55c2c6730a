"""One oracle with a lease and an ordered job, and bytes sent to it by hand."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from protocol.orders import job_id
from protocol.units import to_hex
from tests.anvil import deploy, run_anvil
from tests.integration.oracle import oracle_rig as rig

MAX_ARTIFACT_BYTES = 100_000
QUOTA_BYTES = 250_000


@dataclass(slots=True)
class Scene:
    """One oracle with a lease and an ordered job, for all tests of this module."""

    rental: rig.Rental
    oracle: rig.OracleProcess
    terms: rig.Terms
    lease: rig.LeaseId
    order: rig.SignedOrder
    http: httpx2.Client

    def caller(self, account: Any) -> rig.Caller:
        return rig.Caller(self.oracle, self.rental.domain, account, self.http)

    @property
    def renter(self) -> rig.Caller:
        return self.caller(self.rental.renter)

    @property
    def worker(self) -> rig.Caller:
        return self.caller(self.rental.worker)

    @property
    def stranger(self) -> rig.Caller:
        return self.caller(self.rental.deployment.anvil.accounts[7])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("api")
    limits = {
        "max_artifact_bytes": MAX_ARTIFACT_BYTES,
        "account_quota_bytes": QUOTA_BYTES,
        "newcomer_quota_bytes": 50_000,
        "max_body_bytes": 20_000,
        "upload_idle_seconds": 1.5,
        "hello_timeout_seconds": 2.0,
        "max_orders_before_lease": 3,
        "max_streams_per_account": 2,
        "stalled_reader_seconds": 2.0,
        "max_signed_offers_per_provider": 8,
        "max_quote_requests": 6,
    }
    with run_anvil(block_time_seconds=None) as anvil:
        rental = rig.make_rental(deploy(anvil))
        terms = rental.terms()
        lease = rental.open(terms)
        anvil.advance(10)
        with rig.run_oracle(folder, rental.deployment, **limits) as oracle, httpx2.Client(timeout=40) as http:
            made = Scene(rental, oracle, terms, lease, rental.order(terms), http)
            rig.until(
                lambda: made.stranger("GET", f"/v1/leases/{to_hex(lease)}").status_code == 200, "indexed"
            )
            assert made.renter.upload(rig.BUNDLE).status_code == 201
            assert made.renter.post_order(terms, made.order).status_code == 201
            yield made
            assert oracle.terminate() == 0
            assert not oracle.lines("request_failed")


def job_of(scene: Scene) -> str:
    return to_hex(job_id(scene.rental.domain, scene.order.order))


def raw_exchange(scene: Scene, data: bytes) -> bytes:
    host, port = scene.oracle.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
            if b"\r\n\r\n" in answer and b" 408 " in answer:
                break
        return answer
