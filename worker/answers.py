"""Answers orders that renters posted on-chain: what waits for an answer too long is time that nobody pays."""

from typing import Final

import structlog

from protocol.contracts import Market
from protocol.errors import TransactionReverted
from protocol.sender import Sender
from protocol.structs import NO_ORDER
from protocol.units import to_hex
from worker.journal import AttemptState, Journal
from worker.leases import LeaseView

_log: Final = structlog.get_logger(__name__)


class Answers:
    """Not thread-safe: whoever sends the worker's transactions calls it."""

    def __init__(self, market: Market, journal: Journal, sender: Sender, answer_seconds: int) -> None:
        self._market = market
        self._journal = journal
        self._sender = sender
        self._answer_seconds = answer_seconds

    def give(self, view: LeaseView) -> None:
        """Afterwards an answer is on its way, where one is due: yes, where the order has come here too.

        RetryableError where the chain takes none now.
        """
        posted = view.posted_order
        if posted.order_digest == NO_ORDER:
            return
        attempts = self._journal.attempts.of_job(posted.order_digest)
        if not attempts and view.scheduled_so_far < posted.answer_within - self._answer_seconds // 4:
            return  # it may still arrive
        accepted = any(row.state is not AttemptState.REFUSED for row in attempts)
        call = self._market.build_answer_order(view.terms, posted.order_digest, accepted)
        what = "accept" if accepted else "refuse"
        intent = f"{what}/{to_hex(view.lease_id)}/{to_hex(posted.order_digest)}/{posted.answer_within}"
        try:
            self._sender.submit(intent, call)
        except TransactionReverted as error:
            # Answered meanwhile, or the lease has changed hands.
            _log.info("answer_refused", order_digest=to_hex(posted.order_digest), reason=error.message)
            return
        _log.info("order_answered", order_digest=to_hex(posted.order_digest), accepted=accepted)
