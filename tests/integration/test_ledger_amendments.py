"""The ledger follows real contracts through all that changes a lease, and through quorum and court."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from protocol import events, merkle
from protocol.abi import canonical_type, struct_fields
from protocol.accrual import deposit_units
from protocol.calls import eth_call
from protocol.chain import read_block
from protocol.contracts import Court
from protocol.errors import TransactionReverted
from protocol.evidence import jobs_root
from protocol.keccak import keccak256
from protocol.orders import gang_id, lease_id
from protocol.permits import sign_permit
from protocol.structs import (
    NOT_IN_TREE,
    Acceptance,
    CompletionProof,
    DisputeKey,
    DisputeKind,
    FailoverPolicy,
    FailureProof,
    GpuAttestation,
    JobOutcome,
    JobReceipt,
    LeaseStatus,
    LeaseTransfer,
    NoticeReason,
    OrderAcknowledgement,
    Outage,
    Outcome,
    ProofClaim,
    ProvenLeaf,
    ProvenReceipt,
    QuorumSignature,
    RelayedCall,
    Terms,
    Yield,
    abi_tuple,
)
from protocol.trace import TraceLeaf, trace_root
from protocol.typed_data import Domain, digest, hash_struct, sign
from protocol.units import ZERO_ADDRESS, ZERO_DIGEST, Digest, JobId, LeaseId, ProofHash, UnitId
from tests.anvil import Deployment, account
from tests.integration.test_ledger_on_chain import (
    BOND,
    MEMBERS,
    PRICE,
    PROVIDER,
    RENTER,
    UNIT,
    WORKER,
    Story,
    own,
)

STRANGER, BUYER = account(7), account(6)
ORDER = JobId(b"\x0a" * 32)
NO_FAILURE = FailureProof(Yield(LeaseId(bytes(32)), 0), b"", Outage(LeaseId(bytes(32)), 0), ())
CHALLENGE_UNITS = 10 * 10**18


@pytest.fixture
def story(still_deployment: Deployment) -> Iterator[Story]:
    yield Story(still_deployment)


def give_money(story: Story, *signers: Any) -> None:
    token, market = story.deployment.payment_token, story.deployment.market
    for signer in signers:
        story.follower.send(signer, token.build_mint(own(signer), 10**12))
        story.follower.send(signer, token.build_approve(market.address, 10**12))


def test_signed_offer__opened_with_a_permit_in_one_transaction__agrees(story: Story) -> None:
    story.set_up()
    market, domain = story.deployment.market, story.follower.domain
    unit_id = story.register(2)
    offer = story.offer(unit_id, gpu_count=1, salt=77)
    terms = story.terms(offer, 1000, 1)
    amount = deposit_units(PRICE, 1000)
    story.follower.send(BUYER, story.deployment.payment_token.build_mint(own(BUYER), amount))
    permit = sign_permit(
        story.deployment.payment_token, BUYER, market.address, amount, story.anvil.now() + 999
    )
    signature = sign(domain, offer, PROVIDER)
    story.follower.send(BUYER, market.build_open_with_permit(terms, permit, amount, signature))
    kinds = [type(event) for event in story.follower.seen[-2:]]
    assert kinds == [events.OfferTaken, events.LeaseOpened]
    assert story.lease(terms).renter == own(RENTER)
    cancelled = story.offer(story.register(3), gpu_count=1, salt=78)
    story.follower.send(PROVIDER, market.build_cancel_salt(78))
    call = market.build_open(story.terms(cancelled, 100, 2), sign(domain, cancelled, PROVIDER))
    with pytest.raises(TransactionReverted, match="OfferCancelled"):
        eth_call(story.anvil.web3, call, "latest", own(RENTER))


def test_lease__topped_up_and_extended__is_funded_to_its_end(story: Story) -> None:
    offer, market = story.set_up(), story.deployment.market
    terms = story.terms(offer, 1000, 1)
    terms = replace(terms, max_end=terms.end + 500)
    story.follower.send(RENTER, market.build_open(terms))
    give_money(story, STRANGER)
    story.follower.send(STRANGER, market.build_top_up(terms, terms.end + 500))
    story.follower.send(RENTER, market.build_extend(terms, terms.end + 1500))
    lease = story.lease(terms)
    assert (lease.end, lease.deposit_units) == (terms.end + 1500, deposit_units(PRICE, 2500))


def test_lease__in_native_coin__is_paid_wrapped(story: Story) -> None:
    story.set_up()
    market, wrapped = story.deployment.market, story.deployment.wrapped_native.address
    offer = story.offer(story.register(2), gpu_count=1, token=wrapped, salt=5)
    story.follower.send(PROVIDER, market.build_list(offer))
    terms = story.terms(offer, 1000, 1)
    amount = deposit_units(PRICE, 1000)
    story.follower.send(RENTER, market.build_open(terms, native_units=amount))
    story.follower.send(RENTER, market.build_give_notice(terms, NoticeReason.WORK_DONE, ZERO_DIGEST))
    story.advance_to(terms.start)
    story.follower.send(RENTER, market.build_close(terms))
    assert story.follower.state.credits[wrapped, own(RENTER)] == amount
    story.follower.send(RENTER, market.build_withdraw(wrapped, own(RENTER)))


def test_order__answered_late_then_accepted_proof__agrees(story: Story) -> None:
    market, domain = story.deployment.market, story.follower.domain
    terms = story.open(story.set_up(), 1000, 1)
    story.advance_to(terms.start + 10)
    story.follower.send(RENTER, market.build_post_order(terms, ORDER))
    story.advance_to(terms.start + story.lease(terms).answer_within + 20)
    acknowledgement = OrderAcknowledgement(lease_id(domain, terms), ORDER, True)
    signature = sign(domain, acknowledgement, WORKER)
    story.follower.send(STRANGER, market.build_answer_order(terms, ORDER, True, signature))
    lost = story.lease(terms).lost_seconds
    assert lost >= 20
    claimable = story.lease(terms).claimable_seconds(story.anvil.now())
    identity, before = lease_id(domain, terms), story.lease(terms).proof_hash
    too_much = CompletionProof(identity, before, claimable + 60, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 0)
    with pytest.raises(TransactionReverted, match="ProvenSecondsOutOfRange"):
        eth_call(story.anvil.web3, market.build_post_proof(terms, too_much), "latest", own(WORKER))
    proof = story.prove(terms, claimable)
    acceptance = Acceptance(lease_id(domain, terms), ProofHash(hash_struct(proof)))
    call = market.build_accept(terms, acceptance, sign(domain, acceptance, RENTER))
    story.follower.send(STRANGER, call)
    assert story.lease(terms).settled_seconds == claimable


def test_lease__transferred__belongs_to_the_buyer(story: Story) -> None:
    market, domain = story.deployment.market, story.follower.domain
    terms = story.open(story.set_up(), 1000, 1)
    give_money(story, BUYER)
    story.follower.send(RENTER, market.build_post_order(terms, ORDER))
    lease = story.lease(terms)
    deal = LeaseTransfer(
        lease_id=lease.lease_id,
        from_=own(RENTER),
        to=own(BUYER),
        price=12_345,
        deposit=lease.deposit_units,
        end=lease.end,
        settled_seconds=0,
        transfers=0,
        deadline=story.anvil.now() + 99,
    )
    signatures = (sign(domain, deal, RENTER), sign(domain, deal, BUYER))
    story.follower.send(STRANGER, market.build_transfer(terms, deal, *signatures))
    assert story.lease(terms).renters == (own(RENTER), own(BUYER))
    notice = market.build_give_notice(terms, NoticeReason.WORK_DONE, ZERO_DIGEST)
    with pytest.raises(TransactionReverted, match="OnlyParty"):
        eth_call(story.anvil.web3, notice, "latest", own(RENTER))
    story.follower.send(BUYER, notice)
    story.advance_to(terms.start)
    story.follower.send(STRANGER, market.build_close(terms))
    story.withdraw_all()


def test_relayed_call__of_the_renter__counts_its_nonce(story: Story) -> None:
    market, domain = story.deployment.market, story.follower.domain
    terms = story.open(story.set_up(), 1000, 1)
    notice = market.build_give_notice(terms, NoticeReason.WORK_DONE, ZERO_DIGEST)
    call = RelayedCall(own(RENTER), notice.data, 0, story.anvil.now() + 99)
    story.follower.send(STRANGER, market.build_relay(call, sign(domain, call, RENTER)))
    noticed = story.follower.seen[-1]
    assert isinstance(noticed, events.NoticeGiven) and noticed.by == own(RENTER)
    assert story.follower.state.relay_nonces == {own(RENTER): 1}


def test_proofs__of_several_leases__share_their_roots(story: Story) -> None:
    market = story.deployment.market
    first = story.open(story.set_up(), 1000, 1)
    offer = story.offer(story.register(2), gpu_count=1, salt=2)
    story.follower.send(PROVIDER, market.build_list(offer))
    second = story.open(offer, 1000, 2)
    story.advance_to(second.start + 100)
    claims = [ProofClaim(50, 1, 3), ProofClaim(60, 0, 4)]
    call = market.build_post_proofs([first, second], claims, 1, Digest(b"\1" * 32), Digest(b"\2" * 32))
    story.follower.send(WORKER, call)
    story.anvil.advance(5)
    story.follower.send(STRANGER, market.build_settle_many([first, second]))
    assert [story.lease(terms).settled_seconds for terms in (first, second)] == [50, 60]


def test_gang__provider_of_one_gives_notice__the_other_ends_early(story: Story) -> None:
    market, offer = story.deployment.market, story.set_up()
    other = story.offer(story.register(2), gpu_count=1, salt=2, min_seconds=900)
    story.follower.send(PROVIDER, market.build_list(other))
    drafts = [story.terms(offer, 1000, 1), story.terms(other, 1000, 2)]
    gang = [replace(draft, gang_id=gang_id(drafts)) for draft in drafts]
    story.follower.send(RENTER, market.build_open_gang(gang, [b"", b""]))
    story.advance_to(gang[0].start + 10)
    story.follower.send(PROVIDER, market.build_give_notice(gang[0], NoticeReason.MAINTENANCE, ZERO_DIGEST))
    story.follower.send(RENTER, market.build_give_notice_in_gang(gang[1], gang[0], ZERO_DIGEST))
    assert story.lease(gang[1]).end < gang[1].start + 900
    story.anvil.advance(2000)
    for terms in gang:
        story.follower.send(STRANGER, market.build_close(terms))
    story.withdraw_all()


def seat_members(story: Story) -> None:
    """Two bonded members, whose signatures decide."""
    quorum, stake = story.deployment.quorum, story.deployment.stake_token
    for index, member in enumerate(MEMBERS):
        story.follower.send(story.deployment.owner, quorum.build_add_member(own(member), own(member)))
        story.follower.send(member, stake.build_mint(own(member), 10**21))
        story.follower.send(member, stake.build_approve(quorum.address, 10**21))
        story.follower.send(member, quorum.build_deposit_bond(index, 100 * 10**18))
    story.anvil.advance(2)
    assert quorum.active_members() == 0b11 == story.follower.quorum.active_members(story.anvil.now())


def attest(story: Story, unit_id: UnitId, number: int) -> None:
    quorum = story.deployment.quorum
    head = read_block(story.anvil.web3, "latest")
    attestation = GpuAttestation(
        unit_id=unit_id,
        provider=own(PROVIDER),
        node_id=b"node-%d" % number + bytes(26),
        gpu_ids=(keccak256(b"gpu of node %d" % number),),
        gpu_class=UNIT.gpu_class,
        vram_mib=1,
        measured_gops=2,
        seed_block=head.number,
        seed_block_hash=head.hash,
        report_digest=ZERO_DIGEST,
        expires_at=head.timestamp + 9999,
    )
    domain = Domain(story.deployment.manifest.chain_id, quorum.address)
    signatures = [
        QuorumSignature(index, sign(domain, attestation, member)) for index, member in enumerate(MEMBERS)
    ]
    story.follower.send(STRANGER, quorum.build_record_attestation(attestation, signatures))
    finding = quorum.finding_of(unit_id)
    assert finding.gpu_class == UNIT.gpu_class
    assert quorum.attested_unit_of(attestation.gpu_ids[0]) == unit_id
    assert quorum.member_at(0).signer == own(MEMBERS[0])


@pytest.mark.parametrize("by_outage", [False, True])
def test_failover__of_a_failed_provider__moves_the_money(story: Story, by_outage: bool) -> None:
    market, domain = story.deployment.market, story.follower.domain
    story.set_up()
    offer = story.offer(story.register(3), gpu_count=1, salt=8)
    story.follower.send(PROVIDER, market.build_list(offer))
    seat_members(story)
    unit_id = story.register(2)
    attest(story, unit_id, 2)
    policy = FailoverPolicy(
        delegate=own(STRANGER),
        max_price_per_hour=PRICE,
        gpu_class=UNIT.gpu_class,
        min_bond=0,
        allowed_providers_root=ZERO_DIGEST,
        allowed_providers_count=0,
        max_hops=1,
        deadline=story.anvil.now() + 5000,
    )
    terms = replace(story.terms(offer, 1000, 1), policy_hash=hash_struct(policy))
    story.follower.send(RENTER, market.build_open(terms))
    story.advance_to(terms.start + 100)
    failure = NO_FAILURE
    if by_outage:
        outage = Outage(lease_id(domain, terms), story.anvil.now() - 5)
        of_quorum = Domain(domain.chain_id, story.deployment.quorum.address)
        signed = [QuorumSignature(i, sign(of_quorum, outage, member)) for i, member in enumerate(MEMBERS)]
        failure = replace(NO_FAILURE, outage=outage, quorum_signatures=tuple(signed))
    else:
        notice = market.build_give_notice(terms, NoticeReason.HARDWARE_FAULT, ZERO_DIGEST)
        story.follower.send(PROVIDER, notice)
    following_offer = story.offer(unit_id, gpu_count=1, salt=9)
    following = replace(
        story.terms(following_offer, 500, 9),
        policy_hash=terms.policy_hash,
        previous_lease_id=lease_id(domain, terms),
    )
    signature = sign(domain, following_offer, PROVIDER)
    call = market.build_failover(terms, policy, following, signature, NOT_IN_TREE, failure)
    story.follower.send(STRANGER, call)
    old, new = story.lease(terms), story.lease(following)
    assert old.moved_units == new.deposit_units and new.hops == 1
    assert old.penalty_seconds == terms.end - old.end
    assert (old.end > story.anvil.now()) is not by_outage
    story.anvil.advance(3000)
    for each in (terms, following):
        story.follower.send(STRANGER, market.build_close(each))
    story.withdraw_all()


def fund_challenger(story: Story) -> Court:
    court, stake = story.follower.deployment_court, story.deployment.stake_token
    story.follower.send(BUYER, stake.build_mint(own(BUYER), 10**21))
    story.follower.send(BUYER, stake.build_approve(court.address, 10**21))
    story.follower.send(BUYER, court.build_deposit(3 * CHALLENGE_UNITS))
    return court


def test_dispute__without_a_committee__is_inconclusive_and_the_proof_stands(story: Story) -> None:
    market = story.deployment.market
    terms = story.open(story.set_up(), 1000, 1)
    court = fund_challenger(story)
    story.advance_to(terms.end)
    proof = story.prove(terms, 900)
    story.follower.send(BUYER, court.build_challenge_availability(terms, proof))
    key = DisputeKey(
        lease_id(story.follower.domain, terms),
        ProofHash(hash_struct(proof)),
        DisputeKind.AVAILABILITY,
        ZERO_DIGEST,
        0,
        ZERO_ADDRESS,
    )
    component = {"type": "tuple", "components": [field.component for field in struct_fields("DisputeKey")]}
    encoded = abi_encode([canonical_type(component)], [abi_tuple(key)])
    assert court.dispute_id_of(key) == keccak256(encoded)
    assert court.dispute_of(court.dispute_id_of(key)).challenger == own(BUYER)
    assert story.lease(terms).open_disputes == 1
    story.anvil.advance(20)
    story.follower.send(STRANGER, court.build_resolve(key, terms))
    resolved = [event for event in story.follower.seen if isinstance(event, events.DisputeResolved)]
    assert [event.outcome for event in resolved] == [Outcome.INCONCLUSIVE]
    lease = story.lease(terms)
    assert (lease.open_disputes, lease.pending_seconds) == (0, 900)
    assert lease.moved_last_post > lease.end
    story.follower.send(STRANGER, market.build_settle(terms))
    assert story.lease(terms).settled_seconds == 900
    story.follower.send(BUYER, court.build_withdraw(own(BUYER), 3 * CHALLENGE_UNITS))


def forged_trace(story: Story, terms: Terms) -> tuple[JobReceipt, list[TraceLeaf]]:
    """A receipt whose second leaf does not follow the first."""
    spec = Digest(b"\x31" * 32)
    zero = ZERO_DIGEST
    leaves = [TraceLeaf(spec, index, index * 10, zero, zero, zero, zero) for index in range(2)]
    receipt = JobReceipt(
        lease_id=lease_id(story.follower.domain, terms),
        order_digest=ORDER,
        spec_digest=spec,
        unit_id=terms.offer.unit_id,
        attempt=1,
        input_digest=zero,
        output_digest=zero,
        trace_root=trace_root(leaves),
        leaf_count=2,
        environment_digest=zero,
        outcome=JobOutcome.COMPLETED,
        exit_code=0,
        gpu_milliseconds=1,
        energy_joules=1,
        started_at=1,
        finished_at=2,
    )
    return receipt, leaves


def test_forged_trace__refuted__breaches_and_slashes_to_the_unit(story: Story) -> None:
    market, registry = story.deployment.market, story.deployment.registry
    terms = story.open(story.set_up(), 1000, 1)
    court = story.follower.deployment_court
    story.advance_to(terms.start + 500)
    receipt, leaves = forged_trace(story, terms)
    leaf = digest(story.follower.domain, receipt)
    proof = story.prove(terms, 400, jobs_completed=1, leaf_count=1, jobs_root=jobs_root([leaf]))
    hashes = [leaf.hash() for leaf in leaves]
    proven = [ProvenLeaf(item, tuple(merkle.branch(hashes, index))) for index, item in enumerate(leaves)]
    call = court.build_refute_trace(terms, proof, ProvenReceipt(receipt, 0, ()), 1, proven[1], proven[0])
    story.follower.send(BUYER, call)
    lease = story.lease(terms)
    assert (lease.status, lease.bond_slashed, lease.locked_bond) == (LeaseStatus.BREACHED, True, 0)
    reward = BOND * 30 // 100
    assert story.follower.court.balances == {own(BUYER): reward}
    assert story.follower.state.burned_units == BOND - 2 * reward
    story.follower.send(BUYER, court.build_withdraw(own(BUYER), reward))
    story.follower.send(STRANGER, market.build_release_hours(terms))
    story.follower.send(STRANGER, market.build_close(terms))
    story.follower.send(STRANGER, registry.build_sweep_burned())
    assert story.lease(terms).refund_units == lease.deposit_units
    assert story.follower.state.compensations[own(RENTER)] == reward
    story.withdraw_all()


def test_unit__attested_to_another_provider__is_evicted(story: Story) -> None:
    story.set_up()
    seat_members(story)
    squatter, gpu = STRANGER, keccak256(b"gpu of node 2")
    taken = replace(UNIT, provider=own(squatter), gpu_count=1)
    registry = story.deployment.registry
    story.follower.send(squatter, registry.build_register_unit(taken, [gpu]))
    held = story.follower.seen[-1]
    assert isinstance(held, events.UnitRegistered)
    encoded = abi_encode(("address", "bytes32", "bytes32[]"), (own(PROVIDER), b"node-2" + bytes(26), [gpu]))
    attest(story, UnitId(keccak256(encoded)), 2)
    unit_id = story.register(2)
    assert story.follower.state.units[held.unit_id].evicted
    assert story.follower.state.gpus[gpu] == unit_id
    story.follower.send(squatter, registry.build_retire_unit(held.unit_id, [gpu]))
    assert registry.unit_of_gpu(gpu) == unit_id
