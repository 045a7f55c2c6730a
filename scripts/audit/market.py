"""The market's state against the events: offers, leases slot by slot, credits."""

from web3 import Web3

from protocol.contracts import Market
from protocol.ledger import LeaseEntry
from protocol.structs import LeaseState, LeaseStatus, field_names
from protocol.units import ZERO_ADDRESS, to_hex
from scripts.audit.history import History
from scripts.audit.report import Section

HOURS_RELEASED = 1


def check_offers(web3: Web3, history: History, section: Section) -> None:
    """Who lists each offer, or nobody."""
    market, block = Market(web3, history.manifest.market), history.block.number
    for entry in history.state.offers.values():
        expected = entry.offer.provider if entry.listed else ZERO_ADDRESS
        actual = market.listed_by(entry.offer_hash, block)
        section.compare("offer_listing", f"offer {to_hex(entry.offer_hash)}", expected, actual)


def check_lease_slots(web3: Web3, history: History, section: Section) -> None:
    """Every field of every lease's storage, and that its terms give its id."""
    market, block = Market(web3, history.manifest.market), history.block.number
    for entry in history.state.leases.values():
        subject = f"lease {to_hex(entry.lease_id)}"
        section.compare("lease_id", subject, entry.lease_id, market.lease_id_of(entry.terms, block))
        expected, actual = expected_slot(entry), market.lease_state(entry.lease_id, block)
        for name in field_names(LeaseState):
            section.compare(
                "lease_slot", f"{name} of {subject}", getattr(expected, name), getattr(actual, name)
            )


def expected_slot(entry: LeaseEntry) -> LeaseState:
    """What the contract stores of a lease: a tombstone once it is closed, offsets from its start before."""
    if entry.status is LeaseStatus.CLOSED:
        return LeaseState(status=LeaseStatus.CLOSED)
    start = entry.terms.start
    return LeaseState(
        deposit=entry.deposit_units,
        end_offset=entry.end - start,
        settled_seconds=entry.settled_seconds,
        pending_seconds=entry.pending_seconds,
        mature_offset=entry.matures_at - start if entry.pending else 0,
        status=entry.status,
        flags=HOURS_RELEASED if entry.hours_released else 0,
        proof_hash=entry.proof_hash,
        penalty_seconds=entry.penalty_seconds,
    )


def check_credits(web3: Web3, history: History, section: Section) -> None:
    """What every account may withdraw, in every token."""
    market, block = Market(web3, history.manifest.market), history.block.number
    pairs = {(token, account) for token in history.tokens for account in history.accounts}
    for token, account in sorted(pairs | history.state.credits.keys()):
        expected = history.state.credits.get((token, account), 0)
        section.compare("credit", f"{token} of {account}", expected, market.credit_of(token, account, block))
