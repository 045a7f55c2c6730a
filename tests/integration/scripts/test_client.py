"""What the client does on a real chain: offers listed and signed, calendar leases, later ends, acceptance."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.accrual import ALWAYS, scheduled_seconds
from protocol.errors import BadInput, Expired, SignatureInvalid, TransactionReverted
from protocol.events import LeaseOpened, OfferTaken, Settled
from protocol.matching import Schedule, window_of
from protocol.orders import lease_id
from protocol.structs import NO_PROOF, CompletionProof, LeaseState, LeaseStatus, Offer, Terms
from protocol.units import ZERO_DIGEST, Address, UnitId, address_bytes, address_of
from scripts.client import judging, providing, renting
from scripts.client.chain import Chain, chain_of, payment_tokens
from scripts.client.offers import check_signed
from scripts.client.planning import deposit_of, draft_terms
from scripts.client.providing import Devices, OfferDraft, event_of
from scripts.client.purse import Purse
from scripts.client.withdrawals import withdraw_credits, withdraw_fees
from scripts.localnet.gas import function_of
from tests.anvil import Anvil, Deployment, account, deploy, run_anvil

GPU_UNITS, USD_UNITS = 10**18, 10**6
PRICE = 3_600_000  # one base unit of dUSD is 1/1000 of what a second costs


class Street:
    """A provider with a unit, a renter with money, on a chain with a block each second."""

    def __init__(self, deployment: Deployment, chain: Chain, folder: Path) -> None:
        self.deployment, self.chain, self.folder = deployment, chain, folder
        self.purses: dict[int, Purse] = {}
        self.provider, self.renter, self.stranger = self.purse(1), self.purse(3), self.purse(7)
        self.worker = account(2)
        self.mint(self.provider, chain.manifest.stake_token, 1000 * GPU_UNITS)
        self.mint(self.renter, self.token, 1000 * USD_UNITS)
        self.mint(self.stranger, self.token, 1000 * USD_UNITS)
        providing.stake(self.provider, 1000 * GPU_UNITS)
        worker = address_of(address_bytes(self.worker.address))
        devices = Devices("CPU", (b"\x09" * 32,), 1024)
        self.unit_id: UnitId = providing.register_unit(self.provider, worker, devices, "host")

    @property
    def token(self) -> Address:
        return payment_tokens(self.chain.manifest)[0]

    def purse(self, index: int) -> Purse:
        if index not in self.purses:
            self.purses[index] = Purse(self.chain, account(index), self.folder / str(index))
        return self.purses[index]

    def mint(self, purse: Purse, token: Address, amount: int) -> None:
        mint = self.chain.token(token).build_mint(purse.address, amount)
        purse.send(f"mint {token} {amount} {purse.address}", mint)

    def draft(self, hours: int = ALWAYS) -> OfferDraft:
        return OfferDraft(
            unit_id=self.unit_id,
            token=self.token,
            price_per_hour=PRICE,
            weekly_hours=hours,
            min_seconds=30,
            max_seconds=7200,
            notice_seconds=5,
            bond=50 * GPU_UNITS,
            valid_seconds=3600,
        )

    def terms_on(self, offer: Offer, schedule: Schedule) -> Terms:
        window = window_of(offer, renting.next_start(self.chain), schedule)
        fee_bps = self.chain.market.fee_bps(self.token)
        return draft_terms(offer, self.renter.address, window, fee_bps, ZERO_DIGEST, salt=1)

    def state(self, terms: Terms) -> LeaseState:
        return self.chain.market.lease_state(lease_id(self.chain.domain, terms))

    def close(self) -> None:
        for purse in self.purses.values():
            purse.close()
        self.chain.close()


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with run_anvil() as anvil:
        made = _street(anvil, tmp_path_factory.mktemp("wallets"))
        yield made
        made.close()


def _street(anvil: Anvil, folder: Path) -> Street:
    deployment = deploy(anvil)
    return Street(deployment, chain_of(deployment.manifest, anvil.rpc_url), folder)


@pytest.fixture(autouse=True)
def free_unit(street: Street) -> Iterator[None]:
    """Each test finds the unit without booked hours."""
    yield
    _close_all(street)


def _close_all(street: Street) -> None:
    """Afterwards the unit has no booked hours: chain time goes past every lease's last post."""
    anvil = street.deployment.anvil
    anvil.advance(8000)
    for terms in OPENED:
        state = street.chain.market.lease_state(lease_id(street.chain.domain, terms))
        if state.status is LeaseStatus.OPEN:
            anvil.advance(10)
            street.stranger.send(f"close {terms.salt} {terms.start}", street.chain.market.build_close(terms))
    OPENED.clear()


OPENED: list[Terms] = []


def opened(street: Street, terms: Terms, signature: bytes = b"", purse: Purse | None = None) -> LeaseOpened:
    receipt = renting.open_lease(purse or street.renter, terms, signature)
    OPENED.append(terms)
    return event_of(receipt, LeaseOpened, street.chain.manifest)


def test_open_lease__listed_offer__takes_one_transaction_with_the_permit(street: Street) -> None:
    offer = providing.offer_of(street.provider, street.draft())
    street.provider.send("list", street.chain.market.build_list(offer))
    terms = street.terms_on(offer, Schedule(600, 600))
    receipt = renting.open_lease(street.renter, terms)
    OPENED.append(terms)
    raw = street.deployment.anvil.call("eth_getTransactionByHash", "0x" + receipt.transaction_hash.hex())
    assert function_of(bytes.fromhex(raw["input"][2:])) == "usePermit + open"
    assert (
        street.chain.token(street.token).allowance(street.renter.address, street.chain.manifest.market) == 0
    )
    assert street.state(terms).deposit == deposit_of(terms) == 600_000


def test_open_lease__signed_offer__needs_no_list(street: Street) -> None:
    signed = providing.sign_offer(street.provider, street.draft())
    check_signed(street.chain, signed)
    assert street.chain.market.listed_by(signed.offer_hash) == "0x" + "00" * 20
    terms = street.terms_on(signed.offer, Schedule(600, 600))
    with pytest.raises(TransactionReverted, match="OfferNotListed"):
        renting.open_lease(street.renter, replace(terms, salt=2))
    receipt = renting.open_lease(street.renter, terms, signed.signature)
    OPENED.append(terms)
    assert event_of(receipt, OfferTaken, street.chain.manifest).offer == signed.offer


def test_check_signed__tampered_or_cancelled__is_refused(street: Street) -> None:
    signed = providing.sign_offer(street.provider, street.draft())
    cheaper = replace(signed, offer=replace(signed.offer, price_per_hour=1))
    with pytest.raises(SignatureInvalid):
        check_signed(street.chain, cheaper)
    with pytest.raises(Expired, match="valid until"):
        draft = replace(street.draft(), valid_seconds=-1)
        check_signed(street.chain, providing.sign_offer(street.provider, draft))
    providing.cancel_salt(street.provider, signed.offer.salt)
    with pytest.raises(BadInput, match="has cancelled it"):
        check_signed(street.chain, signed)
    terms = street.terms_on(signed.offer, Schedule(600, 600))
    with pytest.raises(TransactionReverted, match="OfferCancelled"):
        renting.open_lease(street.renter, terms, signed.signature)


def test_raise_epoch__earlier_offers__are_void(street: Street) -> None:
    signed = providing.sign_offer(street.provider, street.draft())
    epoch = providing.raise_epoch(street.provider)
    assert street.chain.registry.stake_of(street.provider.address).epoch == epoch
    with pytest.raises(BadInput, match=f"its provider is in epoch {epoch}"):
        check_signed(street.chain, signed)
    terms = street.terms_on(signed.offer, Schedule(600, 600))
    with pytest.raises(TransactionReverted, match="EpochMismatch"):
        renting.open_lease(street.renter, terms, signed.signature)
    check_signed(street.chain, providing.sign_offer(street.provider, street.draft()))


def test_open_lease__calendar__pays_for_its_hours_alone(street: Street) -> None:
    """From within an hour to within another, on every second hour of the week."""
    odd = sum(1 << index for index in range(0, 168, 2))
    signed = providing.sign_offer(street.provider, street.draft())
    terms = street.terms_on(signed.offer, Schedule(7200, 7200, weekly_hours=odd))
    scheduled = scheduled_seconds(odd, terms.start, terms.end)
    assert 0 < scheduled < 7200
    event = opened(street, terms, signed.signature)
    assert event.deposit == scheduled * PRICE // 3600
    _, booked = street.chain.registry.unit_of(street.unit_id)
    assert booked == terms.weekly_hours
    assert booked & ~odd == 0


def test_move_end__within_and_beyond_max_end__asks_the_right_call(street: Street) -> None:
    signed = providing.sign_offer(street.provider, street.draft())
    terms = street.terms_on(signed.offer, Schedule(600, 1200))
    opened(street, terms, signed.signature)
    end = renting.end_of(street.chain, terms)
    renting.move_end(street.stranger, terms, end + 600)
    assert renting.end_of(street.chain, terms) == terms.max_end
    with pytest.raises(TransactionReverted, match="OnlyRenter"):
        renting.move_end(street.stranger, terms, end + 700)
    renting.move_end(street.renter, terms, end + 700)
    assert street.state(terms).deposit == deposit_of(terms, end + 700)


def test_accept_proof__pending__pays_at_once(street: Street) -> None:
    chain, anvil = street.chain, street.deployment.anvil
    signed = providing.sign_offer(street.provider, street.draft())
    terms = street.terms_on(signed.offer, Schedule(600, 600))
    opened(street, terms, signed.signature)
    with pytest.raises(BadInput, match="no proof is pending"):
        renting.accept_proof(street.renter, terms)
    anvil.advance(100)
    proof = CompletionProof(lease_id(chain.domain, terms), NO_PROOF, 50, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 0)
    anvil.send(street.worker, chain.market.build_post_proof(terms, proof))
    receipt = renting.accept_proof(street.renter, terms)
    event = event_of(receipt, Settled, chain.manifest)
    assert (event.settled_seconds, event.pay, event.fee) == (50, 49_500, 500)
    assert withdraw_credits(street.provider, [street.token], street.provider.address) == {
        street.token: 49_500
    }
    fees = withdraw_fees(street.stranger, [street.token])
    assert fees == {street.token: 500}
    assert chain.token(street.token).balance_of(street.deployment.treasury) == 500


def test_deposit_bond__member__becomes_active(street: Street) -> None:
    quorum, bond = street.chain.quorum, street.chain.manifest.parameters.member_bond
    owner = street.purse(0)
    owner.send("add member", quorum.build_add_member(street.provider.address, street.provider.address))
    street.mint(street.stranger, street.chain.manifest.stake_token, bond)
    judging.deposit_bonds(street.stranger, [0], bond)
    street.deployment.anvil.advance(3)
    assert quorum.active_members() == 1
    with pytest.raises(BadInput, match="bonds of the quorum: needed"):
        judging.deposit_bonds(street.stranger, [0], bond)
