"""Puts a keeper together: its key, its own connection to the chain, its outbox and its loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from oracle.clock import wall_now
from oracle.duties import Duty, on_duty
from oracle.keeper import Keeper, load_account
from oracle.loops import Loop, Shutdown
from oracle.settings import Settings
from oracle.store.engine import Store
from oracle.store.outbox import StoreOutbox
from protocol.chain import SERVICE_ATTEMPTS, connect
from protocol.contracts import Market
from protocol.manifest import DeploymentManifest
from protocol.outbox import Outbox, SqliteOutbox
from protocol.sender import Sender, SenderSettings, Standing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """`standing`: of the key, for any thread."""

    loop: Loop
    standing: Callable[[], Standing]


def open_keeping(
    settings: Settings, manifest: DeploymentManifest, store: Store, duty: Duty, shutdown: Shutdown
) -> Keeping | None:
    """None: no key is set. BadInput, ChainUnavailable, WrongChain."""
    if settings.keystore is None or settings.password_file is None:
        return None
    account = load_account(settings.keystore, settings.password_file)
    # A connection of its own: requests of one thread do not wait for those of another.
    web3 = connect(
        settings.all_rpc_urls, settings.chain_id, settings.rpc_timeout_seconds, attempts=SERVICE_ATTEMPTS
    )
    outbox = _outbox(settings, store, duty)
    pace = SenderSettings(
        bump_after_seconds=settings.keeper_replace_seconds,
        max_fee_cap_wei=settings.keeper_max_fee_wei,
        spend_cap_wei=settings.keeper_spend_cap_wei,
        shared_key=settings.keeper_shared_key,
    )
    sender = Sender(web3, account, outbox, manifest.chain_id, pace)
    keeper = Keeper(
        store,
        Market(web3, manifest.market),
        sender,
        outbox,
        wall_now,
        confirmations=settings.confirmations,
        proof_grace_seconds=manifest.parameters.proof_grace_seconds,
        batch_gas=settings.keeper_batch_gas,
        on_duty=duty.hold,
    )
    log.info("keeper", address=account.address)
    return Keeping(
        Loop("keeper", on_duty(duty, keeper.turn), settings.keeper_seconds, shutdown), keeper.standing
    )


def _outbox(settings: Settings, store: Store, duty: Duty) -> Outbox:
    """Where a store is shared the key may be too: then its nonces must be."""
    if not store.shared:
        return SqliteOutbox(settings.data_dir / "outbox.sqlite")
    return StoreOutbox(duty.store)
