"""Reputations, computed out of the chain alone, and what an oracle says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from web3 import Web3

from protocol import ledger
from protocol.chain import read_block
from protocol.errors import InvariantBroken
from protocol.ledger import LedgerState, Parameters
from protocol.ledger.reputation import scores
from protocol.market_bodies import ReputationsBody
from protocol.reputation import score_units
from protocol.units import Address
from scripts.audit.history import History
from scripts.audit.report import NotChecked, Reputation, Section

Pair = tuple[Address, Address]


def reputations_of(told: History) -> tuple[Reputation, ...]:
    """Sorted by provider and token."""
    weights = scores(told.state.customs.values())
    now = told.block.timestamp
    return tuple(
        Reputation(*key, weight, score_units(weight, now)) for key, weight in sorted(weights.items())
    )


def check_reputations(
    web3: Web3, told: History, pages: Sequence[ReputationsBody], section: Section
) -> list[NotChecked]:
    """Compares an oracle's scores, each with the chain as of the block that the oracle has read up to."""
    numbers = {page.block_number for page in pages}
    if len(numbers) != 1:
        return [NotChecked("reputations of an oracle", "it went on to another block meanwhile")]
    number = numbers.pop()
    if number > told.block.number:
        return [
            NotChecked("reputations of an oracle", f"the oracle is at block {number}, beyond the one audited")
        ]
    timestamp = read_block(web3, number).timestamp
    section.compare("reputation_block", f"time of block {number}", timestamp, pages[0].block_timestamp)
    said = {
        (Address(item.provider), Address(item.token)): item for page in pages for item in page.reputations
    }
    weights = scores(_state_at(told, number).customs.values())
    for key in sorted(weights.keys() | said.keys()):
        _compare(key, weights, said.get(key), timestamp, section)
    return []


def _compare(key: Pair, weights: Mapping[Pair, int], said: Any, now: int, section: Section) -> None:
    weight = weights.get(key, 0)
    expected = (weight, score_units(weight, now))
    actual = (0, 0) if said is None else (said.weight, said.score_units)
    provider, token = key
    section.compare("reputation", f"weight and score of {provider} in {token}", expected, actual)


def _state_at(told: History, block_number: int) -> LedgerState:
    """The ledger after that block. What it refuses was reported when the history was read."""
    if block_number == told.block.number:
        return told.state
    state = LedgerState.empty(Parameters.of(told.manifest))
    for timed in told.events:
        if timed.event.position.block_number > block_number:
            break
        try:
            state.merge(ledger.apply(state, timed.event, timed.timestamp))
        except InvariantBroken:
            continue
    return state
