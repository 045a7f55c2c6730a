"""The whole oracle: checks its surroundings, starts its loops and its server, and stops them in order."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn
from web3 import Web3

from oracle.api.application import build_application
from oracle.api.services import Services
from oracle.artifact_places import open_artifacts, quotas_of
from oracle.artifacts import Staging
from oracle.clock import wall_now
from oracle.dispatcher import Dispatcher, Rules
from oracle.housekeeping import Housekeeper, Retention
from oracle.intake import Intake
from oracle.joblogs import JobLogs
from oracle.keeper import Keeper, load_account
from oracle.links import Links
from oracle.loops import Loop, Shutdown
from oracle.readers import load_readers
from oracle.settings import Settings
from oracle.store.deployment import bind_deployment
from oracle.store.engine import Store, open_store
from oracle.uploads import Uploads
from oracle.wakeups import JobWakeups
from oracle.watcher import Watcher
from protocol import link
from protocol.chain import check_deployment, connect
from protocol.contracts import Market
from protocol.errors import BadInput, WrongChain
from protocol.manifest import DeploymentManifest, load
from protocol.outbox import SqliteOutbox
from protocol.sender import Sender, SenderSettings
from protocol.typed_data import Domain

log = structlog.get_logger(__name__)

STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Ground:
    """What the oracle stands on, checked once: the chain, the deployment on it, and its store."""

    settings: Settings
    manifest: DeploymentManifest
    web3: Web3
    store: Store


class Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def run(settings: Settings) -> BaseException | None:
    """Serves until SIGTERM or SIGINT (None) or until a loop fails (of what). Raises where it cannot start."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(settings.data_dir):
        ground = _check_ground(settings)
        try:
            return asyncio.run(_serve(ground))
        finally:
            ground.store.close()


@contextmanager
def only_one(data_dir: Path) -> Generator[None, None, None]:
    """BadInput where another oracle works in the folder: two would send from one key."""
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadInput(f"data_dir: expected no other oracle in {data_dir}, one is running") from error
        yield


def _check_ground(settings: Settings) -> Ground:
    manifest = load(settings.manifest)
    if manifest.chain_id != settings.chain_id:
        raise WrongChain(f"manifest: expected chain {settings.chain_id}, got {manifest.chain_id}")
    web3 = connect(settings.rpc_url, settings.chain_id, settings.rpc_timeout_seconds)
    check_deployment(web3, manifest)
    store = open_store(settings.resolved_database_url)
    with store.write() as transaction:
        bind_deployment(transaction, manifest)
    return Ground(settings, manifest, web3, store)


async def _serve(ground: Ground) -> BaseException | None:
    shutdown = Shutdown()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, shutdown.ask)
    services, loops = _build(ground, shutdown)
    settings = ground.settings
    listener = _listen(settings.host, settings.port)
    server = Server(_server_config(build_application(services)))

    def stop() -> None:
        server.should_exit = True
        services.stopping.set()
        services.links.wake_all()
        services.wakeups.wake_all()

    def stop_soon() -> None:
        running.call_soon_threadsafe(stop)

    shutdown.listen(stop_soon)
    for loop in loops:
        loop.start()
    log.info("listening", host=settings.host, port=listener.getsockname()[1])
    try:
        await server.serve(sockets=[listener])
    finally:
        shutdown.ask()
        for loop in loops:
            await asyncio.to_thread(loop.join)
    log.info("stopped")
    return shutdown.failure


def _build(ground: Ground, shutdown: Shutdown) -> tuple[Services, list[Loop]]:
    links, wakeups = Links(), JobWakeups()
    dispatching = _dispatching(ground, links, wakeups, shutdown)
    watcher = Watcher(
        ground.web3,
        ground.manifest,
        ground.store,
        retained_blocks=ground.settings.retained_blocks,
        batch_blocks=ground.settings.batch_blocks,
    )

    def watch() -> bool:
        changed = watcher.turn()
        if changed:
            dispatching.wake()
        return changed

    watching = Loop("watcher", watch, ground.settings.poll_seconds, shutdown)
    services = _services(ground, links, wakeups, lambda: watcher.head_block, dispatching.wake)
    loops = [watching, dispatching, _housekeeping(services, shutdown), *_keeping(ground, shutdown)]
    return services, loops


def _services(
    ground: Ground,
    links: Links,
    wakeups: JobWakeups,
    head_block: Callable[[], int | None],
    wake_dispatcher: Callable[[], None],
) -> Services:
    settings, manifest = ground.settings, ground.manifest
    domain = Domain(manifest.chain_id, manifest.market)
    logs = JobLogs(settings.data_dir / "logs")
    intake = Intake(
        ground.store,
        logs,
        domain,
        wall_now,
        proof_grace_seconds=manifest.parameters.proof_grace_seconds,
        wake_dispatcher=wake_dispatcher,
        wake_readers=wakeups.wake,
    )
    artifacts, staging = open_artifacts(settings), Staging(settings.data_dir / "artifacts" / "incoming")
    return Services(
        settings=settings,
        manifest=manifest,
        domain=domain,
        store=ground.store,
        artifacts=artifacts,
        staging=staging,
        incoming=Uploads(ground.store, staging, artifacts, quotas_of(settings), wall_now),
        logs=logs,
        readers=load_readers(settings.readers_file, domain),
        intake=intake,
        links=links,
        wakeups=wakeups,
        now=wall_now,
        head_block=head_block,
        wake_dispatcher=wake_dispatcher,
        uploads=asyncio.Semaphore(settings.max_uploads),
        unidentified=asyncio.Semaphore(settings.max_unidentified_links),
    )


def _dispatching(ground: Ground, links: Links, wakeups: JobWakeups, shutdown: Shutdown) -> Loop:
    dispatcher = Dispatcher(ground.store, _rules(ground), wall_now, links.silent_seconds)

    def turn() -> bool:
        moved = dispatcher.turn()
        if moved:
            links.wake_all()
            wakeups.wake_all()
        return moved

    return Loop("dispatcher", turn, ground.settings.dispatch_seconds, shutdown)


def _rules(ground: Ground) -> Rules:
    return Rules(
        confirmations=ground.settings.confirmations,
        worker_timeout_seconds=ground.settings.worker_timeout_seconds,
        orphan_order_seconds=ground.settings.orphan_order_seconds,
        proof_grace_seconds=ground.manifest.parameters.proof_grace_seconds,
    )


def _housekeeping(services: Services, shutdown: Shutdown) -> Loop:
    settings = services.settings

    kept = Retention(
        settings.unused_artifact_seconds, settings.upload_expiry_seconds, settings.stray_sweep_seconds
    )
    housekeeper = Housekeeper(services.store, services.artifacts, services.incoming, services.now, kept)
    return Loop("housekeeping", housekeeper.turn, settings.housekeeping_seconds, shutdown)


def _keeping(ground: Ground, shutdown: Shutdown) -> list[Loop]:
    settings, manifest = ground.settings, ground.manifest
    if settings.keystore is None or settings.password_file is None:
        log.warning("no_keeper", reason="no keystore in the settings: nobody's leases are settled from here")
        return []
    account = load_account(settings.keystore, settings.password_file)
    # A connection of its own: requests of one thread do not wait for those of another.
    web3 = connect(settings.rpc_url, settings.chain_id, settings.rpc_timeout_seconds)
    outbox = SqliteOutbox(settings.data_dir / "outbox.sqlite")
    pace = SenderSettings(bump_after_seconds=settings.keeper_replace_seconds)
    sender = Sender(web3, account, outbox, manifest.chain_id, pace)
    keeper = Keeper(
        ground.store,
        Market(web3, manifest.market),
        sender,
        outbox,
        wall_now,
        confirmations=settings.confirmations,
        proof_grace_seconds=manifest.parameters.proof_grace_seconds,
    )
    log.info("keeper", address=account.address)
    return [Loop("keeper", keeper.turn, settings.keeper_seconds, shutdown)]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise BadInput(f"host and port: cannot listen on {host}:{port}: {error.strerror}") from error


def _server_config(application: object) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # pyright: ignore[reportArgumentType]
        http="h11",
        ws="websockets-sansio",
        ws_max_size=link.MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
