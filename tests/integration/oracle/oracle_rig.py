"""What the oracle's integration tests stand on: a market, an oracle process, signed requests, a worker."""

import base64
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from eth_account.signers.local import LocalAccount

from protocol import manifest
from protocol.accrual import ALWAYS
from protocol.bodies import OrderBody, json_of
from protocol.orders import job_id, lease_id
from protocol.request_auth import sign_request
from protocol.signed import SignedHeartbeat, SignedOrder, SignedReceipt
from protocol.structs import (
    NO_ARTIFACT,
    ArtifactRef,
    Heartbeat,
    JobClass,
    JobLimits,
    JobOrder,
    JobOutcome,
    JobReceipt,
    JobSpec,
    Offer,
    OfferKind,
    Terms,
    Unit,
)
from protocol.typed_data import Domain, hash_struct, sign
from protocol.units import ZERO_DIGEST, Digest, JobId, LeaseId, UnitId, pack_name, parse_address, to_hex
from tests.anvil import ROOT, Deployment

T = TypeVar("T")
WAIT_SECONDS = 30
# As in the tests themselves: web3 7 imports the old client of websockets.
WARNINGS = ("-W", "error", "-W", "ignore:websockets.legacy is deprecated:DeprecationWarning")
BUNDLE = b"a bundle, whatever is in it\n" * 50
OUTPUT = b"what the job made\n"


def until(condition: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
    """The first true value of the condition."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


def sha256(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


@dataclass(slots=True)
class Rental:
    """A provider with one unit, a listed offer, and a renter with money."""

    deployment: Deployment
    provider: LocalAccount
    worker: LocalAccount
    renter: LocalAccount
    unit_id: UnitId
    offer: Offer

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.manifest.chain_id, self.deployment.manifest.market)

    def terms(self, seconds: int = 3600, delay_seconds: int = 4, salt: int = 0, **changes: Any) -> Terms:
        start = self.deployment.anvil.now() + delay_seconds
        terms = Terms(
            offer=self.offer,
            renter=parse_address(self.renter.address),
            start=start,
            end=start + seconds,
            max_end=start + seconds,
            weekly_hours=ALWAYS,
            fee_bps=100,
            policy_hash=ZERO_DIGEST,
            first_order=ZERO_DIGEST,
            gang_id=ZERO_DIGEST,
            previous_lease_id=LeaseId(bytes(32)),
            salt=salt,
        )
        return replace(terms, **changes)

    def open(self, terms: Terms) -> LeaseId:
        self.deployment.anvil.send(self.renter, self.deployment.market.build_open(terms))
        return lease_id(self.domain, terms)

    def order(self, terms: Terms, nonce: int = 0, bundle: bytes = BUNDLE, deadline: int = 0) -> SignedOrder:
        digest = sha256(bundle)
        spec = JobSpec(
            bundle_digest=digest,
            entrypoint="train.py",
            arguments=(),
            data_root=ZERO_DIGEST,
            initial_state_root=ZERO_DIGEST,
            seed=1,
            steps=0,
            checkpoint_every=0,
            precision="fp32",
            job_class=JobClass.OPAQUE,
            tolerance_profile=ZERO_DIGEST,
            environment_digest=ZERO_DIGEST,
        )
        order = JobOrder(
            lease_id=lease_id(self.domain, terms),
            spec_digest=hash_struct(spec),
            bundle=ArtifactRef(digest, digest, len(bundle)),
            data=NO_ARTIFACT,
            limits=JobLimits(60, 1 << 30, 16, 1 << 20, 1 << 16),
            nonce=nonce,
            deadline=deadline or terms.end,
        )
        return SignedOrder(order, sign(self.domain, order, self.renter), spec)

    def receipt(
        self, signed: SignedOrder, attempt: int, output: bytes = OUTPUT, **changes: Any
    ) -> SignedReceipt:
        now = int(time.time())
        receipt = JobReceipt(
            lease_id=signed.order.lease_id,
            order_digest=job_id(self.domain, signed.order),
            spec_digest=signed.order.spec_digest,
            unit_id=self.unit_id,
            attempt=attempt,
            input_digest=signed.spec.bundle_digest,
            output_digest=sha256(output),
            trace_root=ZERO_DIGEST,
            leaf_count=0,
            environment_digest=ZERO_DIGEST,
            outcome=JobOutcome.COMPLETED,
            exit_code=0,
            gpu_milliseconds=5,
            energy_joules=0,
            started_at=now - 1,
            finished_at=now,
        )
        receipt = replace(receipt, **changes)
        return SignedReceipt(receipt, sign(self.domain, receipt, self.worker), {"output": sha256(output)})

    def heartbeat(self, lease: LeaseId, **changes: Any) -> SignedHeartbeat:
        block = self.deployment.anvil.call("eth_getBlockByNumber", "latest", False)
        beat = Heartbeat(
            lease_id=lease,
            unit_id=self.unit_id,
            block_number=int(block["number"], 16),
            block_hash=bytes.fromhex(block["hash"][2:]),
            block_timestamp=int(block["timestamp"], 16),
            at_disposal=True,
        )
        beat = replace(beat, **changes)
        return SignedHeartbeat(beat, sign(self.domain, beat, self.worker))


def make_rental(deployment: Deployment, gpu: int = 1, worker_account: int = 2) -> Rental:
    """Staked, registered and listed; the renter has tokens and the market may take them."""
    anvil = deployment.anvil
    provider, worker, renter = (anvil.accounts[n] for n in (1, worker_account, 3))
    gpu_ids = [bytes([gpu]) * 32]
    unit = Unit(
        parse_address(provider.address),
        parse_address(worker.address),
        bytes(32),
        bytes([gpu]) * 32,
        pack_name("CPU"),
        1,
        0,
    )
    stake, payment = deployment.stake_token, deployment.payment_token
    receipts = anvil.send_all(
        provider,
        [
            (stake.build_mint(parse_address(provider.address), 10**24), b""),
            (stake.build_approve(deployment.registry.address, 10**24), b""),
            (deployment.registry.build_stake(10**22), b""),
            (deployment.registry.build_register_unit(unit, gpu_ids), b""),
        ],
    )
    unit_id = UnitId(receipts[-1].logs[-1].topics[1])
    offer = Offer(
        provider=parse_address(provider.address),
        unit_id=unit_id,
        gpu_class=pack_name("CPU"),
        gpu_count=1,
        token=payment.address,
        price_per_hour=3_600_000,
        kind=OfferKind.RESERVED,
        weekly_hours=ALWAYS,
        min_seconds=1,
        max_seconds=30 * 24 * 3600,
        notice_seconds=1,
        bond=10**18,
        valid_until=anvil.now() + 365 * 24 * 3600,
        salt=0,
    )
    anvil.send(provider, deployment.market.build_list(offer))
    anvil.send_all(
        renter,
        [
            (payment.build_mint(parse_address(renter.address), 10**18), b""),
            (payment.build_approve(deployment.market.address, 10**18), b""),
        ],
    )
    return Rental(deployment, provider, worker, renter, unit_id, offer)


@dataclass(slots=True)
class OracleProcess:
    """`python -m oracle` with settings of its own; its log is a file of JSON lines."""

    folder: Path
    settings: Mapping[str, Any]
    process: "subprocess.Popen[bytes] | None" = None
    url: str = ""
    starts: int = 0
    module: str = "oracle"
    clients: list[httpx2.Client] = field(default_factory=list, repr=False)

    def start(self) -> None:
        self.starts += 1
        path = self.folder / "oracle.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in self.settings.items()))
        with self.log_path.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *WARNINGS, "-m", self.module, "--settings", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)},
            )
        until(self._listening, f"oracle listens; {self.log_path.read_text()[-2000:]}")

    def _listening(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_path.read_text()
        for line in self.lines("listening"):
            self.url = f"http://127.0.0.1:{line['port']}"
            return True
        return False

    @property
    def log_path(self) -> Path:
        return self.folder / f"oracle-{self.starts}.log"

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The complete lines of this event since the last start."""
        text = self.log_path.read_text()
        found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in found if line["event"] == event]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def run_oracle(
    folder: Path, deployment: Deployment, module: str = "oracle", **settings: Any
) -> Iterator[OracleProcess]:
    folder.mkdir(exist_ok=True)
    manifest.save(deployment.manifest, folder / "manifest.json")
    oracle = OracleProcess(
        folder,
        {
            "rpc_url": deployment.anvil.rpc_url,
            "chain_id": deployment.manifest.chain_id,
            "manifest": str(folder / "manifest.json"),
            "data_dir": str(folder / "data"),
            "port": 0,
            "confirmations": 0,
            "poll_seconds": 0.1,
            "dispatch_seconds": 0.2,
            "desired_seconds": 1.0,
            # All parties of a test have one address.
            "address_requests_per_second": 100_000,
            "address_burst": 100_000,
            "account_requests_per_second": 100_000,
            "account_burst": 100_000,
            **settings,
        },
        module=module,
    )
    try:
        oracle.start()
        yield oracle
    finally:
        for client in oracle.clients:
            client.close()
        if oracle.process is not None and oracle.process.poll() is None:
            oracle.kill()


@dataclass(slots=True)
class Caller:
    """Signs its requests with one key."""

    oracle: OracleProcess
    domain: Domain
    account: LocalAccount
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=40))

    def __post_init__(self) -> None:
        self.oracle.clients.append(self.http)

    def __call__(self, method: str, target: str, body: bytes = b"", **headers: str) -> httpx2.Response:
        signed = self.sign(method, target, body)
        return self.http.request(
            method, self.oracle.url + target, content=body, headers={**signed, **headers}
        )

    def sign(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        nonce = secrets.token_bytes(32)
        return sign_request(self.domain, self.account, method, target, sha256(body), time.time(), nonce)

    def upload(self, data: bytes) -> httpx2.Response:
        return self("PUT", f"/v1/artifacts/{sha256(data).hex()}", data)

    def post_order(self, terms: Terms, signed: SignedOrder) -> httpx2.Response:
        return self("POST", "/v1/orders", json.dumps(json_of(OrderBody.of(terms, signed))).encode())

    def job(self, job: JobId) -> dict[str, Any]:
        response = self("GET", f"/v1/jobs/{to_hex(job)}")
        assert response.status_code == 200, response.text
        return response.json()

    def logs(self, job: JobId, offset: int = 0, wait_seconds: float = 0) -> tuple[bytes, dict[str, Any]]:
        response = self("GET", f"/v1/jobs/{to_hex(job)}/logs?offset={offset}&wait_seconds={wait_seconds}")
        assert response.status_code == 200, response.text
        return base64.b64decode(response.json()["data"]), response.json()
