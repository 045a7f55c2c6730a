"""Which transaction of an account spent a nonce: what nodes do not say, found by bisection over blocks."""

from dataclasses import dataclass
from typing import Any

from web3 import Web3

from protocol.calls import Call
from protocol.chain import rpc, rpc_integer, sound
from protocol.errors import RpcError
from protocol.units import Address, BlockNumber, address_of


@dataclass(frozen=True, slots=True)
class Spender:
    """The transaction that a nonce went to; `call` is None where it created a contract."""

    transaction_hash: bytes
    block_number: BlockNumber
    call: Call | None


def spender_of(web3: Web3, account: Address, nonce: int) -> Spender | None:
    """None: not spent, or so long ago that the node has forgotten those states. ChainUnavailable."""
    head = rpc_integer(web3, "eth_blockNumber", [])
    try:
        number = _block_of(web3, account, nonce, head)
    except RpcError:
        return None
    if number is None:
        return None
    block = rpc(web3, "eth_getBlockByNumber", [hex(number), True])
    with sound("eth_getBlockByNumber"):
        for transaction in block["transactions"]:
            if int(transaction["nonce"], 16) == nonce and _address(transaction["from"]) == account:
                return _spender(transaction, number)
    return None  # reorganised meanwhile


def _block_of(web3: Web3, account: Address, nonce: int, head: int) -> int | None:
    """The first block after which the account's count is above the nonce."""

    def spent_by(block: int) -> bool:
        return rpc_integer(web3, "eth_getTransactionCount", [account, hex(block)]) > nonce

    if not spent_by(head):
        return None
    # From the head backwards in growing steps: old states are dear, or gone.
    step, after = 1, head
    while (before := max(after - step, 0)) and spent_by(before):
        after, step = before, 2 * step
    while after - before > 1:
        middle = (before + after) // 2
        if spent_by(middle):
            after = middle
        else:
            before = middle
    return after


def _spender(transaction: dict[str, Any], number: int) -> Spender:
    to = transaction["to"]
    data, value = bytes.fromhex(transaction["input"][2:]), int(transaction["value"], 16)
    call = None if to is None else Call(_address(to), data, value)
    return Spender(bytes.fromhex(transaction["hash"][2:]), BlockNumber(number), call)


def _address(text: str) -> Address:
    return address_of(bytes.fromhex(text[2:]))
