"""A chain full of leases that were opened, proven, settled and closed: what indexing is measured on."""

from typing import Final

from protocol.accrual import ALWAYS
from protocol.calls import Call
from protocol.structs import Offer, OfferKind, ProofClaim, Terms, Unit
from protocol.units import ZERO_DIGEST, LeaseId, UnitId, pack_name, parse_address
from tests.anvil import Deployment

UNITS: Final = 100
EVENTS_A_LEASE: Final = 4
LEASE_SECONDS: Final = 60
CALLS_A_TRANSACTION: Final = 5
FUNDS: Final = 10**24
BOND: Final = 10**18


def fill(deployment: Deployment, events: int) -> None:
    """At least so many events of ours afterwards; the chain must mine only when it is told to."""
    offers = _offers(deployment)
    rounds = -(-events // (UNITS * EVENTS_A_LEASE))
    for number in range(rounds):
        _rent_all(deployment, offers, number)


def _offers(deployment: Deployment) -> list[Offer]:
    """One for each of the provider's units."""
    anvil, stake, payment = deployment.anvil, deployment.stake_token, deployment.payment_token
    provider, worker, renter = anvil.accounts[1:4]
    own = parse_address(provider.address)
    units = [
        Unit(own, parse_address(worker.address), bytes(32), number.to_bytes(32), pack_name("CPU"), 1, 0)
        for number in range(1, UNITS + 1)
    ]
    receipts = anvil.send_all(
        provider,
        [
            (stake.build_mint(own, FUNDS), b""),
            (stake.build_approve(deployment.registry.address, FUNDS), b""),
            (deployment.registry.build_stake(UNITS * BOND), b""),
            *((deployment.registry.build_register_unit(unit, [unit.node_id]), b"") for unit in units),
        ],
    )
    offers = [_offer(deployment, UnitId(receipt.logs[-1].topics[1])) for receipt in receipts[3:]]
    anvil.send_all(provider, [(deployment.market.build_list(offer), b"") for offer in offers])
    anvil.send_all(
        renter,
        [
            (payment.build_mint(parse_address(renter.address), FUNDS), b""),
            (payment.build_approve(deployment.market.address, FUNDS), b""),
        ],
    )
    return offers


def _offer(deployment: Deployment, unit_id: UnitId) -> Offer:
    return Offer(
        provider=parse_address(deployment.anvil.accounts[1].address),
        unit_id=unit_id,
        gpu_class=pack_name("CPU"),
        gpu_count=1,
        token=deployment.payment_token.address,
        price_per_hour=3_600_000,
        kind=OfferKind.RESERVED,
        weekly_hours=ALWAYS,
        min_seconds=1,
        max_seconds=30 * 24 * 3600,
        notice_seconds=1,
        bond=BOND,
        valid_until=deployment.anvil.now() + 365 * 24 * 3600,
        salt=0,
    )


def _rent_all(deployment: Deployment, offers: list[Offer], number: int) -> None:
    anvil, market = deployment.anvil, deployment.market
    start = anvil.now() + 10
    leases = [_terms(deployment, offer, start, number) for offer in offers]
    _send(deployment, 3, [market.build_open(terms) for terms in leases])
    anvil.advance(start + LEASE_SECONDS - anvil.now())
    claims = [ProofClaim(LEASE_SECONDS, 0, 0)] * CALLS_A_TRANSACTION
    for first in range(0, len(leases), CALLS_A_TRANSACTION):
        some = leases[first : first + CALLS_A_TRANSACTION]
        call = market.build_post_proofs(some, claims[: len(some)], 0, ZERO_DIGEST, ZERO_DIGEST)
        _send_raw(deployment, 2, [call])
    anvil.advance(deployment.manifest.parameters.challenge_seconds + 1)
    _send(deployment, 3, [market.build_close(terms) for terms in leases])


def _terms(deployment: Deployment, offer: Offer, start: int, number: int) -> Terms:
    return Terms(
        offer=offer,
        renter=parse_address(deployment.anvil.accounts[3].address),
        start=start,
        end=start + LEASE_SECONDS,
        max_end=start + LEASE_SECONDS,
        weekly_hours=ALWAYS,
        fee_bps=100,
        policy_hash=ZERO_DIGEST,
        first_order=ZERO_DIGEST,
        gang_id=ZERO_DIGEST,
        previous_lease_id=LeaseId(ZERO_DIGEST),
        salt=number,
    )


def _send(deployment: Deployment, sender: int, calls: list[Call]) -> None:
    market = deployment.market
    _send_raw(
        deployment,
        sender,
        [
            market.build_multicall(calls[first : first + CALLS_A_TRANSACTION])
            for first in range(0, len(calls), CALLS_A_TRANSACTION)
        ],
    )


def _send_raw(deployment: Deployment, sender: int, calls: list[Call]) -> None:
    anvil = deployment.anvil
    anvil.send_all(anvil.accounts[sender], [(call, b"") for call in calls])
