"""The ledger, folded from a real chain's logs, equals what the contracts answer, after every transaction."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from protocol import events
from protocol.accrual import ALWAYS
from protocol.calls import Call, eth_call
from protocol.chain import read_block
from protocol.errors import TransactionReverted
from protocol.events import decode, fetch_logs
from protocol.keccak import keccak256
from protocol.ledger import LedgerState, Parameters, apply, check
from protocol.orders import lease_id
from protocol.permits import sign_permit
from protocol.structs import (
    NO_PROOF,
    CompletionProof,
    LeaseState,
    LeaseStatus,
    NoticeReason,
    Offer,
    OfferKind,
    Terms,
    Unit,
)
from protocol.typed_data import Domain, hash_struct
from protocol.units import (
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
PRICE, BOND = 7_200_001, 10**18 + 7


def own(signer: LocalAccount) -> Address:
    return address_of(address_bytes(signer.address))


class Follower:
    """Sends transactions and follows their events; after each, ledger and contracts must agree."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.state = LedgerState.empty(Parameters.of(deployment.manifest))
        self.domain = Domain(deployment.manifest.chain_id, deployment.manifest.market)
        self.next_block = deployment.manifest.block_number
        self.seen: list[events.Event] = []

    def send(self, signer: LocalAccount, call: Call) -> None:
        self.deployment.anvil.send(signer, call)
        self.follow()

    def follow(self) -> None:
        anvil, manifest = self.deployment.anvil, self.deployment.manifest
        head = read_block(anvil.web3, "latest").number
        for log in fetch_logs(anvil.web3, (manifest.market, manifest.registry), self.next_block, head):
            event = decode(log)
            assert events.from_json(events.to_json(event)) == event
            time = read_block(anvil.web3, event.position.block_number).timestamp
            self.state.merge(apply(self.state, event, time))
            self.seen.append(event)
        self.next_block = head + 1
        check(self.state)
        self.compare()

    def compare(self) -> None:
        market, registry, state = self.deployment.market, self.deployment.registry, self.state
        assert (market.fee_bps(), market.treasury()) == (state.parameters.fee_bps, state.parameters.treasury)
        for provider, entry in state.providers.items():
            found = registry.stake_of(provider)
            expected = (entry.stake_units, entry.locked_units, entry.unbonding_units, entry.unbond_at)
            assert (found.stake_units, found.locked_units, found.unbonding_units, found.unbond_at) == expected
            assert registry.free_stake_of(provider) == entry.free_units
        for unit_id, unit in state.units.items():
            if not unit.retired:
                assert registry.unit_of(unit_id) == (unit.unit, unit.booked_hours)
            for gpu_id in unit.gpu_ids:
                assert registry.unit_of_gpu(gpu_id) == state.gpus.get(gpu_id, ZERO_DIGEST)
        for (token, holder), amount in state.credits.items():
            assert market.credit_of(token, holder) == amount
        for holder, amount in state.compensations.items():
            assert registry.compensation_of(holder) == amount
        for identity in state.leases:
            assert market.lease_state(identity) == self.expected_state(identity)
        self.compare_balances()

    def compare_balances(self) -> None:
        """Invariant 1 of the protocol: each contract holds exactly what it owes."""
        deployment, state = self.deployment, self.state
        token = deployment.payment_token
        unspent = sum(
            lease.deposit_units - lease.paid_units - lease.fee_units - lease.refund_units
            for lease in state.leases.values()
        )
        assert token.balance_of(deployment.market.address) == unspent + sum(state.credits.values())
        stakes = sum(entry.stake_units for entry in state.providers.values())
        held = deployment.stake_token.balance_of(deployment.registry.address)
        assert held == stakes + sum(state.compensations.values())

    def expected_state(self, identity: LeaseId) -> LeaseState:
        lease = self.state.leases[identity]
        if lease.status is LeaseStatus.CLOSED:
            return LeaseState(status=LeaseStatus.CLOSED)
        start = lease.terms.start
        return LeaseState(
            deposit=lease.deposit_units,
            end_offset=lease.end - start,
            settled_seconds=lease.settled_seconds,
            pending_seconds=lease.pending_seconds,
            mature_offset=lease.matures_at - start if lease.pending else 0,
            status=lease.status,
            flags=int(lease.hours_released),
            proof_hash=lease.proof_hash,
            penalty_seconds=lease.penalty_seconds,
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

    def offer(self, unit_id: UnitId) -> Offer:
        return Offer(
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

    def open(self, offer: Offer, seconds: int, salt: int) -> Terms:
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
        self.follower.send(RENTER, self.deployment.market.build_open(terms))
        return terms

    def advance_to(self, time: int) -> None:
        self.anvil.advance(max(1, time - self.anvil.now()))

    def prove(self, terms: Terms, seconds: int) -> None:
        lease = self.follower.state.leases[lease_id(self.follower.domain, terms)]
        proof = CompletionProof(
            lease.lease_id, lease.proof_hash, seconds, 0, ZERO_DIGEST, ZERO_DIGEST, seconds * 3
        )
        self.follower.send(WORKER, self.deployment.market.build_post_proof(terms, proof))
        assert self.follower.state.leases[lease.lease_id].proof_hash == ProofHash(hash_struct(proof))

    def withdraw_all(self) -> None:
        """Everybody takes what is theirs; nothing is left that nobody owns."""
        market, registry, state = self.deployment.market, self.deployment.registry, self.follower.state
        signers = {own(signer): signer for signer in self.anvil.accounts}
        for (token, holder), amount in sorted(state.credits.items()):
            if amount:
                self.follower.send(signers[holder], market.build_withdraw(token, own(account(8))))
        for holder, amount in sorted(state.compensations.items()):
            if amount:
                self.follower.send(signers[holder], registry.build_withdraw_compensation(holder))
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
    send(owner, market.build_set_fee(300))
    send(owner, market.build_set_treasury(own(account(8))))
    send(owner, market.build_allow_token(offer.token, False))
    assert story.follower.state.parameters.allowed_tokens == frozenset()


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
