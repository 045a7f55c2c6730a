"""A real worker process beside a real oracle and a real chain, and a renter that sends it jobs."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol import manifest
from protocol.accrual import ALWAYS
from protocol.bundle import write_bundle
from protocol.orders import job_id
from protocol.signed import SignedOrder
from protocol.structs import (
    NO_ARTIFACT,
    ArtifactRef,
    JobClass,
    JobLimits,
    JobOrder,
    JobSpec,
    Offer,
    OfferKind,
    Terms,
    Unit,
)
from protocol.typed_data import hash_struct, sign
from protocol.units import ZERO_DIGEST, Digest, JobId, UnitId, pack_name, parse_address, to_hex
from tests.anvil import Deployment
from tests.integration.oracle.oracle_rig import WARNINGS, Caller, OracleProcess, Rental, run_oracle, until
from worker.inventory import CpuInventory
from worker.sandbox.process_tree import descendants

LIMITS = JobLimits(
    wall_seconds=60, memory_bytes=1 << 30, processes=64, output_bytes=64 << 20, log_bytes=1 << 20
)
DONE = ("finished", "proven")
PASSWORD = "correct horse"


@dataclass(slots=True)
class WorkerProcess:
    """`python -m worker` with settings of its own. Its log is appended to over restarts."""

    folder: Path
    settings: dict[str, Any]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log_path(self) -> Path:
        return self.folder / "worker.log"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        path = self.folder / "worker.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in self.settings.items()))
        before = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *WARNINGS, "-m", "worker", "--settings", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            )
        until(lambda: self._started(before), "the worker starts")

    def _started(self, before: int) -> bool:
        assert self.process is not None
        text = self.log_path.read_text()[before:]
        assert self.process.poll() is None, text[-3000:]
        return '"link_open"' in text

    def kill(self) -> int:
        """kill -9; returns how many processes it had below it, once none of them is left."""
        assert self.process is not None
        below = descendants(self.process.pid)[1:]
        self.process.kill()
        self.process.wait()
        until(lambda: not any(_alive(pid) for pid in below), "no sandboxed process is left", 10)
        return len(below)

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def events(self, name: str) -> list[dict[str, Any]]:
        text = self.log_path.read_text()
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


@dataclass(slots=True)
class Scene:
    """One lease of a CPU unit, its worker, its oracle, and the renter's requests."""

    rental: Rental
    oracle: OracleProcess
    worker: WorkerProcess
    renter: Caller
    terms: Terms
    nonce: int = 0

    def launch(self, files: dict[str, str], entrypoint: str = "main.py", **changes: Any) -> JobId:
        """Uploads a bundle of these files and orders its job. Changes: the spec's, `limits` the order's."""
        return self.launch_bundle(pack(files), entrypoint, **changes)

    def launch_bundle(self, bundle: bytes, entrypoint: str = "main.py", **changes: Any) -> JobId:
        limits = changes.pop("limits", LIMITS)
        deadline = changes.pop("deadline", self.terms.end)
        digest = Digest(hashlib.sha256(bundle).digest())
        spec = JobSpec(
            bundle_digest=digest,
            entrypoint=entrypoint,
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
        spec = replace(spec, **changes)
        self.nonce += 1
        order = JobOrder(
            lease_id=self.rental.deployment.market.lease_id_of(self.terms),
            spec_digest=hash_struct(spec),
            bundle=ArtifactRef(digest, digest, len(bundle)),
            data=NO_ARTIFACT,
            limits=limits,
            nonce=self.nonce,
            deadline=deadline,
        )
        signed = SignedOrder(order, sign(self.rental.domain, order, self.rental.renter), spec)
        assert self.renter.upload(bundle).status_code in (200, 201)
        response = self.renter.post_order(self.terms, signed)
        assert response.status_code in (200, 201), response.text
        return job_id(self.rental.domain, order)

    def wait_done(self, job: JobId, seconds: float = 60) -> dict[str, Any]:
        return until(lambda: self._done(job), f"job is done, {self._tail()}", seconds)

    def wait_state(self, job: JobId, states: tuple[str, ...], seconds: float = 60) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            body = self.renter.job(job)
            return body if body["state"] in states else None

        return until(found, f"job in {states}", seconds)

    def log(self, job: JobId) -> str:
        return self.renter.logs(job)[0].decode()

    def artifact(self, digest_hex: str) -> bytes:
        response = self.renter("GET", f"/v1/artifacts/{digest_hex.removeprefix('0x')}")
        assert response.status_code == 200, response.text
        return response.content

    def _done(self, job: JobId) -> dict[str, Any] | None:
        body = self.renter.job(job)
        return body if body["state"] in DONE else None

    def _tail(self) -> str:
        return self.worker.log_path.read_text()[-1500:]


def pack(files: dict[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        for path, text in files.items():
            target = Path(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        out = io.BytesIO()
        write_bundle(Path(name), out, 64 << 20, 1000)
        return out.getvalue()


def make_cpu_rental(
    deployment: Deployment, cpu_device: str, accounts: tuple[int, int, int] = (1, 2, 3)
) -> Rental:
    """Staked, registered with this host's CPU device, listed; the renter and the worker have money."""
    anvil = deployment.anvil
    provider, worker, renter = (anvil.accounts[n] for n in accounts)
    gpu_ids = [CpuInventory(cpu_device).read().gpus[0].gpu_id]
    unit = Unit(
        parse_address(provider.address),
        parse_address(worker.address),
        bytes(32),
        pack_name("host"),
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


def write_keystore(folder: Path, account: LocalAccount) -> tuple[Path, Path]:
    keystore, password = folder / "worker.json", folder / "password"
    # A low work factor: the default takes seconds.
    encrypted = Account.encrypt(account.key, PASSWORD, kdf="scrypt", iterations=2)
    keystore.write_text(json.dumps(encrypted))
    password.write_text(PASSWORD + "\n")
    return keystore, password


def make_worker(folder: Path, rental: Rental, oracle_url: str, **settings: Any) -> WorkerProcess:
    folder.mkdir(exist_ok=True)
    keystore, password = write_keystore(folder, rental.worker)
    manifest.save(rental.deployment.manifest, folder / "manifest.json")
    return WorkerProcess(
        folder,
        {
            "rpc_url": rental.deployment.anvil.rpc_url,
            "chain_id": rental.deployment.manifest.chain_id,
            "manifest": str(folder / "manifest.json"),
            "oracle_url": oracle_url,
            "unit_id": to_hex(rental.unit_id),
            "keystore": str(keystore),
            "password_file": str(password),
            "data_dir": str(folder / "data"),
            "device": "cpu",
            "cpu_device": "tests",
            "heartbeat_seconds": 2,
            "poll_seconds": 0.3,
            "min_free_disk_bytes": 1 << 20,
            **settings,
        },
    )


@contextmanager
def run_scene(
    folder: Path, deployment: Deployment, *, lease_seconds: int = 600, **settings: Any
) -> Iterator[Scene]:
    """The lease has begun and the worker is connected."""
    rental = make_cpu_rental(deployment, "tests")
    terms = rental.terms(lease_seconds, delay_seconds=2)
    rental.open(terms)
    with run_oracle(folder / "oracle", deployment) as oracle:
        renter = Caller(oracle, rental.domain, rental.renter)
        # The link must find the oracle again after a restart.
        oracle.settings = {**oracle.settings, "port": int(oracle.url.rsplit(":", 1)[1])}
        worker = make_worker(folder / "worker", rental, oracle.url, **settings)
        worker.start()
        try:
            yield Scene(rental, oracle, worker, renter, terms)
        finally:
            if worker.process is not None and worker.process.poll() is None:
                worker.terminate()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
