"""Puts a worker together out of its settings, and runs it until it is told to stop."""

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import structlog
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

from protocol import link, manifest
from protocol.chain import SERVICE_ATTEMPTS, check_deployment, connect
from protocol.contracts import Market, Registry
from protocol.errors import BadInput, RejectedError, RetryableError, WrongChain
from protocol.keccak import keccak256
from protocol.manifest import DeploymentManifest
from protocol.outbox import SqliteOutbox
from protocol.sender import Sender, SenderSettings
from protocol.typed_data import Domain
from protocol.units import parse_address, to_hex
from worker.agent import Agent
from worker.answers import Answers
from worker.artifacts import ArtifactClient
from worker.attempt import Host
from worker.environment import environment_digest
from worker.inventory import GpuInventory, Inventory, open_inventory
from worker.journal import Journal
from worker.keys import check_registered, read_keys
from worker.leases import LeaseBook, check_unit
from worker.link import OracleLink
from worker.prover import Prover
from worker.publishing import Publisher
from worker.pulse import Pulse, PulseSettings
from worker.quoting import Quoter
from worker.sandbox import Sandbox, Tier, self_test
from worker.sandbox.layout import device_mounts, discover_runtime
from worker.sandbox.limits import choose_tier
from worker.settings import Settings

_log: Final = structlog.get_logger(__name__)
CONNECT_RETRY_SECONDS: Final = 2.0


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """Returns after `stop`. RejectedError, SandboxUnavailable or InventoryError where it cannot work
    at all.
    """
    # Only the worker reads its data; what jobs read is bound into the sandbox, where it must be readable.
    os.umask(0o022)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.data_dir.chmod(0o700)
    with _only_one(settings.data_dir), contextlib.ExitStack() as stack:
        sandbox = open_sandbox(settings)
        checks = self_test(sandbox, settings.data_dir)
        _log.info("sandbox_proven", checks=len(checks), limit_tier=sandbox.tier)
        account = load_account(settings.keystore, settings.password_file)
        deployment = manifest.load(settings.manifest)
        if deployment.chain_id != settings.chain_id:
            raise WrongChain(f"manifest: expected chain {settings.chain_id}, got {deployment.chain_id}")
        inventory = open_inventory(settings.device, settings.cpu_device)
        stack.callback(inventory.close)
        web3 = _connect(settings, deployment, stop)
        if web3 is not None:
            _Worker(settings, deployment, web3, account, sandbox, inventory, stack).run(stop)


def open_sandbox(settings: Settings) -> Sandbox:
    """SandboxUnavailable where this host shows jobs what they must not see."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Workers of one host differ by their data folder: their cgroups must not meet.
    tag = keccak256(str(settings.data_dir.resolve()).encode()).hex()[:12]
    wanted = None if settings.limit_tier == "auto" else Tier(settings.limit_tier)
    limiters = choose_tier(tag, wanted)
    if wanted is not None and limiters.tier is not wanted:
        raise BadInput(f"limit_tier: expected {wanted}, this host allows {limiters.tier}")
    limiters.sweep()
    return Sandbox(
        discover_runtime(settings.sealed_paths),
        limiters,
        sealed=(settings.resolved_key_dir, settings.keystore, settings.password_file),
        root_drops_to=settings.sandbox_uid,
        min_free_disk_bytes=settings.min_free_disk_bytes,
    )


def load_account(keystore: Path, password_file: Path) -> LocalAccount:
    """The worker's key. BadInput without a word of what is in the files."""
    try:
        encrypted = cast(dict[str, Any], json.loads(keystore.read_text()))
        password = password_file.read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise BadInput(f"keystore {keystore} and password file: {type(error).__name__}") from error
    try:
        return Account.from_key(Account.decrypt(encrypted, password))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"keystore {keystore}: expected a V3 keystore and its password") from error


class _Worker:
    """The parts of one running worker, and how they speak with each other."""

    def __init__(
        self,
        settings: Settings,
        deployment: DeploymentManifest,
        web3: Web3,
        account: LocalAccount,
        sandbox: Sandbox,
        inventory: GpuInventory,
        stack: contextlib.ExitStack,
    ) -> None:
        self._settings = settings
        self._account = account
        self._inventory = inventory
        self._domain = Domain(settings.chain_id, deployment.market)
        self._address = parse_address(account.address)
        found = inventory.read()
        self._check_devices(found)
        registry = Registry(web3, deployment.registry)
        check_registered(
            read_keys(settings.resolved_key_dir), registry.unit_of(settings.unit)[0].encryption_key
        )
        self._unit_gpus = check_unit(
            registry,
            settings.unit,
            self._address,
            frozenset(gpu.gpu_id for gpu in found.gpus),
        )
        journal = Journal(settings.data_dir / "journal.sqlite3")
        stack.callback(journal.close)
        outbox = SqliteOutbox(settings.data_dir / "outbox.sqlite3")
        stack.callback(outbox.close)
        artifacts = ArtifactClient(
            str(settings.oracle_url), self._domain, account, settings.http_timeout_seconds
        )
        stack.callback(artifacts.close)
        book = LeaseBook(web3, deployment, self._domain, settings.unit, journal)
        # Its operator may move coins with the key meanwhile: that must not end its work.
        sender = Sender(web3, account, outbox, settings.chain_id, SenderSettings(shared_key=True))
        self._agent = Agent(self._host(journal, sandbox, artifacts, book, found), time.monotonic)
        self._link = OracleLink(
            str(settings.oracle_url),
            self._domain,
            account,
            settings.unit,
            inventory=self._link_inventory,
            attempts=self._agent.attempts,
            receive=self._receive,
            pending=self._agent.pending,
            quotes=settings.quotes_dir is not None,
        )
        self._quoter = self._make_quoter()
        self._publisher = (
            None if settings.offers_dir is None else Publisher(settings.offers_dir, artifacts.post_offer)
        )
        self._pulse = Pulse(
            book,
            journal,
            inventory,
            self._unit_gpus,
            self._domain,
            account,
            settings.unit,
            PulseSettings(settings.heartbeat_seconds, settings.poll_seconds),
            send=self._link.send,
            leases_changed=self._agent.leases_changed,
        )
        market = Market(web3, deployment.market)
        self._prover = Prover(
            web3,
            market,
            self._domain,
            self._address,
            journal,
            sender,
            artifacts,
            Answers(market, journal, sender, int(deployment.parameters.answer_seconds)),
            lambda: self._agent.views,
            interval_seconds=settings.proof_interval_seconds,
            poll_seconds=settings.poll_seconds,
        )

    def run(self, stop: threading.Event) -> None:
        halt = threading.Event()
        self._agent.recover()
        threads = [
            self._agent.guard(lambda: self._pulse.run(halt), "pulse"),
            self._agent.guard(lambda: self._prover.run(halt), "prover"),
            self._agent.guard(self._link.run, "link"),
        ]
        publisher = self._publisher
        if publisher is not None:
            threads.append(self._agent.guard(lambda: publisher.run(halt), "publisher"))
        _log.info("worker_started", worker=self._address, unit_id=to_hex(self._settings.unit))
        try:
            self._agent.run_until_stopped(stop)
        finally:
            halt.set()
            self._link.stop()
            for thread in threads:
                thread.join(timeout=15)
            _log.info("worker_stopped")

    def _host(
        self,
        journal: Journal,
        sandbox: Sandbox,
        artifacts: ArtifactClient,
        book: LeaseBook,
        found: Inventory,
    ) -> Host:
        gpus = [gpu for gpu in found.gpus if gpu.gpu_id in self._unit_gpus]
        visible = ",".join(gpu.uuid for gpu in gpus) if found.device == "cuda" else ""
        folder = self._settings.data_dir / "attempts"
        folder.mkdir(exist_ok=True)
        return Host(
            journal=journal,
            sandbox=sandbox,
            artifacts=artifacts,
            book=book,
            domain=self._domain,
            account=self._account,
            unit_id=self._settings.unit,
            gpu_count=len(gpus),
            devices=tuple(device_mounts([gpu.minor for gpu in gpus if gpu.minor >= 0])),
            device_environment={"CUDA_VISIBLE_DEVICES": visible},
            environment_digest=environment_digest(found),
            opaque_threads=self._settings.cpu_threads or found.cpu_count,
            keys=lambda: read_keys(self._settings.resolved_key_dir),
            folder=folder,
            max_artifact_bytes=self._settings.max_artifact_bytes,
            energy_joules=self._inventory.energy_joules,
            report=lambda status: self._link.send(status),
            wake_link=lambda: self._link.wake(),
            turn=threading.Lock(),
        )

    def _receive(self, message: link.ServerMessage) -> None:
        if isinstance(message, link.QuoteRequest) and self._quoter is not None:
            self._quoter.answer(message)
        else:
            self._agent.receive(message)

    def _make_quoter(self) -> Quoter | None:
        settings = self._settings
        if settings.quotes_dir is None:
            return None
        return Quoter(
            settings.quotes_dir,
            settings.unit,
            settings.policy,
            booked_hours=self._booked_hours,
            now=time.time,
            send=self._link.send,
        )

    def _booked_hours(self) -> int:
        booked = 0
        for view in self._agent.views:
            if not view.has_ended:
                booked |= view.terms.weekly_hours
        return booked

    def _link_inventory(self) -> link.Inventory:
        found = self._inventory.read()
        gpus = tuple(
            link.Gpu(id=to_hex(gpu.gpu_id), name=gpu.name, vram_mib=gpu.vram_mib)
            for gpu in found.gpus
            if gpu.gpu_id in self._unit_gpus
        )
        return link.Inventory(device=found.device, gpus=gpus, cpu_count=found.cpu_count)

    @staticmethod
    def _check_devices(found: Inventory) -> None:
        for lost in found.lost:
            _log.error("device_lost", reason=lost)
        if not found.gpus:
            raise RejectedError("devices: expected at least one that answers, got none", code="no_devices")


@contextmanager
def _only_one(data_dir: Path) -> Generator[None]:
    """BadInput where another worker lives in the same folder: two would double every effect."""
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"data_dir {data_dir}: another worker runs in it") from error
        yield


def _connect(settings: Settings, deployment: DeploymentManifest, stop: threading.Event) -> Web3 | None:
    """A checked connection, waited for; None where the worker was stopped meanwhile."""
    while not stop.is_set():
        try:
            web3 = connect(
                str(settings.rpc_url),
                settings.chain_id,
                settings.rpc_timeout_seconds,
                attempts=SERVICE_ATTEMPTS,
            )
            check_deployment(web3, deployment)
        except RetryableError as error:
            _log.warning("chain_unavailable", reason=error.message)
            stop.wait(CONNECT_RETRY_SECONDS)
        else:
            return web3
    return None
