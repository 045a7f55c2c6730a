"""Puts a signer together: its key, its own connection to the chain, its desk and its loop."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from web3 import Web3

from oracle.clock import Now
from oracle.duties import Duty, on_duty
from oracle.keeper import load_account
from oracle.loops import Loop, Shutdown
from oracle.quorum.collector import Collector
from oracle.quorum.council import CouncilView
from oracle.quorum.desk import QuorumDesk
from oracle.quorum.examination import OutageExaminer
from oracle.quorum.peers import Peer
from oracle.quorum.proposer import OutageProposer
from oracle.quorum.signer import QuorumSigner
from oracle.settings import Settings
from oracle.store.engine import Store
from protocol.contracts import Market, Quorum
from protocol.manifest import DeploymentManifest
from protocol.structs import Outage
from protocol.typed_data import Domain

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Office:
    desk: QuorumDesk
    loop: Loop


def open_office(
    settings: Settings,
    manifest: DeploymentManifest,
    web3: Web3,
    store: Store,
    duty: Duty,
    now: Now,
    shutdown: Shutdown,
) -> Office | None:
    """None: no key is set. `web3`: a connection that nobody else waits for. BadInput.

    Every oracle of a store signs when it is asked to; the one that has the duty proposes, and collects.
    """
    if settings.quorum_keystore is None or settings.quorum_password_file is None:
        return None
    account = load_account(settings.quorum_keystore, settings.quorum_password_file)
    quorum = Quorum(web3, manifest.quorum)
    examiner = OutageExaminer(
        store,
        Market(web3, manifest.market),
        now,
        confirmations=settings.confirmations,
        outage_seconds=settings.outage_seconds,
    )
    domain = Domain(manifest.chain_id, manifest.quorum)
    signer = QuorumSigner(account, domain, store, {Outage: examiner}, now)
    requests = Domain(manifest.chain_id, manifest.market)
    peers = [Peer(url, requests, account, settings.quorum_timeout_seconds) for url in settings.quorum_peers]
    collector = Collector(
        duty.store, quorum, signer, peers, now, patience_seconds=settings.quorum_timeout_seconds
    )
    proposer = OutageProposer(store, quorum, collector, examiner, now, outage_seconds=settings.outage_seconds)
    log.info("quorum_signer", address=account.address, peers=len(peers))
    loop = Loop("quorum", on_duty(duty, proposer.turn), settings.quorum_seconds, shutdown)
    return Office(QuorumDesk(store, CouncilView(quorum), signer, examiner), loop)
