"""Signs what is to be sent, within what may be spent in a day."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from eth_account.signers.local import LocalAccount

from protocol.fees import Fees
from protocol.outbox import Outbox, OutboxRow, SignedAttempt, worst_wei

DAY_SECONDS: Final = 86_400


class Signing:
    """Not thread-safe. `held`: intents that wait for the spend cap, since the last `release`."""

    def __init__(
        self,
        account: LocalAccount,
        outbox: Outbox,
        chain_id: int,
        spend_cap_wei: int | None,
        clock: Callable[[], float],
    ) -> None:
        self._account = account
        self._outbox = outbox
        self._chain_id = chain_id
        self._spend_cap_wei = spend_cap_wei
        self._clock = clock
        self.held: dict[str, str] = {}

    def sign(self, wanted: Sequence[tuple[OutboxRow, Fees]]) -> list[OutboxRow]:
        """Afterwards the bytes of those that are returned are on disk, and nobody else has seen them.

        In their order: the first that the cap holds back holds back all that follow.
        """
        left_wei = self._left_wei()
        signed: list[tuple[str, SignedAttempt]] = []
        for index, (row, fees) in enumerate(wanted):
            more_wei = row.gas_limit * fees.max_fee_wei + row.call.value - worst_wei(row)
            if left_wei is not None and more_wei > left_wei:
                reason = f"the spend cap of {self._spend_cap_wei} wei in 24 hours is reached"
                self.held.update({later.intent: reason for later, _ in wanted[index:]})
                break
            left_wei = None if left_wei is None else left_wei - more_wei
            signed.append((row.intent, self._attempt(row, fees)))
        return self._outbox.save_signed(signed) if signed else []

    def spent_wei(self) -> int:
        """In 24 hours: what was mined, and at most what was signed and is not."""
        return self._outbox.spent_wei(self._clock() - DAY_SECONDS)

    def _left_wei(self) -> int | None:
        return None if self._spend_cap_wei is None else self._spend_cap_wei - self.spent_wei()

    def _attempt(self, row: OutboxRow, fees: Fees) -> SignedAttempt:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": row.nonce,
            "to": row.call.to,
            "data": row.call.data,
            "value": row.call.value,
            "gas": row.gas_limit,
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.priority_fee_wei,
        }
        signed = self._account.sign_transaction(cast(Any, transaction))
        return SignedAttempt(
            transaction_hash=bytes(signed.hash),
            raw=bytes(signed.raw_transaction),
            nonce=row.nonce,
            max_fee_wei=fees.max_fee_wei,
            priority_fee_wei=fees.priority_fee_wei,
            signed_at=self._clock(),
        )
