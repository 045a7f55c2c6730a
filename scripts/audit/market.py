"""The market's state against the events: offers, leases and orders slot by slot, credits, fees, nonces."""

from dataclasses import replace

from web3 import Web3

from protocol.contracts import Market
from protocol.events import FailedOver, OrderPosted
from protocol.ledger import LeaseEntry
from protocol.structs import LeaseFlag, LeaseState, LeaseStatus, OfferKind, PostedOrder, field_names
from protocol.units import ZERO_ADDRESS, to_hex
from scripts.audit.history import History
from scripts.audit.report import Section


def check_offers(web3: Web3, history: History, section: Section) -> None:
    """Who lists each offer, or nobody; and which salts of signed ones were cancelled."""
    market, block = Market(web3, history.manifest.market), history.block.number
    cancelled = history.state.cancelled_salts
    signed = {(entry.offer.provider, entry.offer.salt) for entry in history.state.offers.values()}
    for provider, salt in sorted(cancelled | signed):
        actual = market.salt_cancelled(provider, salt, block)
        section.compare("salt", f"{salt} of {provider}", (provider, salt) in cancelled, actual)
    listers = market.listers_of(history.state.offers, block)
    for entry, actual in zip(history.state.offers.values(), listers, strict=True):
        expected = entry.offer.provider if entry.listed else ZERO_ADDRESS
        section.compare("offer_listing", f"offer {to_hex(entry.offer_hash)}", expected, actual)


def check_lease_slots(web3: Web3, history: History, section: Section) -> None:
    """Every field of every lease's storage, its order's, and that its terms give its id."""
    market, block = Market(web3, history.manifest.market), history.block.number
    ordered = {timed.event.lease_id for timed in history.events if isinstance(timed.event, OrderPosted)}
    moved_on = {timed.event.lease_id for timed in history.events if isinstance(timed.event, FailedOver)}
    leases = list(history.state.leases.values())
    lease_ids = [entry.lease_id for entry in leases]
    found = zip(
        leases,
        market.lease_ids_of((entry.terms for entry in leases), block),
        market.lease_states(lease_ids, block),
        market.posted_orders_of(lease_ids, block),
        strict=True,
    )
    for entry, lease_id, actual, order in found:
        subject = f"lease {to_hex(entry.lease_id)}"
        section.compare("lease_id", subject, entry.lease_id, lease_id)
        expected = expected_slot(entry, entry.lease_id in ordered, entry.lease_id in moved_on)
        if entry.terms.offer.kind is OfferKind.IDLE and entry.failed_over:
            # No event tells whether it failed over by an outage or by a yield.
            expected = replace(expected, flags=expected.flags | actual.flags & LeaseFlag.PROVIDER_FAILED)
        for name in field_names(LeaseState):
            section.compare(
                "lease_slot", f"{name} of {subject}", getattr(expected, name), getattr(actual, name)
            )
        section.compare("posted_order", subject, expected_order(entry), order)


def expected_order(entry: LeaseEntry) -> PostedOrder:
    """What the contract stores of the order that waits, and of those that waited too long."""
    if entry.status is LeaseStatus.CLOSED:
        return PostedOrder()
    return PostedOrder(entry.posted_order, entry.answer_within, entry.lost_seconds)


def expected_slot(entry: LeaseEntry, is_ordered: bool, has_moved_on: bool) -> LeaseState:
    """What the contract stores of a lease: offsets from its start, and a tombstone once it is closed."""
    failed = LeaseFlag.PROVIDER_FAILED if entry.provider_failed else 0
    if entry.status is LeaseStatus.CLOSED:
        return LeaseState(status=LeaseStatus.CLOSED, flags=failed)
    start = entry.terms.start
    return LeaseState(
        deposit=entry.deposit_units,
        end_offset=entry.end - start,
        settled_seconds=entry.settled_seconds,
        pending_seconds=entry.pending_seconds,
        mature_offset=entry.matures_at - start if entry.pending else 0,
        open_disputes=entry.open_disputes,
        status=entry.status,
        flags=failed | _other_flags(entry, is_ordered, has_moved_on),
        proof_hash=entry.proof_hash,
        renter_override=ZERO_ADDRESS if entry.transfers == 0 else entry.renter,
        penalty_seconds=entry.penalty_seconds,
        last_post_offset=entry.moved_last_post - start if entry.moved_last_post else 0,
        hops=entry.hops,
        transfers=entry.transfers,
    )


def _other_flags(entry: LeaseEntry, is_ordered: bool, has_moved_on: bool) -> int:
    amended = entry.penalty_seconds or entry.moved_last_post or entry.hops or entry.transfers
    flags = (
        (LeaseFlag.HOURS_RELEASED, entry.hours_released),
        (LeaseFlag.AMENDED, amended),
        (LeaseFlag.CLOSING, entry.closing),
        (LeaseFlag.BOND_SLASHED, entry.bond_slashed),
        (LeaseFlag.ORDERED, is_ordered),
        (LeaseFlag.FAILED_OVER, entry.failed_over),
        (LeaseFlag.FAILED_OVER, has_moved_on),
    )
    return sum(int(flag) for flag, is_set in flags if is_set)


def check_credits(web3: Web3, history: History, section: Section) -> None:
    """What every account may withdraw, in every token; what the treasury may; nonces of relayed calls."""
    market, block = Market(web3, history.manifest.market), history.block.number
    pairs = {(token, account) for token in history.tokens for account in history.accounts}
    for token, account in sorted(pairs | history.state.credits.keys()):
        expected = history.state.credits.get((token, account), 0)
        section.compare("credit", f"{token} of {account}", expected, market.credit_of(token, account, block))
    for token in history.tokens:
        section.compare("fees", token, history.state.fees.get(token, 0), market.fees_of(token, block))
    for account in history.accounts:
        expected = history.state.relay_nonces.get(account, 0)
        section.compare("relay_nonce", account, expected, market.relay_nonce(account, block))
