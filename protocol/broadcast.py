"""Hands signed transactions to the node, and reads what it has against them."""

from collections.abc import Callable, Sequence
from typing import Final

from web3 import Web3

from protocol.batch import rpc_each
from protocol.errors import RpcError
from protocol.outbox import OutboxRow
from protocol.units import to_hex

_SENT: Final = ("already known", "already imported", "known transaction", "nonce too low", "alreadyknown")
_CHEAP: Final = ("underpriced", "less than block base fee", "fee too low", "below base fee")
_OCCUPIED: Final = ("replacement", "could not replace")
_POOR: Final = ("insufficient funds", "insufficient balance")


class Broadcaster:
    """Not thread-safe. What it remembers is for pace alone: a restart sends once more than needed."""

    def __init__(self, web3: Web3, clock: Callable[[], float], pause_seconds: float) -> None:
        self._web3 = web3
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._sent_at: dict[bytes, float] = {}
        self._cheap: set[bytes] = set()

    def send(self, rows: Sequence[OutboxRow]) -> dict[str, str]:
        """What the node has against the last attempt of each; those that it has are left out."""
        now = self._clock()
        self._sent_at.update({row.attempts[-1].transaction_hash: now for row in rows})
        raw = [[to_hex(row.attempts[-1].raw)] for row in rows]
        answers = rpc_each(self._web3, "eth_sendRawTransaction", raw)
        refused: dict[str, str] = {}
        for row, answer in zip(rows, answers, strict=True):
            if not isinstance(answer, RpcError) or says(answer.rpc_message, _SENT):
                continue
            refused[row.intent] = answer.rpc_message
            # What keeps a first attempt out is none of ours that we know of: outbidding it were a fight.
            occupied = len(row.attempts) == 1 and says(answer.rpc_message, _OCCUPIED)
            if says(answer.rpc_message, _CHEAP) and not occupied:
                self._cheap.add(row.attempts[-1].transaction_hash)
        return refused

    def is_due(self, row: OutboxRow) -> bool:
        """Whether to send it once more: a node forgets what it holds when it likes."""
        if not row.attempts:
            return False
        return self._clock() - self._sent_at.get(row.attempts[-1].transaction_hash, 0) >= self._pause_seconds

    def is_cheap(self, row: OutboxRow) -> bool:
        """Whether the node wants more for it than the last attempt offers."""
        return row.attempts[-1].transaction_hash in self._cheap

    def forget(self, row: OutboxRow) -> None:
        for attempt in row.attempts:
            self._sent_at.pop(attempt.transaction_hash, None)
            self._cheap.discard(attempt.transaction_hash)


def is_poor(message: str) -> bool:
    """Whether a node says that the account cannot pay."""
    return says(message, _POOR)


def says(message: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in message.lower() for phrase in phrases)
