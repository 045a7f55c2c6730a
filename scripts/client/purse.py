"""A wallet that sends: one key, its outbox on disk, and what it can afford."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.calls import Call
from protocol.contracts import PermitSignature
from protocol.errors import BadInput, TransactionReverted
from protocol.outbox import Receipt, SqliteOutbox
from protocol.permits import sign_permit
from protocol.sender import Sender, SenderSettings
from protocol.units import Address
from scripts.client.chain import Chain

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

WAIT_SECONDS = 120.0
PERMIT_SECONDS = 1200


class Purse:
    """Sends calls of one account and waits for them. `on_receipt` hears the intent and receipt of each."""

    def __init__(
        self,
        chain: Chain,
        account: "LocalAccount",
        data_dir: Path,
        on_receipt: Callable[[str, Receipt], None] | None = None,
    ) -> None:
        """What an earlier process left unconfirmed in the same outbox is brought to its end first."""
        self.chain = chain
        self.account = account
        self._on_receipt = on_receipt
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._outbox = SqliteOutbox(data_dir / "outbox.sqlite")
        # People use the keys of their wallets elsewhere too.
        settings = SenderSettings(shared_key=True)
        self._sender = Sender(chain.web3, account, self._outbox, chain.manifest.chain_id, settings)
        self.address: Address = self._sender.address
        self._finish_earlier()

    def close(self) -> None:
        self._outbox.close()

    def send(self, intent: str, call: Call) -> Receipt:
        """The receipt of the call, mined; an intent that was carried out before is not sent again."""
        self._sender.submit(intent, call)
        receipt = self._sender.wait(intent, WAIT_SECONDS)
        if self._on_receipt is not None:
            self._on_receipt(intent, receipt)
        return receipt

    def require(self, token: Address, needed_units: int, purpose: str) -> None:
        """BadInput, saying what is needed and what is there, where the account holds less."""
        available = self.chain.token(token).balance_of(self.address)
        if available < needed_units:
            show = self.chain.tokens.show
            raise BadInput(
                f"{purpose}: needed {show(token, needed_units)}, available {show(token, available)}"
                f" in {self.address}",
                code="insufficient_funds",
            )

    def pay(
        self,
        intent: str,
        token: Address,
        spender: Address,
        amount_units: int,
        with_permit: Callable[[PermitSignature], Call],
        plain: Call,
    ) -> Receipt:
        """Send a call that takes the amount: one transaction where the token has permits, else two."""
        permit = self._permit(token, spender, amount_units)
        if permit is not None:
            return self.send(intent, with_permit(permit))
        contract = self.chain.token(token)
        if contract.allowance(self.address, spender) < amount_units:
            self.send(f"approve for {intent}", contract.build_approve(spender, amount_units))
        return self.send(intent, plain)

    def _permit(self, token: Address, spender: Address, amount_units: int) -> PermitSignature | None:
        deadline = self.chain.head().timestamp + PERMIT_SECONDS
        try:
            return sign_permit(self.chain.token(token), self.account, spender, amount_units, deadline)
        except (TransactionReverted, BadInput):
            # A token without EIP-2612 has no nonces or no domain separator.
            return None

    def _finish_earlier(self) -> None:
        for row in self._outbox.list_unconfirmed():
            try:
                self._sender.wait(row.intent, WAIT_SECONDS)
            except TransactionReverted:
                continue  # it has ended, and what comes now decides on the state that it left


def fresh_intent(what: str) -> str:
    """An intent that is like no other: for what one may well want to do twice."""
    return f"{what} {time.time_ns()}"
