"""The whole oracle: checks its surroundings, starts its loops and its server, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import secrets
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from web3 import Web3

from oracle.api.application import build_application
from oracle.api.doors import Doors, is_reachable, read_token_digest
from oracle.api.limits import Buckets, Streams
from oracle.api.services import Services
from oracle.artifact_places import open_artifacts, quotas_of
from oracle.artifacts import Staging
from oracle.book import Book
from oracle.clock import wall_now
from oracle.dispatcher import Dispatcher, Rules, Turned
from oracle.duties import Duty, on_duty
from oracle.heads import Heads
from oracle.housekeeping import Housekeeper, Retention
from oracle.intake import Intake
from oracle.joblogs import JobLogs
from oracle.keeping import Keeping, open_keeping
from oracle.links import Links
from oracle.loops import Loop, Shutdown
from oracle.neighbours import Neighbours
from oracle.quorum.office import Office, open_office
from oracle.quotes import Limits, Quotes
from oracle.readers import load_readers
from oracle.refolding import refresh_rows
from oracle.server import Server, listen, server_config
from oracle.settings import Settings
from oracle.signin import check_signature
from oracle.store.deployment import bind_deployment
from oracle.store.engine import Store, Transaction, open_store
from oracle.timeouts import Timeouts
from oracle.uploads import Uploads
from oracle.wakeups import JobWakeups
from oracle.watcher import Watcher
from oracle.whereabouts import Whereabouts
from protocol.chain import SERVICE_ATTEMPTS, check_deployment, connect
from protocol.errors import BadInput, RetryableError, WrongChain
from protocol.manifest import DeploymentManifest, load
from protocol.typed_data import Domain
from protocol.units import UnitId
from protocol.wallets import check_account_signature

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the oracle stands on, checked once: the chain, the deployment on it, and its store."""

    settings: Settings
    manifest: DeploymentManifest
    web3: Web3
    store: Store
    holder: str
    """This process among those that share the store."""
    duties: list[Duty] = field(default_factory=list[Duty])

    def duty(self, name: str, more_seconds: float = 0) -> Duty:
        """`more_seconds`: what its holder may wait between two writes."""
        duty = Duty(self.store, name, self.holder, self.settings.duty_seconds + more_seconds)
        self.duties.append(duty)
        return duty

    def leave(self) -> None:
        """Others need not wait until our duties expire."""
        with contextlib.suppress(RetryableError):
            for duty in self.duties:
                duty.give_up()


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


def check_chain(settings: Settings) -> tuple[DeploymentManifest, Web3]:
    """The deployment that the settings name, found on the chain that they name."""
    manifest = load(settings.manifest)
    if manifest.chain_id != settings.chain_id:
        raise WrongChain(f"manifest: expected chain {settings.chain_id}, got {manifest.chain_id}")
    web3 = connect(
        settings.all_rpc_urls, settings.chain_id, settings.rpc_timeout_seconds, attempts=SERVICE_ATTEMPTS
    )
    check_deployment(web3, manifest)
    return manifest, web3


def _check_ground(settings: Settings) -> Ground:
    manifest, web3 = check_chain(settings)
    store = open_store(settings.resolved_database_url)
    with store.write() as transaction:
        bind_deployment(transaction, manifest)
    refresh_rows(store, manifest)
    if store.shared and not settings.artifact_url:
        log.warning(
            "artifacts_not_shared", reason="no artifact_url: other oracles see none that is stored here"
        )
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return Ground(settings, manifest, web3, store, holder)


async def _serve(ground: Ground) -> BaseException | None:
    shutdown = Shutdown()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, shutdown.ask)
    settings = ground.settings
    listener = listen(settings)
    services, loops = _build(ground, shutdown, origin_of(settings, listener.getsockname()[1]))
    server = Server(server_config(build_application(services)))

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
        ground.leave()
    log.info("stopped")
    return shutdown.failure


def _build(ground: Ground, shutdown: Shutdown, origin: str) -> tuple[Services, list[Loop | Heads]]:
    settings, links, wakeups = ground.settings, Links(), JobWakeups()
    whereabouts = Whereabouts(ground.store, links, ground.holder, settings.duty_seconds)
    neighbours = Neighbours(ground.store, whereabouts, ground.holder, settings.duty_seconds)

    def wake_waiting() -> None:
        links.wake_all()
        wakeups.wake_all()

    def tell_of(turned: Turned) -> None:
        links.wake_units(turned.units)
        for job_id in turned.jobs:
            wakeups.wake(job_id)
        if turned.many:
            wakeups.wake_all()
        neighbours.ring()

    dispatching = _dispatching(ground, whereabouts, tell_of, shutdown)

    def wake_dispatcher() -> None:
        dispatching.wake()
        neighbours.ring()

    def wake() -> None:
        dispatching.wake()
        wake_waiting()

    watcher, watching = _watching(ground, wake_dispatcher, shutdown)
    keeping, office = _keeping(ground, shutdown), _office(ground, shutdown)
    doors = _doors(ground, origin, keeping)
    services = _services(
        ground, whereabouts, links, wakeups, lambda: watcher.head_block, wake_dispatcher, doors, office
    )
    loops: list[Loop | Heads] = [watching, dispatching, _housekeeping(ground, services, shutdown)]
    loops += [each.loop for each in (keeping, office) if each is not None]
    heads = [Heads(settings.heads_url, watching.wake, shutdown)] if settings.heads_url else []
    return services, [*loops, *neighbours.loops(wake, shutdown), *heads]


def _watching(
    ground: Ground, wake_dispatcher: Callable[[], None], shutdown: Shutdown
) -> tuple[Watcher, Loop]:
    duty = ground.duty("watcher")
    watcher = Watcher(
        ground.web3,
        ground.manifest,
        duty.store,
        retained_blocks=ground.settings.retained_blocks,
        batch_blocks=ground.settings.batch_blocks,
    )

    def watch() -> bool:
        changed = watcher.turn()
        if changed:
            wake_dispatcher()
        return changed

    turn = on_duty(duty, watch, watcher.observe)
    return watcher, Loop("watcher", turn, ground.settings.poll_seconds, shutdown)


def _services(
    ground: Ground,
    whereabouts: Whereabouts,
    links: Links,
    wakeups: JobWakeups,
    head_block: Callable[[], int | None],
    wake_dispatcher: Callable[[], None],
    doors: Doors,
    office: Office | None,
) -> Services:
    settings, manifest = ground.settings, ground.manifest
    domain = Domain(manifest.chain_id, manifest.market)
    logs = JobLogs(settings.data_dir / "logs")
    book = _book(ground, domain)
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
        book=book,
        quotes=_quotes(ground, book, links, wakeups, wake_dispatcher),
        links=links,
        whereabouts=whereabouts,
        wakeups=wakeups,
        now=wall_now,
        head_block=head_block,
        wake_dispatcher=wake_dispatcher,
        doors=doors,
        uploads=asyncio.Semaphore(settings.max_uploads),
        unidentified=asyncio.Semaphore(settings.max_unidentified_links),
        quorum=None if office is None else office.desk,
    )


def _doors(ground: Ground, origin: str, keeping: Keeping | None) -> Doors:
    settings = ground.settings
    # A connection of its own: requests of one thread do not wait for those of another.
    web3 = connect(
        settings.all_rpc_urls, settings.chain_id, settings.rpc_timeout_seconds, attempts=SERVICE_ATTEMPTS
    )
    return Doors(
        origin=origin,
        check_sign_in=lambda message, signature: check_signature(web3, message, signature),
        chain_reachable=lambda: is_reachable(web3),
        standing=(lambda: None) if keeping is None else keeping.standing,
        metrics_token_digest=read_token_digest(settings.metrics_token_file),
        by_address=Buckets(settings.address_requests_per_second, settings.address_burst),
        by_account=Buckets(settings.account_requests_per_second, settings.account_burst),
        streams=Streams(settings.max_streams_per_account, settings.max_streams),
    )


def origin_of(settings: Settings, port: int) -> str:
    """What people sign in to: a setting, because what a request says of itself is the asker's to choose."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return settings.public_url or f"http://{host}:{port}"


def _book(ground: Ground, domain: Domain) -> Book:
    settings = ground.settings
    # A connection of its own: requests of one thread do not wait for those of another.
    web3 = connect(
        settings.all_rpc_urls, settings.chain_id, settings.rpc_timeout_seconds, attempts=SERVICE_ATTEMPTS
    )
    check = functools.partial(check_account_signature, web3, domain)
    return Book(ground.store, check, wall_now, settings.max_signed_offers_per_provider)


def _quotes(
    ground: Ground, book: Book, links: Links, wakeups: JobWakeups, wake_others: Callable[[], None]
) -> Quotes:
    settings = ground.settings
    limits = Limits(settings.max_quote_requests, settings.max_quote_requests_total)
    return Quotes(
        *(ground.store, book, links, wall_now, limits),
        wake_readers=wakeups.wake,
        wake_others=wake_others,
    )


def _dispatching(
    ground: Ground, whereabouts: Whereabouts, tell: Callable[[Turned], None], shutdown: Shutdown
) -> Loop:
    duty = ground.duty("dispatcher")

    def silences(transaction: Transaction) -> Callable[[UnitId], float]:
        return whereabouts.silences(transaction, duty.held_seconds)

    seconds = ground.settings.dispatch_seconds
    dispatcher = Dispatcher(
        duty.store,
        _rules(ground),
        wall_now,
        silences,
        tell,
        look_seconds=seconds,
        on_duty_seconds=lambda: duty.held_seconds,
    )
    return Loop("dispatcher", on_duty(duty, dispatcher.turn), seconds, shutdown)


def _rules(ground: Ground) -> Rules:
    return Rules(
        confirmations=ground.settings.confirmations,
        worker_timeout_seconds=ground.settings.worker_timeout_seconds,
        orphan_order_seconds=ground.settings.orphan_order_seconds,
        proof_grace_seconds=ground.manifest.parameters.proof_grace_seconds,
        retained_blocks=ground.settings.retained_blocks,
        timeouts=Timeouts(
            accept_seconds=ground.settings.accept_timeout_seconds,
            prepare_seconds=ground.settings.prepare_timeout_seconds,
            run_grace_seconds=ground.settings.run_grace_seconds,
            upload_seconds=ground.settings.upload_timeout_seconds,
            cancel_seconds=ground.settings.cancel_timeout_seconds,
            max_attempts=ground.settings.max_attempts,
        ),
    )


def _housekeeping(ground: Ground, services: Services, shutdown: Shutdown) -> Loop:
    settings, duty = services.settings, ground.duty("housekeeping")

    kept = Retention(
        settings.unused_artifact_seconds, settings.upload_expiry_seconds, settings.stray_sweep_seconds
    )
    housekeeper = Housekeeper(duty.store, services.artifacts, services.incoming, services.now, kept)
    turn = on_duty(duty, housekeeper.turn, housekeeper.end_idle_uploads)
    return Loop("housekeeping", turn, settings.housekeeping_seconds, shutdown)


def _keeping(ground: Ground, shutdown: Shutdown) -> Keeping | None:
    if ground.settings.keystore is None:
        log.warning("no_keeper", reason="no keystore in the settings: nobody's leases are settled from here")
        return None
    return open_keeping(ground.settings, ground.manifest, ground.store, ground.duty("keeper"), shutdown)


def _office(ground: Ground, shutdown: Shutdown) -> Office | None:
    settings = ground.settings
    if settings.quorum_keystore is None:
        return None
    web3 = connect(
        settings.all_rpc_urls, settings.chain_id, settings.rpc_timeout_seconds, attempts=SERVICE_ATTEMPTS
    )
    duty = ground.duty("quorum", settings.quorum_timeout_seconds)
    return open_office(settings, ground.manifest, web3, ground.store, duty, wall_now, shutdown)
