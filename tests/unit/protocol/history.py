"""A small history of the contracts, event by event with its block's time, as they emit it: one lease."""

from collections.abc import Iterator
from dataclasses import replace

from eth_abi.abi import encode as abi_encode

from protocol import events as ev
from protocol.accrual import compensation_units, deposit_units, fee_units, pay_units
from protocol.keccak import keccak256
from protocol.ledger import Parameters
from protocol.orders import lease_id
from protocol.structs import NO_PROOF, CompletionProof, LeaseTerms, NoticeReason, Offer, Terms, Unit
from protocol.typed_data import hash_struct
from protocol.units import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    BlockNumber,
    OfferHash,
    ProofHash,
    UnitId,
    address_of,
    pack_name,
)
from tests.unit.protocol.parties import DOMAIN, OFFER, PROVIDER, RENTER, START, TERMS, TOKEN, WORKER

TREASURY = address_of(b"\x55" * 20)
COURT = address_of(b"\x66" * 20)
PROVIDER_ADDRESS, RENTER_ADDRESS = Address(PROVIDER.address), Address(RENTER.address)
GPU_IDS = (b"\x01" * 32, b"\x02" * 32)
UNIT = Unit(
    provider=PROVIDER_ADDRESS,
    worker=Address(WORKER.address),
    encryption_key=bytes(32),
    node_id=pack_name("node"),
    gpu_class=pack_name("CPU"),
    gpu_count=2,
    vram_mib=0,
)
UNIT_ID = UnitId(
    keccak256(
        abi_encode(("address", "bytes32", "bytes32[]"), (PROVIDER_ADDRESS, UNIT.node_id, list(GPU_IDS)))
    )
)
OFFERED: Offer = replace(OFFER, unit_id=UNIT_ID, gpu_count=2)
OFFER_HASH = OfferHash(hash_struct(OFFERED))
LEASED: Terms = replace(TERMS, offer=OFFERED)
LEASE_ID = lease_id(DOMAIN, LEASED)
PRICE = OFFERED.price_per_hour
DEPOSIT = deposit_units(PRICE, 3600)
CHALLENGE, GRACE, ANSWER, UNBONDING = 10, 20, 15, 30
PARAMETERS = Parameters(DOMAIN, COURT, CHALLENGE, GRACE, ANSWER, UNBONDING)
NOTICED_END = START + 1000 + OFFERED.notice_seconds  # the provider's notice comes at START + 1000
PENALTY = START + 3600 - NOTICED_END
SERVED = 800


def proof(seconds: int, previous: ProofHash) -> CompletionProof:
    return CompletionProof(LEASE_ID, previous, seconds, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 0)


FIRST = proof(500, NO_PROOF)
FIRST_HASH = ProofHash(hash_struct(FIRST))
SECOND = proof(SERVED, FIRST_HASH)
SECOND_HASH = ProofHash(hash_struct(SECOND))
GROSS = (pay_units(PRICE, 500), pay_units(PRICE, SERVED))
FEES = (fee_units(GROSS[0], 100), fee_units(GROSS[1], 100))
COMPENSATION = compensation_units(OFFERED.bond, NOTICED_END - START + PENALTY, SERVED)
REFUND = DEPOSIT - GROSS[1]
CLOSING = NOTICED_END + GRACE + 1


def positions() -> Iterator[ev.LogPosition]:
    number = 0
    while True:
        number += 1
        yield ev.LogPosition(BlockNumber(number), 0, bytes([number]) * 32, bytes([number]) * 32)


def history() -> list[tuple[ev.Event, int]]:
    """Set-up, one lease that its provider ends early, all its money, and the stake taken out at last."""
    at = positions()
    set_up: list[tuple[ev.Event, int]] = [
        (ev.OwnershipTransferred(next(at), ZERO_ADDRESS, PROVIDER_ADDRESS), START - 900),
        (ev.TreasuryChanged(next(at), TREASURY), START - 900),
        (ev.TokenSet(next(at), TOKEN, True, 100), START - 890),
        (ev.Staked(next(at), PROVIDER_ADDRESS, 5000), START - 880),
        (ev.UnitRegistered(next(at), UNIT_ID, PROVIDER_ADDRESS, UNIT, GPU_IDS), START - 870),
        (ev.OfferListed(next(at), OFFER_HASH, PROVIDER_ADDRESS, OFFERED), START - 860),
    ]
    return [*set_up, *lease(at)]


def lease(at: Iterator[ev.LogPosition]) -> list[tuple[ev.Event, int]]:
    """Opened, proven twice, ended by notice, closed; then all its money."""
    pay = (GROSS[0] - FEES[0], GROSS[1] - FEES[1] - (GROSS[0] - FEES[0]))
    fee = (FEES[0], FEES[1] - FEES[0])
    freed = 5000 - COMPENSATION
    return [
        (
            ev.LeaseOpened(
                next(at),
                LEASE_ID,
                RENTER_ADDRESS,
                PROVIDER_ADDRESS,
                OFFER_HASH,
                LeaseTerms.of(LEASED),
                DEPOSIT,
            ),
            START - 100,
        ),
        (ev.OfferUnlisted(next(at), OFFER_HASH, PROVIDER_ADDRESS), START - 50),
        (ev.UnbondingStarted(next(at), PROVIDER_ADDRESS, 1000, START - 40 + UNBONDING), START - 40),
        (ev.UnbondingCancelled(next(at), PROVIDER_ADDRESS, 1000), START - 30),
        (ev.WorkerRotated(next(at), UNIT_ID, TREASURY, b"\x07" * 32), START - 20),
        (ev.ProofPosted(next(at), LEASE_ID, FIRST_HASH, FIRST, START + 600 + CHALLENGE), START + 600),
        (ev.Settled(next(at), LEASE_ID, 500, pay[0], fee[0]), START + 700),
        (
            ev.NoticeGiven(
                next(at),
                LEASE_ID,
                PROVIDER_ADDRESS,
                NOTICED_END,
                PENALTY,
                NoticeReason.MAINTENANCE,
                ZERO_DIGEST,
            ),
            START + 1000,
        ),
        (ev.ProofPosted(next(at), LEASE_ID, SECOND_HASH, SECOND, NOTICED_END + CHALLENGE), NOTICED_END),
        (ev.HoursReleased(next(at), LEASE_ID, UNIT_ID), NOTICED_END + 1),
        (ev.UnitRetired(next(at), UNIT_ID, PROVIDER_ADDRESS), NOTICED_END + 2),
        (ev.Settled(next(at), LEASE_ID, SERVED, pay[1], fee[1]), CLOSING),
        (ev.LeaseClosed(next(at), LEASE_ID, SERVED, REFUND, COMPENSATION), CLOSING),
        (ev.Withdrawn(next(at), TOKEN, PROVIDER_ADDRESS, TREASURY, sum(pay)), CLOSING + 1),
        (ev.FeesWithdrawn(next(at), TOKEN, TREASURY, sum(fee)), CLOSING + 2),
        (ev.Withdrawn(next(at), TOKEN, RENTER_ADDRESS, RENTER_ADDRESS, REFUND), CLOSING + 3),
        (ev.CompensationWithdrawn(next(at), RENTER_ADDRESS, RENTER_ADDRESS, COMPENSATION), CLOSING + 4),
        (ev.UnbondingStarted(next(at), PROVIDER_ADDRESS, freed, CLOSING + 5 + UNBONDING), CLOSING + 5),
        (ev.StakeWithdrawn(next(at), PROVIDER_ADDRESS, TREASURY, freed), CLOSING + 5 + UNBONDING),
    ]
