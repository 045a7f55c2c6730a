"""What to offer for gas: decisions on what the chain asks and what was offered before."""

from dataclasses import dataclass

from web3 import Web3

from protocol.chain import rpc, rpc_integer, sound
from protocol.errors import RpcError
from protocol.units import BlockNumber


@dataclass(frozen=True, slots=True)
class FeeRules:
    """`max_fee_cap_wei`: what is offered for one gas, at most."""

    bump_percent: int = 25  # nodes demand 10
    min_priority_fee_wei: int = 10**8
    max_fee_cap_wei: int = 2 * 10**12


@dataclass(frozen=True, slots=True)
class Fees:
    """Offer for one gas: at most `max_fee_wei` in all, of which `priority_fee_wei` above the base fee."""

    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class FeeMarket:
    """What the latest block asked for one gas, and the tip that the node suggests."""

    block_number: BlockNumber
    base_fee_wei: int
    suggested_priority_wei: int


def read_market(web3: Web3) -> FeeMarket:
    """ChainUnavailable, RpcError."""
    block = rpc(web3, "eth_getBlockByNumber", ["latest", False])
    with sound("eth_getBlockByNumber"):
        number, base_fee = BlockNumber(int(block["number"], 16)), int(block["baseFeePerGas"], 16)
    try:
        suggested = rpc_integer(web3, "eth_maxPriorityFeePerGas", [])
    except RpcError:
        suggested = 0  # not every node has the method; the minimum stands
    return FeeMarket(number, base_fee, suggested)


def first_fees(market: FeeMarket, rules: FeeRules) -> Fees:
    """Room for the base fee to double, below the cap."""
    priority = max(rules.min_priority_fee_wei, market.suggested_priority_wei)
    max_fee = min(2 * market.base_fee_wei + priority, rules.max_fee_cap_wei)
    return Fees(max_fee, min(priority, max_fee))


def better_fees(market: FeeMarket, rules: FeeRules, last: Fees) -> Fees | None:
    """What a node takes in place of `last`. None: the cap forbids it."""
    first = first_fees(market, rules)
    priority = max(first.priority_fee_wei, raised(last.priority_fee_wei, rules.bump_percent))
    needed = max(priority, raised(last.max_fee_wei, rules.bump_percent))
    max_fee = min(max(first.max_fee_wei, needed), rules.max_fee_cap_wei)
    return Fees(max_fee, priority) if max_fee >= needed else None


def raised(value: int, percent: int) -> int:
    """By so many percent, rounded up."""
    return value + value * percent // 100 + 1
