"""The whole audit, from nothing but the manifest: chain, history, state, money, proofs, artifacts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from web3 import Web3

from protocol.chain import read_block
from protocol.errors import BadInput, ChainUnavailable, ProtocolError, RetryableError
from protocol.manifest import DeploymentManifest
from protocol.market_bodies import ReputationsBody
from scripts.audit import artifacts, deployment, history, judges, market, money, proofs, registry, transfers
from scripts.audit.history import History
from scripts.audit.proofs import ProvenWork
from scripts.audit.report import NotChecked, Report, Section
from scripts.audit.reputations import check_reputations, reputations_of
from scripts.audit.sources import Source

StateCheck = Callable[[Web3, History, Section], None]
STATE_CHECKS: Sequence[tuple[str, StateCheck]] = (
    ("settings", deployment.check_settings),
    ("stakes", registry.check_stakes),
    ("compensations", registry.check_compensations),
    ("units", registry.check_units),
    ("offers", market.check_offers),
    ("leases", market.check_lease_slots),
    ("credits", market.check_credits),
    ("quorum", judges.check_quorum),
    ("court", judges.check_court),
    ("balances", money.check_balances),
    ("transfers", transfers.check_transfers),
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What to audit. `to_block` None: the head. Without a source, proofs and artifacts are not looked at."""

    from_block: int | None = None
    to_block: int | None = None
    source: Source | None = None
    with_artifacts: bool = True
    reader_keys: tuple[X25519PrivateKey, ...] = ()
    """With which sealed artifacts are read."""
    reputations: Callable[[], Iterable[ReputationsBody]] | None = None
    """Asks an oracle for what it says."""


def replay(web3: Web3, manifest: DeploymentManifest, scope: Scope, tell: Callable[[str], None]) -> Report:
    """Every comparison that can be made, at one pinned block; `tell` hears which section comes next."""
    # Before the head is looked at: an oracle is seldom ahead of what is audited then.
    said = _ask(scope.reputations)
    block = read_block(web3, "latest" if scope.to_block is None else scope.to_block)
    from_block = manifest.block_number if scope.from_block is None else scope.from_block
    if from_block > manifest.block_number:
        limit = manifest.block_number
        raise BadInput(f"from-block: expected at most {limit}, the deployment's first, got {from_block}")
    tell("deployment")
    sections = [Section("deployment"), Section("history")]
    deployment.check_code(web3, manifest, block.number, sections[0])
    _guarded(sections[0], deployment.check_immutables, web3, manifest, block.number)
    tell("history")
    told = history.read_history(web3, manifest, from_block, block, sections[1])
    for name, check in STATE_CHECKS:
        tell(name)
        sections.append(Section(name))
        _guarded(sections[-1], check, web3, told)
    sections.append(Section("deposits"))
    money.check_leases(told, sections[-1])
    works, artifact_count, not_checked = _check_work(web3, told, scope, sections, tell)
    if isinstance(said, NotChecked):
        not_checked.append(said)
    elif said is not None:
        tell("reputations")
        sections.append(Section("reputations"))
        not_checked += check_reputations(web3, told, said, sections[-1])
    if read_block(web3, block.number).hash != block.hash:
        raise ChainUnavailable(f"block {block.number} was reorganised away meanwhile: audit again")
    return Report(
        chain_id=manifest.chain_id,
        block=block,
        market=manifest.market,
        registry=manifest.registry,
        counts=_counts(told, works, artifact_count),
        sections=tuple(sections),
        not_checked=tuple(not_checked),
        reputations=reputations_of(told),
    )


def _ask(
    reputations: Callable[[], Iterable[ReputationsBody]] | None,
) -> Sequence[ReputationsBody] | NotChecked | None:
    """An oracle that does not answer is no difference between it and the chain."""
    if reputations is None:
        return None
    try:
        return tuple(reputations())
    except ProtocolError as error:
        return NotChecked("reputations of an oracle", error.message)


def _guarded(section: Section, check: Callable[..., None], *arguments: object) -> None:
    """Run a check; contracts that cannot be read as ours are a difference, a node that is away is not."""
    try:
        check(*arguments, section)
    except RetryableError:
        raise
    except ProtocolError as error:
        section.fail_with("state_unreadable", section.name, error)


def _check_work(
    web3: Web3, told: History, scope: Scope, sections: list[Section], tell: Callable[[str], None]
) -> tuple[Sequence[ProvenWork], int, list[NotChecked]]:
    source = scope.source
    if source is None:
        reason = "neither a folder of artifacts nor an oracle was given"
        return (), 0, [NotChecked("proofs", reason), NotChecked("artifacts", reason)]
    tell("proofs")
    sections.append(Section("proofs"))
    works = proofs.read_evidence(told, source, sections[-1])
    proofs.check_evidence(told, works, sections[-1])
    proofs.check_claims(told, works, sections[-1])
    tell("heartbeats")
    sections.append(Section("heartbeats"))
    proofs.check_heartbeats(web3, works, sections[-1])
    if not scope.with_artifacts:
        reason = "the oracle gives artifacts to the parties of a lease alone, and no key was given"
        return works, 0, [NotChecked("artifacts", reason)]
    tell("artifacts")
    sections.append(Section("artifacts"))
    domain = told.state.parameters.domain
    count, unread = artifacts.check_artifacts(works, source, sections[-1], domain, scope.reader_keys)
    return works, count, unread


def _counts(told: History, works: Sequence[ProvenWork], artifact_count: int) -> dict[str, int]:
    state = told.state
    return {
        "events": len(told.events),
        "providers": len(state.providers),
        "units": len(state.units),
        "offers": len(state.offers),
        "leases": len(state.leases),
        "proofs": len(told.proofs),
        "disputes": len(told.court.disputes) + told.court.ended,
        "receipts": sum(len(work.evidence.receipts) for work in works),
        "heartbeats": sum(len(work.evidence.heartbeats) for work in works),
        "artifacts": artifact_count,
    }
