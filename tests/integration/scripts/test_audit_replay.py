"""The auditor over a real chain: an honest history is clean, every tampering is named by its code."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.abi import entries
from protocol.chain import connect, disconnect, read_block
from protocol.errors import BadInput
from protocol.evidence import Evidence, SignedHeartbeat, encode
from protocol.keccak import keccak256
from protocol.market_bodies import ReputationBody, ReputationsBody
from protocol.structs import NO_PROOF, CompletionProof, LeaseStatus
from protocol.trace import TraceLeaf, decode_leaves, encode_leaves
from protocol.typed_data import hash_struct, sign
from protocol.units import ZERO_DIGEST, Address, Digest, address_bytes, to_hex
from scripts.audit.history import read_history
from scripts.audit.replay import Scope, replay
from scripts.audit.report import Report, Section
from scripts.audit.sources import FolderSource
from tests.anvil import Deployment, deploy, run_anvil
from tests.integration.scripts.lying_node import Log, Rewrite, lying_node
from tests.integration.scripts.story import (
    NATIVE_SALT,
    Cast,
    Store,
    Story,
    Teller,
    address,
    checkpoint,
    copy_of,
)

# Slots of the mappings, as the compiler lays them out.
REGISTRY_ACCOUNTS_SLOT = 0
ERC20_BALANCES_SLOT = 0
MARKET_TOKENS_SLOT, MARKET_FEE_SHIFT = 6, 8
MARKET_SALTS_SLOT = 8
MARKET_CREDITS_SLOT = 9
MARKET_FEES_SLOT = 10
MARKET_LEASES_SLOT = 11
MARKET_ORDERS_SLOT = 12
QUORUM_MEMBERS_SLOT = 4
COURT_BALANCES_SLOT = 3


def account_slot(account: Address, slot: int) -> str:
    """Where a mapping from addresses at `slot` holds the account's value."""
    return to_hex(keccak256(address_bytes(account).rjust(32, b"\0") + slot.to_bytes(32)))


def alter_slot(deployment: Deployment, contract: Address, key: str, change: Callable[[int], int]) -> None:
    """Set a storage slot; it must have held something, or the test would alter nothing."""
    value = int(deployment.anvil.call("eth_getStorageAt", contract, key, "latest"), 16)
    assert value != 0, f"slot {key} of {contract} is empty"
    deployment.anvil.call("anvil_setStorageAt", contract, key, "0x" + change(value).to_bytes(32).hex())
    deployment.anvil.mine()


def _silent(_: str) -> None:
    return


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One history for all tests of this module."""
    with run_anvil(block_time_seconds=None) as anvil:
        yield Teller(deploy(anvil), Store(tmp_path_factory.mktemp("oracle") / "artifacts")).tell()


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Iterator[Story]:
    """The history with a folder of its own; what a test does to the chain is undone."""
    anvil = told.deployment.anvil
    snapshot = anvil.call("evm_snapshot")
    try:
        yield replace(told, store=copy_of(told.store, tmp_path / "artifacts"))
    finally:
        assert anvil.call("evm_revert", snapshot)


def audited(story: Story, rpc_url: str | None = None) -> Report:
    manifest = story.deployment.manifest
    web3 = connect(rpc_url or story.deployment.anvil.rpc_url, manifest.chain_id)
    try:
        return replay(web3, manifest, Scope(source=FolderSource(story.store.root)), _silent)
    finally:
        disconnect(web3)


def codes(report: Report) -> set[str]:
    return {difference.code for difference in report.differences}


def test_replay__honest_history__is_clean(story: Story) -> None:
    report = audited(story)
    assert report.differences == ()
    assert report.counts["proofs"] == 3
    assert report.counts["receipts"] == 3
    assert report.counts["leases"] == 3
    assert report.counts["disputes"] == 1
    assert all(section.compared > 0 for section in report.sections), report.sections


def test_replay__honest_history__has_every_kind_of_money(story: Story) -> None:
    deployment = story.deployment
    manifest = deployment.manifest
    web3 = deployment.anvil.web3
    told = read_history(web3, manifest, manifest.block_number, read_block(web3, "latest"), Section("history"))
    lease = told.state.leases[story.lease_id]
    assert lease.status is LeaseStatus.CLOSED
    for amount in (lease.paid_units, lease.fee_units, lease.refund_units, lease.compensation_units):
        assert amount > 0
    assert deployment.payment_token.balance_of(address(Cast.provider_a)) == lease.paid_units


# The chain's state altered under the contracts.


def test_replay__stake_slot_altered__is_reported(story: Story) -> None:
    deployment = story.deployment
    key = account_slot(address(Cast.provider_a), REGISTRY_ACCOUNTS_SLOT)
    alter_slot(deployment, deployment.registry.address, key, lambda value: value + 1)
    report = audited(story)
    assert codes(report) == {"provider_stake"}
    (difference,) = report.differences
    assert difference.subject == f"stake_units of provider {address(Cast.provider_a)}"
    assert int(difference.actual) == int(difference.expected) + 1


def test_replay__credit_altered__is_reported(story: Story) -> None:
    deployment = story.deployment
    token_slot = account_slot(deployment.payment_token.address, MARKET_CREDITS_SLOT)
    key = account_slot(address(Cast.renter), int(token_slot, 16))
    alter_slot(deployment, deployment.market.address, key, lambda value: value * 2)
    assert codes(audited(story)) == {"credit"}


def test_replay__fees_altered__are_reported(story: Story) -> None:
    deployment = story.deployment
    key = account_slot(deployment.payment_token.address, MARKET_FEES_SLOT)
    alter_slot(deployment, deployment.market.address, key, lambda value: value * 2)
    assert codes(audited(story)) == {"fees"}


def test_replay__lost_seconds_forgiven__are_reported(story: Story) -> None:
    deployment = story.deployment
    key = to_hex(keccak256(story.native_lease_id + MARKET_ORDERS_SLOT.to_bytes(32)))
    second = to_hex((int(key, 16) + 1).to_bytes(32))
    alter_slot(deployment, deployment.market.address, second, lambda _: 0)
    assert codes(audited(story)) == {"posted_order"}


def test_replay__cancelled_salt_revived__is_reported(story: Story) -> None:
    deployment = story.deployment
    of_provider = account_slot(address(Cast.provider_b), MARKET_SALTS_SLOT)
    key = to_hex(keccak256(NATIVE_SALT.to_bytes(32) + bytes.fromhex(of_provider[2:])))
    alter_slot(deployment, deployment.market.address, key, lambda _: 0)
    assert codes(audited(story)) == {"salt"}


def test_replay__member_seated_by_nobody__is_reported(story: Story) -> None:
    deployment = story.deployment
    key = to_hex(keccak256((1).to_bytes(32) + QUORUM_MEMBERS_SLOT.to_bytes(32)))
    alter_slot(deployment, deployment.quorum.address, key, lambda value: value + 1)
    assert codes(audited(story)) == {"quorum_member"}


def test_replay__balance_in_court_altered__is_reported(story: Story) -> None:
    deployment = story.deployment
    key = account_slot(address(Cast.stranger), COURT_BALANCES_SLOT)
    alter_slot(deployment, deployment.manifest.court, key, lambda value: value + 1)
    assert codes(audited(story)) == {"court_balance"}


def test_replay__lease_slot_altered__is_reported(story: Story) -> None:
    deployment = story.deployment
    key = to_hex(keccak256(story.open_lease_id + MARKET_LEASES_SLOT.to_bytes(32)))
    alter_slot(deployment, deployment.market.address, key, lambda value: value - 1)
    report = audited(story)
    assert codes(report) == {"lease_slot"}
    assert report.differences[0].subject.startswith("deposit of lease")


def test_replay__tombstone_removed__is_reported(story: Story) -> None:
    """A lease that could be opened again from its signed terms."""
    deployment = story.deployment
    key = to_hex(keccak256(story.lease_id + MARKET_LEASES_SLOT.to_bytes(32)))
    alter_slot(deployment, deployment.market.address, key, lambda _: 0)
    report = audited(story)
    assert codes(report) == {"lease_slot"}
    assert report.differences[0].subject.startswith("status of lease")


def test_replay__fee_altered__is_reported(story: Story) -> None:
    deployment = story.deployment
    key = account_slot(deployment.payment_token.address, MARKET_TOKENS_SLOT)
    alter_slot(deployment, deployment.market.address, key, lambda value: value + (1 << MARKET_FEE_SHIFT))
    report = audited(story)
    assert codes(report) == {"setting"}
    assert report.differences[0].subject == f"feeBps({deployment.payment_token.address})"


def test_replay__code_replaced__is_reported(story: Story) -> None:
    deployment = story.deployment
    anvil = deployment.anvil
    code = anvil.call("eth_getCode", deployment.market.address, "latest")
    anvil.call("anvil_setCode", deployment.market.address, code + "00")
    assert codes(audited(story)) == {"code_hash"}


def test_replay__code_removed__is_reported_and_the_rest_still_checked(story: Story) -> None:
    deployment = story.deployment
    deployment.anvil.call("anvil_setCode", deployment.registry.address, "0x")
    report = audited(story)
    assert codes(report) == {"code_hash", "state_unreadable"}
    assert {item.name for item in report.sections if item.differences} == {
        "deployment",
        "stakes",
        "compensations",
        "units",
    }


def test_replay__token_balance_altered__is_reported(story: Story) -> None:
    deployment = story.deployment
    key = account_slot(deployment.market.address, ERC20_BALANCES_SLOT)
    alter_slot(deployment, deployment.payment_token.address, key, lambda value: value - 1)
    assert codes(audited(story)) == {"balance"}


def test_replay__tokens_sent_past_the_contracts__is_reported(story: Story) -> None:
    deployment = story.deployment
    token = deployment.payment_token
    deployment.anvil.send(Cast.renter, token.build_transfer(deployment.market.address, 5))
    assert codes(audited(story)) == {"balance", "transfer_unexplained"}


# Logs that the node withholds, alters, repeats or invents.


def lied(story: Story, rewrite: Rewrite) -> Report:
    with lying_node(story.deployment.anvil.rpc_url, rewrite) as url:
        return audited(story, url)


def topic_of(name: str) -> str:
    contracts = ("ProviderRegistry", "LeaseMarket", "OracleQuorum", "ComputeCourt")
    contract = next(contract for contract in contracts if name in entries(contract, "event"))
    return to_hex(entries(contract, "event")[name].topic)


def where(name: str, change: Callable[[Log], list[Log]]) -> Rewrite:
    """Rewrite the logs of one event, leave the others."""
    topic = topic_of(name)

    def rewrite(logs: list[Log]) -> list[Log]:
        return [kept for log in logs for kept in (change(log) if log["topics"][0] == topic else [log])]

    return rewrite


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("Staked", {"transfer_unexplained", "balance", "ledger_broken"}),
        ("UnitRegistered", {"ledger_broken", "provider_stake", "credit"}),
        ("OfferUnlisted", {"offer_listing"}),
        ("LeaseOpened", {"ledger_broken", "transfer_unexplained"}),
        ("ProofPosted", {"ledger_broken"}),
        ("Settled", {"ledger_broken"}),
        ("NoticeGiven", {"ledger_broken"}),
        ("LeaseClosed", {"lease_slot", "compensation", "provider_stake", "unit_booked_hours"}),
        ("Withdrawn", {"transfer_unexplained", "credit", "balance"}),
        ("UnbondingStarted", {"provider_stake"}),
        ("TokenSet", {"ledger_broken", "setting"}),
        ("TreasuryChanged", {"setting", "ledger_broken"}),
        ("OwnershipTransferred", {"setting"}),
        ("OfferTaken", {"ledger_broken"}),
        ("SaltCancelled", {"salt"}),
        ("LeaseExtended", {"lease_slot", "transfer_unexplained", "balance"}),
        ("OrderPosted", {"ledger_broken", "lease_slot"}),
        ("OrderAnswered", {"posted_order"}),
        ("FeesWithdrawn", {"fees", "transfer_unexplained", "balance"}),
        ("DisputeOpened", {"lease_slot"}),
        ("MemberAdded", {"ledger_broken", "quorum_member", "quorum_active"}),
        ("BondDeposited", {"quorum_member", "quorum_active", "balance", "transfer_unexplained"}),
        ("GpusAttested", {"finding", "gpu_attested"}),
        ("Deposited", {"ledger_broken", "court_balance", "balance", "transfer_unexplained"}),
        ("Challenged", {"court_balance"}),
    ],
)
def test_replay__log_dropped__is_reported(story: Story, event: str, expected: set[str]) -> None:
    report = lied(story, where(event, lambda log: []))
    assert expected <= codes(report), report.differences


def test_replay__log_altered__is_reported(story: Story) -> None:
    def change(log: Log) -> list[Log]:
        return [{**log, "data": "0x" + (int(log["data"], 16) + 1).to_bytes(32).hex()}]

    report = lied(story, where("Staked", change))
    assert {"transfer_unexplained", "transfer_missing", "provider_stake", "balance"} <= codes(report)


def test_replay__log_duplicated__is_reported(story: Story) -> None:
    assert codes(lied(story, where("Staked", lambda log: [log, log]))) == {"log_duplicated"}


def test_replay__log_invented__is_reported(story: Story) -> None:
    def change(log: Log) -> list[Log]:
        return [log, {**log, "logIndex": hex(int(log["logIndex"], 16) + 1000)}]

    assert {"transfer_missing", "provider_stake", "balance"} <= codes(lied(story, where("Staked", change)))


def test_replay__log_of_another_block__is_reported(story: Story) -> None:
    report = lied(story, where("Settled", lambda log: [{**log, "blockHash": "0x" + "11" * 32}]))
    assert "log_block_hash" in codes(report)


def test_replay__log_of_the_other_contract__is_reported(story: Story) -> None:
    registry = story.deployment.registry.address.lower()
    report = lied(story, where("OfferUnlisted", lambda log: [{**log, "address": registry}]))
    assert {"log_undecodable", "offer_listing"} <= codes(report)


def test_replay__log_unreadable__is_reported(story: Story) -> None:
    report = lied(story, where("OfferUnlisted", lambda log: [{**log, "topics": ["0x" + "22" * 32]}]))
    assert {"log_undecodable", "offer_listing"} <= codes(report)


# Evidence altered after the proof was posted.


def test_replay__evidence_missing__is_reported(story: Story) -> None:
    story.store.evidence_path(story.proofs[1].proof_hash).unlink()
    assert codes(audited(story)) == {"evidence_missing"}


def test_replay__evidence_malformed__is_reported(story: Story) -> None:
    path = story.store.evidence_path(story.proofs[0].proof_hash)
    path.write_bytes(path.read_bytes()[:-10])
    assert codes(audited(story)) == {"evidence_malformed"}


def test_replay__evidence_of_another_proof__is_reported(story: Story) -> None:
    def change(evidence: Evidence) -> Evidence:
        return replace(evidence, proof=replace(evidence.proof, energy_joules=1))

    story.rewrite(0, change)
    assert codes(audited(story)) == {"evidence_proof"}


def test_replay__receipt_altered__is_reported(story: Story) -> None:
    def change(evidence: Evidence) -> Evidence:
        first, *rest = evidence.receipts
        worse = replace(first, receipt=replace(first.receipt, gpu_milliseconds=9_999_999))
        return replace(evidence, receipts=(worse, *rest))

    story.rewrite(0, change)
    assert codes(audited(story)) == {"jobs_root", "receipt_signature"}


def test_replay__receipt_signatures_swapped__is_reported(story: Story) -> None:
    def change(evidence: Evidence) -> Evidence:
        first, second = evidence.receipts
        swapped = (replace(first, signature=second.signature), replace(second, signature=first.signature))
        return replace(evidence, receipts=swapped)

    story.rewrite(0, change)
    report = audited(story)
    assert codes(report) == {"receipt_signature"}
    assert len(report.differences) == 2


def test_replay__receipt_missing__is_reported(story: Story) -> None:
    story.rewrite(0, lambda evidence: replace(evidence, receipts=evidence.receipts[:1]))
    assert codes(audited(story)) == {"jobs_root", "jobs_completed", "leaf_count", "order_superfluous"}


def test_replay__receipts_reordered__is_reported(story: Story) -> None:
    story.rewrite(0, lambda evidence: replace(evidence, receipts=evidence.receipts[::-1]))
    assert codes(audited(story)) == {"jobs_root"}


def test_replay__order_signed_by_another_renter__is_reported(story: Story) -> None:
    def change(evidence: Evidence) -> Evidence:
        first, second = evidence.orders
        forged = replace(second, signature=sign(story.domain, second.order, Cast.renter_b))
        return replace(evidence, orders=(first, forged))

    story.rewrite(0, change)
    assert codes(audited(story)) == {"order_invalid"}


def test_replay__spec_altered__is_reported(story: Story) -> None:
    def change(evidence: Evidence) -> Evidence:
        first, second = evidence.orders
        return replace(evidence, orders=(first, replace(second, spec=replace(second.spec, seed=8))))

    story.rewrite(0, change)
    assert codes(audited(story)) == {"order_invalid"}


def test_replay__order_missing__is_reported(story: Story) -> None:
    story.rewrite(0, lambda evidence: replace(evidence, orders=evidence.orders[:1]))
    assert codes(audited(story)) == {"order_missing"}


def altered_heartbeat(story: Story, **changes: object) -> Callable[[Evidence], Evidence]:
    """The third heartbeat with other contents, signed anew by its worker."""

    def change(evidence: Evidence) -> Evidence:
        beats = list(evidence.heartbeats)
        beat = replace(beats[2].heartbeat, **changes)
        beats[2] = SignedHeartbeat(beat, sign(story.domain, beat, Cast.worker_a))
        return replace(evidence, heartbeats=tuple(beats))

    return change


def test_replay__heartbeat_with_wrong_block_hash__is_reported(story: Story) -> None:
    story.rewrite(0, altered_heartbeat(story, block_hash=b"\x33" * 32))
    assert codes(audited(story)) == {"availability_root", "heartbeat_block_hash"}


def test_replay__heartbeat_of_a_block_that_is_none__is_reported(story: Story) -> None:
    story.rewrite(0, altered_heartbeat(story, block_number=10**9))
    assert codes(audited(story)) == {"availability_root", "heartbeat_block_unknown"}


def test_replay__heartbeat_signed_by_a_stranger__is_reported(story: Story) -> None:
    def change(evidence: Evidence) -> Evidence:
        first, *rest = evidence.heartbeats
        forged = replace(first, signature=sign(story.domain, first.heartbeat, Cast.worker_b))
        return replace(evidence, heartbeats=(forged, *rest))

    story.rewrite(0, change)
    assert codes(audited(story)) == {"heartbeat_signature"}


def test_replay__heartbeats_withheld__seconds_are_overclaimed(story: Story) -> None:
    story.rewrite(0, lambda evidence: replace(evidence, heartbeats=evidence.heartbeats[:3]))
    report = audited(story)
    assert {"availability_root", "proven_seconds", "seconds_overclaimed"} <= codes(report)


# Artifacts altered, or gone.


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["output", "log", "trace", "checkpoint/1"])
def test_replay__artifact_byte_flipped__is_reported(story: Story, name: str) -> None:
    digest = story.proofs[0].evidence.receipts[0].artifacts[name]
    flip(story.store.path(digest))
    report = audited(story)
    assert codes(report) == {"artifact_digest"}
    assert report.differences[0].subject.endswith(f": {name}")


def test_replay__bundle_missing__is_reported(story: Story) -> None:
    story.store.path(story.proofs[0].evidence.receipts[0].receipt.input_digest).unlink()
    report = audited(story)
    assert codes(report) == {"artifact_missing"}
    assert len(report.differences) == 1


def with_artifact(story: Story, name: str, data: bytes | None) -> None:
    """The first receipt's evidence names other bytes, or none: the names are no part of a signature."""

    def change(evidence: Evidence) -> Evidence:
        first, *rest = evidence.receipts
        artifacts = dict(first.artifacts)
        del artifacts[name]
        if data is not None:
            artifacts[name] = story.store.put(data)
        return replace(evidence, receipts=(replace(first, artifacts=artifacts), *rest))

    story.rewrite(0, change)


def leaves_of(story: Story) -> list[TraceLeaf]:
    digest = story.proofs[0].evidence.receipts[0].artifacts["trace"]
    return list(decode_leaves(story.store.path(digest).read_bytes()))


def test_replay__trace_leaf_altered__breaks_the_chain(story: Story) -> None:
    leaves = leaves_of(story)
    leaves[1] = replace(leaves[1], state_root=Digest(b"\x44" * 32))
    with_artifact(story, "trace", encode_leaves(leaves))
    assert codes(audited(story)) == {"trace_chain"}


def test_replay__last_trace_leaf_altered__is_not_under_the_root(story: Story) -> None:
    leaves = leaves_of(story)
    leaves[-1] = replace(leaves[-1], state_root=Digest(b"\x44" * 32))
    with_artifact(story, "trace", encode_leaves(leaves))
    assert codes(audited(story)) == {"trace_root", "checkpoint_state"}


def test_replay__trace_cut__is_reported(story: Story) -> None:
    with_artifact(story, "trace", encode_leaves(leaves_of(story)[:-1]))
    assert codes(audited(story)) == {"trace_root", "trace_leaf_count", "checkpoint_superfluous"}


def test_replay__checkpoint_missing__is_reported(story: Story) -> None:
    with_artifact(story, "checkpoint/1", None)
    assert codes(audited(story)) == {"checkpoint_missing"}


def test_replay__checkpoint_of_another_state__is_reported(story: Story) -> None:
    _, other = checkpoint(9)
    with_artifact(story, "checkpoint/1", other)
    assert codes(audited(story)) == {"checkpoint_state"}


def test_replay__checkpoint_that_is_none__is_reported(story: Story) -> None:
    with_artifact(story, "checkpoint/1", b"not a checkpoint")
    assert codes(audited(story)) == {"checkpoint_malformed"}


# Proofs that claim too much, posted by their own worker.


def posted_again(story: Story, **changes: object) -> None:
    """A third proof of the open lease, whose evidence is sound but for the change."""
    claim = CompletionProof(
        lease_id=story.open_lease_id,
        previous_proof=NO_PROOF,
        proven_seconds=0,
        jobs_completed=0,
        leaf_count=0,
        jobs_root=ZERO_DIGEST,
        availability_root=ZERO_DIGEST,
        energy_joules=0,
    )
    proof = replace(claim, **changes)
    deployment = story.deployment
    web3 = deployment.anvil.web3
    manifest = deployment.manifest
    told = read_history(web3, manifest, manifest.block_number, read_block(web3, "latest"), Section("history"))
    terms = told.state.leases[story.open_lease_id].terms
    deployment.anvil.send(Cast.worker_b, deployment.market.build_post_proof(terms, proof))
    path = story.store.evidence_path(hash_struct(proof))
    path.write_bytes(encode(Evidence(proof, (), (), ())))


def test_replay__pending_proof__is_clean(story: Story) -> None:
    posted_again(story)
    report = audited(story)
    assert report.differences == ()
    assert report.counts["proofs"] == 4


def test_replay__seconds_overclaimed__is_reported(story: Story) -> None:
    posted_again(story, proven_seconds=1)
    assert codes(audited(story)) == {"proven_seconds", "seconds_overclaimed"}


def test_replay__jobs_without_receipts__is_reported(story: Story) -> None:
    posted_again(story, jobs_completed=5, jobs_root=b"\x55" * 32)
    assert codes(audited(story)) == {"jobs_root", "jobs_completed"}


def test_replay__energy_decreases__is_reported(story: Story) -> None:
    posted_again(story, energy_joules=7)
    deployment = story.deployment
    deployment.anvil.advance(deployment.manifest.parameters.challenge_seconds + 1)
    first = CompletionProof(
        lease_id=story.open_lease_id,
        previous_proof=NO_PROOF,
        proven_seconds=0,
        jobs_completed=0,
        leaf_count=0,
        jobs_root=ZERO_DIGEST,
        availability_root=ZERO_DIGEST,
        energy_joules=7,
    )
    posted_again(story, energy_joules=6, previous_proof=hash_struct(first))
    assert codes(audited(story)) == {"energy_decreased"}


# What an audit may leave out, and says so.


def test_replay__without_a_source__says_what_was_not_checked(story: Story) -> None:
    deployment = story.deployment
    report = replay(deployment.anvil.web3, deployment.manifest, Scope(), _silent)
    assert report.is_clean
    assert {item.what for item in report.not_checked} == {"proofs", "artifacts"}


def test_replay__from_a_later_block__is_refused(story: Story) -> None:
    deployment = story.deployment
    scope = Scope(from_block=deployment.manifest.block_number + 1)
    with pytest.raises(BadInput, match="the deployment's first"):
        replay(deployment.anvil.web3, deployment.manifest, scope, _silent)


def test_report__json__has_the_stable_schema(story: Story) -> None:
    flip(story.store.path(story.proofs[0].evidence.receipts[0].artifacts["output"]))
    document = audited(story).to_json()
    assert document["schema"] == "gpgpu.audit/1"
    assert document["verdict"] == "differences"
    assert set(document) == {
        "schema",
        "verdict",
        "chain_id",
        "block",
        "market",
        "registry",
        "counts",
        "sections",
        "differences",
        "reputations",
        "not_checked",
    }
    (difference,) = document["differences"]
    assert set(difference) == {"section", "code", "subject", "expected", "actual"}
    assert difference["section"] == "artifacts"


def said_of(report: Report, block: int | None = None, **changes: int) -> ReputationsBody:
    """What an oracle says that has read as far as the audit; `changes` of its first score."""
    first, *rest = (
        ReputationBody(
            provider=item.provider, token=item.token, weight=item.weight, score_units=item.score_units
        )
        for item in report.reputations
    )
    return ReputationsBody(
        block_number=report.block.number if block is None else block,
        block_timestamp=report.block.timestamp,
        reputations=(first.model_copy(update=changes), *rest),
        next_cursor=None,
    )


def audited_with(story: Story, *pages: ReputationsBody) -> Report:
    manifest = story.deployment.manifest
    web3 = connect(story.deployment.anvil.rpc_url, manifest.chain_id)
    try:
        source = FolderSource(story.store.root)
        return replay(web3, manifest, Scope(source=source, reputations=lambda: pages), _silent)
    finally:
        disconnect(web3)


def test_replay__reputations__are_reported_and_compared_with_an_oracle(story: Story) -> None:
    report = audited(story)
    provider = address(Cast.provider_a)
    (found,) = [item for item in report.reputations if item.provider == provider]
    assert 0 < found.score_units <= 10**18
    assert {"provider": provider, "score_units": str(found.score_units)}.items() <= next(
        item for item in report.to_json()["reputations"] if item["provider"] == provider
    ).items()
    assert audited_with(story, said_of(report)).is_clean
    for changes in ({"weight": found.weight + 1}, {"score_units": found.score_units + 1}):
        assert codes(audited_with(story, said_of(report, **changes))) == {"reputation"}
    left_out = said_of(report).model_copy(update={"reputations": ()})
    assert codes(audited_with(story, left_out)) == {"reputation"}


def test_replay__oracle_at_another_block__compared_as_of_that_one_or_not_at_all(story: Story) -> None:
    report = audited(story)
    anvil = story.deployment.anvil
    ahead = said_of(report, block=report.block.number + 1)
    assert [item.what for item in audited_with(story, ahead).not_checked] == ["reputations of an oracle"]
    behind = ReputationsBody(
        block_number=story.deployment.manifest.block_number,
        block_timestamp=read_block(anvil.web3, story.deployment.manifest.block_number).timestamp,
        reputations=(),
        next_cursor=None,
    )
    assert audited_with(story, behind).is_clean
    # Its later scores were none of that block's.
    early = behind.model_copy(update={"reputations": said_of(report).reputations})
    assert codes(audited_with(story, early)) == {"reputation"}
    assert audited_with(story, said_of(report), behind).not_checked
