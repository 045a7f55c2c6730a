"""The ledger, folded from a real chain's logs, equals what the contracts answer, after every transaction."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from protocol import events
from protocol.accrual import ALWAYS
from protocol.calls import Call, eth_call
from protocol.chain import read_block
from protocol.contracts import Court, StakeAccount, TokenTerms
from protocol.errors import TransactionReverted
from protocol.events import decode, fetch_logs
from protocol.keccak import keccak256
from protocol.ledger import LeaseEntry, LedgerState, Parameters, apply, check
from protocol.ledger.court import CourtState
from protocol.ledger.quorum import QuorumState
from protocol.orders import lease_id
from protocol.permits import sign_permit
from protocol.structs import (
    NO_PROOF,
    CompletionProof,
    LeaseFlag,
    LeaseState,
    LeaseStatus,
    NoticeReason,
    Offer,
    OfferKind,
    PostedOrder,
    Terms,
    Unit,
)
from protocol.typed_data import Domain, hash_struct
from protocol.units import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    LeaseId,
    OfferHash,
    ProofHash,
    UnitId,
    address_bytes,
    address_of,
    pack_name,
)
from tests.anvil import Deployment, account

PROVIDER, RENTER, WORKER = account(1), account(2), account(3)
MEMBERS = (account(4), account(5))
PRICE, BOND = 7_200_001, 10**18 + 7
VISIBLE = (
    LeaseFlag.HOURS_RELEASED | LeaseFlag.CLOSING | LeaseFlag.PROVIDER_FAILED | LeaseFlag.BOND_SLASHED
)  # the others say which storage is in use


def own(signer: LocalAccount) -> Address:
    return address_of(address_bytes(signer.address))


class Follower:
    """Sends transactions and follows their events; after each, ledger and contracts must agree."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.state = LedgerState.empty(Parameters.of(deployment.manifest))
        self.quorum = QuorumState.of(deployment.manifest)
        self.court = CourtState.of(deployment.manifest)
        self.domain = Domain(deployment.manifest.chain_id, deployment.manifest.market)
        self.next_block = deployment.manifest.block_number
        self.seen: list[events.Event] = []

    def send(self, signer: LocalAccount, call: Call) -> None:
        self.deployment.anvil.send(signer, call)
        self.follow()

    @property
    def deployment_court(self) -> Court:
        return Court(self.deployment.anvil.web3, self.deployment.manifest.court)

    def follow(self) -> None:
        anvil, manifest = self.deployment.anvil, self.deployment.manifest
        head = read_block(anvil.web3, "latest").number
        for log in fetch_logs(anvil.web3, manifest.contracts, self.next_block, head):
            event = decode(log, events.emitters(manifest))
            assert events.from_json(events.to_json(event)) == event
            time = read_block(anvil.web3, event.position.block_number).timestamp
            self.state.merge(apply(self.state, event, time))
            self.quorum.apply(event, time)
            self.court.apply(event)
            self.seen.append(event)
        self.next_block = head + 1
        check(self.state)
        self.compare()

    def compare(self) -> None:
        self.compare_market()
        self.compare_registry()
        self.compare_balances()

    def compare_market(self) -> None:
        market, state = self.deployment.market, self.state
        assert market.treasury() == state.parameters.treasury
        for token, fee_bps in state.parameters.token_fees.items():
            assert market.token_terms(token) == TokenTerms(True, fee_bps)
            assert market.fees_of(token) == state.fees.get(token, 0)
        for holder, nonce in state.relay_nonces.items():
            assert market.relay_nonce(holder) == nonce
        for holder, salt in state.cancelled_salts:
            assert market.salt_cancelled(holder, salt)
        for (token, holder), amount in state.credits.items():
            assert market.credit_of(token, holder) == amount
        for identity, lease in state.leases.items():
            found = market.lease_state(identity)
            assert replace(found, flags=found.flags & VISIBLE) == self.expected_state(identity)
            if lease.status is not LeaseStatus.CLOSED:
                posted = PostedOrder(lease.posted_order, lease.answer_within, lease.lost_seconds)
                assert market.posted_order_of(identity) == posted

    def compare_registry(self) -> None:
        registry, state = self.deployment.registry, self.state
        for provider, entry in state.providers.items():
            found = registry.stake_of(provider)
            stake = (entry.stake_units, entry.locked_units, entry.unbonding_units, entry.unbond_at)
            assert found == StakeAccount(*stake, entry.epoch)  # type: ignore[arg-type]
            assert registry.free_stake_of(provider) == entry.free_units
        for unit_id, unit in state.units.items():
            if not unit.retired:
                assert registry.unit_of(unit_id) == (unit.unit, unit.booked_hours)
            for gpu_id in unit.gpu_ids:
                assert registry.unit_of_gpu(gpu_id) == state.gpus.get(gpu_id, ZERO_DIGEST)
        for holder, amount in state.compensations.items():
            assert registry.compensation_of(holder) == amount

    def compare_balances(self) -> None:
        """Invariant 1 of the protocol: each contract holds exactly what it owes."""
        deployment, state = self.deployment, self.state
        for token in (deployment.payment_token, deployment.wrapped_native):
            unspent = sum(
                lease.deposit_units - lease.paid_units - lease.fee_units - lease.refund_units
                for lease in state.leases.values()
                if lease.terms.offer.token == token.address
            )
            owed = sum(amount for (of, _), amount in state.credits.items() if of == token.address)
            fees = state.fees.get(token.address, 0)
            assert token.balance_of(deployment.market.address) == unspent + owed + fees
        stakes = sum(entry.stake_units for entry in state.providers.values())
        stake_token, manifest = deployment.stake_token, deployment.manifest
        held = stake_token.balance_of(deployment.registry.address)
        assert held == stakes + sum(state.compensations.values()) + state.burned_units
        assert deployment.registry.burned() == state.burned_units
        assert stake_token.balance_of(manifest.quorum) == self.quorum.bond_units
        of_court = stake_token.balance_of(manifest.court) + state.compensations.get(manifest.court, 0)
        assert of_court == self.court.owed_units
        for holder, amount in self.court.balances.items():
            assert self.deployment_court.balance_of(holder) == amount

    def expected_state(self, identity: LeaseId) -> LeaseState:
        lease = self.state.leases[identity]
        failed = LeaseFlag.PROVIDER_FAILED if lease.provider_failed else 0
        if lease.status is LeaseStatus.CLOSED:
            return LeaseState(status=LeaseStatus.CLOSED, flags=failed)
        start = lease.terms.start
        flags = failed | (LeaseFlag.HOURS_RELEASED if lease.hours_released else 0)
        flags |= LeaseFlag.CLOSING if lease.closing else 0
        flags |= LeaseFlag.BOND_SLASHED if lease.bond_slashed else 0
        return LeaseState(
            deposit=lease.deposit_units,
            end_offset=lease.end - start,
            settled_seconds=lease.settled_seconds,
            pending_seconds=lease.pending_seconds,
            mature_offset=lease.matures_at - start if lease.pending else 0,
            open_disputes=lease.open_disputes,
            status=lease.status,
            flags=int(flags),
            proof_hash=lease.proof_hash,
            renter_override=lease.renter if lease.transfers else ZERO_ADDRESS,
            penalty_seconds=lease.penalty_seconds,
            last_post_offset=lease.moved_last_post - start if lease.moved_last_post else 0,
            hops=lease.hops,
            transfers=lease.transfers,
        )


class Story:
    """A provider with one unit and offer, and a renter with money."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.follower = Follower(deployment)
        self.anvil = deployment.anvil

    def set_up(self) -> Offer:
        deployment, follower = self.deployment, self.follower
        market, registry = deployment.market, deployment.registry
        follower.follow()
        follower.send(PROVIDER, deployment.stake_token.build_mint(own(PROVIDER), 10**21))
        follower.send(RENTER, deployment.payment_token.build_mint(own(RENTER), 10**12))
        follower.send(RENTER, deployment.payment_token.build_approve(market.address, 10**12))
        permit = sign_permit(
            deployment.stake_token, PROVIDER, registry.address, 3 * 10**18, self.anvil.now() + 999
        )
        follower.send(PROVIDER, registry.build_stake_with_permit(3 * 10**18, permit))
        follower.send(PROVIDER, registry.build_register_unit(UNIT, GPU_IDS))
        registered = follower.seen[-1]
        assert isinstance(registered, events.UnitRegistered)
        offer = self.offer(registered.unit_id)
        follower.send(PROVIDER, market.build_list(offer))
        return offer

    def offer(self, unit_id: UnitId, **changes: Any) -> Offer:
        offer = Offer(
            provider=own(PROVIDER),
            unit_id=unit_id,
            gpu_class=UNIT.gpu_class,
            gpu_count=UNIT.gpu_count,
            token=self.deployment.payment_token.address,
            price_per_hour=PRICE,
            kind=OfferKind.RESERVED,
            weekly_hours=ALWAYS,
            min_seconds=10,
            max_seconds=4000,
            notice_seconds=20,
            bond=BOND,
            valid_until=self.anvil.now() + 10_000,
            salt=1,
        )
        return replace(offer, **changes)

    def terms(self, offer: Offer, seconds: int, salt: int, **changes: Any) -> Terms:
        start = self.anvil.now() + 100
        terms = Terms(
            offer=offer,
            renter=own(RENTER),
            start=start,
            end=start + seconds,
            max_end=start + seconds,
            weekly_hours=ALWAYS,
            fee_bps=100,
            policy_hash=ZERO_DIGEST,
            first_order=ZERO_DIGEST,
            gang_id=ZERO_DIGEST,
            previous_lease_id=LeaseId(ZERO_DIGEST),
            salt=salt,
        )
        return replace(terms, **changes)

    def register(self, number: int) -> UnitId:
        """One more unit of the provider, of one GPU."""
        unit = replace(UNIT, node_id=pack_name(f"node-{number}"), gpu_count=1)
        self.follower.send(
            PROVIDER,
            self.deployment.registry.build_register_unit(unit, [keccak256(b"gpu of node %d" % number)]),
        )
        registered = self.follower.seen[-1]
        assert isinstance(registered, events.UnitRegistered)
        return registered.unit_id

    def lease(self, terms: Terms) -> LeaseEntry:
        return self.follower.state.leases[lease_id(self.follower.domain, terms)]

    def open(self, offer: Offer, seconds: int, salt: int) -> Terms:
        terms = self.terms(offer, seconds, salt)
        self.follower.send(RENTER, self.deployment.market.build_open(terms))
        return terms

    def advance_to(self, time: int) -> None:
        self.anvil.advance(max(1, time - self.anvil.now()))

    def prove(self, terms: Terms, seconds: int, **changes: Any) -> CompletionProof:
        lease = self.lease(terms)
        proof = CompletionProof(
            lease.lease_id, lease.proof_hash, seconds, 0, 0, ZERO_DIGEST, ZERO_DIGEST, seconds * 3
        )
        proof = replace(proof, **changes)
        self.follower.send(WORKER, self.deployment.market.build_post_proof(terms, proof))
        assert self.lease(terms).proof_hash == ProofHash(hash_struct(proof))
        return proof

    def withdraw_all(self) -> None:
        """Everybody takes what is theirs; nothing is left that nobody owns."""
        market, registry, state = self.deployment.market, self.deployment.registry, self.follower.state
        signers = {own(signer): signer for signer in self.anvil.accounts}
        for (token, holder), amount in sorted(state.credits.items()):
            if amount:
                self.follower.send(signers[holder], market.build_withdraw(token, own(account(8))))
        for holder, amount in sorted(state.compensations.items()):
            if amount and holder in signers:
                self.follower.send(signers[holder], registry.build_withdraw_compensation(holder))
        for token, amount in sorted(state.fees.items()):
            if amount:
                self.follower.send(account(7), market.build_withdraw_fees(token))
        assert self.deployment.payment_token.balance_of(market.address) == 0


GPU_IDS = sorted(keccak256(b"gpu %d" % index) for index in range(2))
UNIT = Unit(own(PROVIDER), own(WORKER), b"\5" * 32, pack_name("node-1"), pack_name("RTX 4090"), 2, 24_564)


@pytest.fixture
def story(still_deployment: Deployment) -> Iterator[Story]:
    yield Story(still_deployment)


def test_ledger__lease_served_to_its_end__agrees_throughout(story: Story) -> None:
    terms = story.open(story.set_up(), 1000, 1)
    story.advance_to(terms.start + 400)
    story.prove(terms, 333)
    story.anvil.advance(5)
    story.follower.send(account(7), story.deployment.market.build_settle(terms))
    story.advance_to(terms.end)
    story.prove(terms, 1000)
    story.anvil.advance(5)
    story.follower.send(account(7), story.deployment.market.build_close(terms))
    lease = story.follower.state.leases[lease_id(story.follower.domain, terms)]
    assert (lease.status, lease.compensation_units) == (LeaseStatus.CLOSED, 0)
    assert lease.refund_units == lease.deposit_units - PRICE * 1000 // 3600
    story.withdraw_all()


def test_ledger__provider_gives_notice_and_serves_half__agrees_throughout(story: Story) -> None:
    offer, market, registry = story.set_up(), story.deployment.market, story.deployment.registry
    terms = story.open(offer, 1000, 1)
    story.follower.send(PROVIDER, market.build_unlist(OfferHash(hash_struct(offer))))
    story.advance_to(terms.start + 400)
    story.follower.send(PROVIDER, market.build_give_notice(terms, NoticeReason.MAINTENANCE, ZERO_DIGEST))
    story.follower.send(RENTER, market.build_give_notice(terms, NoticeReason.WORK_DONE, ZERO_DIGEST))
    lease = story.follower.state.leases[lease_id(story.follower.domain, terms)]
    assert lease.end < terms.end and lease.penalty_seconds == terms.end - lease.end
    story.prove(terms, 200)
    story.advance_to(lease.end + 1)
    story.follower.send(account(7), market.build_release_hours(terms))
    story.follower.send(PROVIDER, registry.build_retire_unit(offer.unit_id, GPU_IDS))
    story.anvil.advance(story.deployment.manifest.parameters.proof_grace_seconds + 1)
    story.follower.send(RENTER, market.build_close(terms))
    closed = story.follower.state.leases[lease.lease_id]
    assert closed.compensation_units == BOND * 800 // 1000
    story.withdraw_all()


def test_ledger__unit_stake_and_owners_calls__agree_throughout(story: Story) -> None:
    offer, market, registry = story.set_up(), story.deployment.market, story.deployment.registry
    send, owner = story.follower.send, story.deployment.owner
    send(PROVIDER, registry.build_rotate_worker(offer.unit_id, own(account(6)), b"\6" * 32))
    send(PROVIDER, registry.build_start_unbonding(10**18))
    send(PROVIDER, registry.build_start_unbonding(5))
    send(PROVIDER, registry.build_cancel_unbonding())
    send(PROVIDER, registry.build_start_unbonding(7))
    story.anvil.advance(10)
    send(PROVIDER, registry.build_withdraw_stake(own(account(8))))
    assert story.deployment.stake_token.balance_of(own(account(8))) == 7
    send(PROVIDER, registry.build_retire_unit(offer.unit_id, GPU_IDS))
    send(PROVIDER, registry.build_register_unit(UNIT, GPU_IDS))
    send(PROVIDER, registry.build_raise_epoch())
    send(PROVIDER, market.build_cancel_salt(5))
    send(owner, market.build_set_token(offer.token, True, 300))
    send(owner, market.build_set_treasury(own(account(8))))
    send(owner, market.build_set_token(offer.token, False, 0))
    assert offer.token not in story.follower.state.parameters.allowed_tokens


def test_ledger__renter_cancels_before_the_start__gets_all_back(story: Story) -> None:
    market = story.deployment.market
    terms = story.open(story.set_up(), 1000, 1)
    notice = market.build_give_notice(terms, NoticeReason.UNSPECIFIED, ZERO_DIGEST)
    story.follower.send(RENTER, notice)
    story.advance_to(terms.start)
    story.follower.send(RENTER, market.build_close(terms))
    lease = story.follower.state.leases[lease_id(story.follower.domain, terms)]
    assert (lease.refund_units, lease.paid_units, lease.compensation_units) == (lease.deposit_units, 0, 0)
    story.withdraw_all()


def test_ledger__second_lease_on_the_same_hours__is_refused_and_nothing_changes(story: Story) -> None:
    offer = story.set_up()
    terms = story.open(offer, 1000, 1)
    call = story.deployment.market.build_open(replace(terms, salt=2))
    with pytest.raises(TransactionReverted) as caught:
        eth_call(story.anvil.web3, call, "latest", own(RENTER))
    assert caught.value.name == "HoursTaken"
    assert caught.value.arguments["unit_id"] == offer.unit_id
    assert story.deployment.market.lease_state(lease_id(story.follower.domain, terms)).proof_hash == NO_PROOF
