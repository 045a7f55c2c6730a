"""Which transactions are in the chain, and whether those that were still are."""

import re
from collections.abc import Sequence
from typing import Final

from web3 import Web3

from protocol.batch import rpc_each
from protocol.calls import Call, eth_call
from protocol.chain import Block, read_block, sound
from protocol.errors import RpcError, TransactionReverted
from protocol.outbox import OutboxRow, Receipt
from protocol.units import Address, to_hex

_ERROR_NAME: Final = re.compile(r"[A-Z]\w*(?=\()", re.ASCII)


class ForkWatch:
    """Not thread-safe. Remembers the last head; what a restart forgets is looked at once more."""

    def __init__(self, web3: Web3, depth_blocks: int) -> None:
        self._web3 = web3
        self._depth_blocks = depth_blocks
        self._head: Block | None = None

    def suspects_from(self, newest_inclusion: int | None) -> int | None:
        """Receipts of this block and later ones may be of a branch that is gone. None: nothing has happened.

        Until `settle` the same is said again.
        """
        if newest_inclusion is None:
            return None
        known = self._head
        if known is not None and newest_inclusion < known.number - self._depth_blocks:
            return None
        head = read_block(self._web3, "latest")
        if known is not None and self._holds(known, head):
            self._head = head
            return None
        return max(0, head.number - self._depth_blocks)

    def settle(self) -> None:
        """What was suspect has been looked at. A fork since then is found at the next turn."""
        self._head = read_block(self._web3, "latest")

    def _holds(self, block: Block, head: Block) -> bool:
        """Whether the chain under this head still has the block."""
        if head.number <= block.number:
            return head == block
        return read_block(self._web3, block.number).hash == block.hash


def receipts_of(web3: Web3, rows: Sequence[OutboxRow]) -> dict[str, Receipt]:
    """By intent, of whichever of its transactions was mined. ChainUnavailable, RpcError."""
    asked = [(row.intent, attempt.transaction_hash) for row in rows for attempt in row.attempts]
    # One that was signed before a disk was lost is known by its receipt alone.
    asked += [(row.intent, row.receipt.transaction_hash) for row in rows if row.receipt is not None]
    answers = receipts(web3, [transaction_hash for _, transaction_hash in asked])
    return {intent: found for (intent, _), found in zip(asked, answers, strict=True) if found is not None}


def receipts(web3: Web3, transaction_hashes: Sequence[bytes]) -> list[Receipt | None]:
    """None where a transaction is in no block. ChainUnavailable, RpcError."""
    method = "eth_getTransactionReceipt"
    found: list[Receipt | None] = []
    for answer in rpc_each(web3, method, [[to_hex(each)] for each in transaction_hashes]):
        if isinstance(answer, RpcError):
            raise answer
        with sound(method):
            found.append(None if answer is None else Receipt.of(answer))
    return found


def revert_reason(web3: Web3, call: Call, block_number: int, sender: Address) -> str:
    """Best knowledge: the same call on the state that its block left."""
    try:
        eth_call(web3, call, block_number, sender)
    except TransactionReverted as error:
        return error.message
    except RpcError as error:
        return f"reverted; the node does not say why: {error.message}"
    return "reverted, though it would not any more"


def reverted(row: OutboxRow) -> TransactionReverted:
    """What a FAILED row says, as an error."""
    message = row.error or "reverted"
    name = _ERROR_NAME.match(message)
    return TransactionReverted(
        f"intent {row.intent}: {message}",
        name=name.group() if name else "",
        transaction_hash=row.receipt.transaction_hash if row.receipt else None,
    )
