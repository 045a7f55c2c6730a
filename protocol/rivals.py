"""Tells whether somebody else sends transactions with our key.

A rival is whoever spent a nonce while we were running, in a transaction that no row of the outbox knows, for
another call than the row that has the nonce. The same call is our own, signed before a disk was lost: nonces
are never given to another intent. What was spent before this process began may be of rows that were lost.
"""

from collections.abc import Callable

from web3 import Web3

from protocol.errors import KeyContested
from protocol.inclusion import receipts
from protocol.outbox import Outbox, OutboxRow, Receipt
from protocol.spent import spender_of
from protocol.units import Address, to_hex


class Rivals:
    """Not thread-safe. Once contested, a key stays so for this process: whoever runs it must look."""

    def __init__(
        self,
        web3: Web3,
        account: Address,
        outbox: Outbox,
        clock: Callable[[], float],
        patience_seconds: float,
        first_nonce: int,
    ) -> None:
        """`first_nonce`: all before it was spent, or given to a row, before this process began."""
        self._web3 = web3
        self._account = account
        self._outbox = outbox
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._accounted = first_nonce
        self._taken_since: dict[str, float] = {}
        self._contested: str | None = None

    @property
    def contested(self) -> bool:
        return self._contested is not None

    def require_none(self) -> None:
        """KeyContested since the first rival was seen."""
        if self._contested is not None:
            raise KeyContested(self._contested)

    def contest(self, message: str) -> None:
        """KeyContested, now and from now on."""
        self._contested = f"key of {self._account}: somebody else sends with it: {message}"
        self.require_none()

    def check_spent(self, mined: int) -> None:
        """KeyContested unless each nonce below `mined`, the account's count, is of a row."""
        if mined <= self._accounted:
            return
        missing = mined - self._accounted - self._outbox.count_nonces(self._accounted, mined)
        if missing > 0:
            self.contest(f"of nonces {self._accounted} to {mined - 1}, {missing} have no row here")
        self._accounted = mined

    def waited(self, row: OutboxRow) -> bool:
        """Whether its nonce has been spent without a receipt for so long that no lagging node explains it."""
        since = self._taken_since.setdefault(row.intent, self._clock())
        return self._clock() - since >= self._patience_seconds

    def own_receipt(self, row: OutboxRow) -> tuple[Receipt | None, str]:
        """The receipt of the row's own call where that is what its nonce went to; and who spent it."""
        spender = spender_of(self._web3, self._account, row.nonce)
        if spender is None:
            return None, "a transaction that the node does not find any more"
        own = spender.call == row.call
        receipt = receipts(self._web3, [spender.transaction_hash])[0] if own else None
        return receipt, to_hex(spender.transaction_hash)

    def forget(self, row: OutboxRow) -> None:
        self._taken_since.pop(row.intent, None)
