"""What operators and their machines see, and what happens to whoever asks too much."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.typed_data import Domain
from tests.anvil import Deployment, deploy, run_anvil
from tests.integration.oracle import oracle_rig as rig

BURST = 30


@dataclass(slots=True)
class Front:
    """An oracle behind a proxy that it trusts: this machine. `ask` comes from any address."""

    oracle: rig.OracleProcess
    deployment: Deployment
    http: httpx2.Client

    def ask(self, target: str, forwarded: str | None, method: str = "GET", **headers: str) -> httpx2.Response:
        given = headers if forwarded is None else {"X-Forwarded-For": forwarded, **headers}
        return self.http.request(method, self.oracle.url + target, headers=given)

    def metrics(self) -> dict[tuple[str, ...], float]:
        text = self.ask("/metrics", None).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    limits = {
        "trusted_proxies": ["127.0.0.1/32"],
        "address_requests_per_second": 1.0,
        "address_burst": BURST,
        "account_requests_per_second": 1.0,
        "account_burst": 5,
        "max_sign_in_nonces": 3,
    }
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil)
        folder = tmp_path_factory.mktemp("front")
        with rig.run_oracle(folder, deployment, **limits) as oracle, httpx2.Client(timeout=40) as http:
            yield Front(oracle, deployment, http)


def test_limit__of_an_address__429_says_when_and_others_are_served(front: Front) -> None:
    statuses = [front.ask("/v1/deployment", "9.9.9.1").status_code for _ in range(BURST)]
    assert statuses == [200] * BURST
    refused = front.ask("/v1/deployment", "9.9.9.1")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 2
    # What the client wrote itself is to the left of what the proxy heard.
    assert front.ask("/v1/deployment", "8.8.8.8, 9.9.9.1").status_code == 429
    assert front.ask("/v1/deployment", "9.9.9.2").status_code == 200
    assert front.ask("/v1/deployment", "9.9.9.1, 9.9.9.2").status_code == 200


def test_limit__of_an_account__429_from_whatever_address(front: Front) -> None:
    manifest = front.deployment.manifest
    account = front.deployment.anvil.accounts[4]
    caller = rig.Caller(front.oracle, Domain(manifest.chain_id, manifest.market), account, front.http)
    answers = [
        caller("DELETE", "/v1/sessions", **{"X-Forwarded-For": f"9.9.8.{number}"}) for number in range(6)
    ]
    assert [answer.status_code for answer in answers] == [204] * 5 + [429]


def test_nonces__more_than_are_kept__429(front: Front) -> None:
    answers = [front.ask("/v1/nonces", "9.9.7.1", "POST") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429]
    assert int(answers[-1].headers["Retry-After"]) == 300


def test_metrics__for_the_operators_network__hold_what_runs(front: Front) -> None:
    for stranger in ("9.9.6.1", "127.0.0.1, 9.9.6.1", "nonsense, 9.9.6.1"):
        assert front.ask("/metrics", stranger).json()["code"] == "not_the_operator"
    assert front.ask("/metrics", None, Authorization="Bearer x").json()["code"] == "not_the_operator"
    front.ask("/v1/leases/0x" + "00" * 32, "9.9.6.2")
    found = front.metrics()
    assert found["gpgpu_oracle_lag_blocks",] == 0
    assert found["gpgpu_oracle_head_block",] == found["gpgpu_oracle_indexed_block",] > 0
    assert found["gpgpu_oracle_http_requests_total", "GET", "/v1/leases/{lease_id}", "404"] == 1
    assert found["gpgpu_oracle_jobs", "running"] == 0
    for name in (
        "reorganisations_total",
        "outbox_unconfirmed",
        "workers_connected",
        "dispatch_seconds_count",
    ):
        assert found[f"gpgpu_oracle_{name}",] == 0


def test_ready__chain_gone__503_says_so_and_the_process_is_alive(front: Front) -> None:
    rig.until(lambda: front.ask("/v1/ready", "9.9.5.1").status_code == 200, "ready")
    assert front.ask("/v1/ready", "9.9.5.1").json() == {"ready": True, "failing": [], "lag_blocks": 0}
    front.deployment.anvil.process.kill()
    front.deployment.anvil.process.wait()
    numbers = iter(range(1, 200))

    def answer() -> httpx2.Response:
        return front.ask("/v1/ready", f"9.9.4.{next(numbers)}")

    rig.until(lambda: answer().status_code == 503, "not ready")
    assert answer().json()["failing"] == ["chain"]
    assert front.ask("/v1/health", "9.9.5.2").status_code == 200
    rig.until(lambda: front.metrics().get(("gpgpu_oracle_loop_failures_total", "watcher"), 0) > 0, "counted")
