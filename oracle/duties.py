"""Work that one oracle at a time does, however many run on one database."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from oracle.store import duties
from oracle.store.engine import Store, Transaction
from protocol.errors import DutyLost

log = structlog.get_logger(__name__)


class Duty:
    """A lease of one row. What is written through `store` is written by its holder or not at all.

    A store that is not shared has one oracle by its folder's lock, which holds every duty. One thread.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        holder: str,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plain = store
        self._name = name
        self._holder = holder
        self._seconds = seconds
        self._monotonic = monotonic
        self._fencing_token: int | None = None
        self._renew_at = 0.0
        self._held_since = monotonic()
        self.store = store.guarded(self._check) if store.shared else store

    @property
    def held_seconds(self) -> float:
        """For how long it has been held without a break."""
        return self._monotonic() - self._held_since

    def hold(self) -> bool:
        """Takes or renews it. False: another holds it, and the work is not ours now."""
        if not self._plain.shared or (self._fencing_token is not None and self._monotonic() < self._renew_at):
            return True
        with self._plain.write() as transaction:
            token = self._fencing_token
            if token is not None and not duties.renew(transaction, self._name, token, self._seconds):
                token = None
            taken = token is None
            if taken:
                token = duties.take(transaction, self._name, self._holder, self._seconds)
        self._note(token, taken)
        return token is not None

    def give_up(self) -> None:
        """At a clean stop."""
        if self._fencing_token is None:
            return
        with self._plain.write() as transaction:
            duties.give_up(transaction, self._name, self._fencing_token)
        self._fencing_token = None

    def _check(self, transaction: Transaction) -> None:
        """The fence: the row is ours until the transaction ends. DutyLost."""
        token = self._fencing_token
        if token is None or not duties.renew(transaction, self._name, token, self._seconds):
            self._fencing_token = None
            raise DutyLost(f"{self._name}: expected fencing token {token}, another process took over")

    def _note(self, token: int | None, taken: bool) -> None:
        now = self._monotonic()
        if self._fencing_token is not None and taken:
            log.warning("duty_lost", duty=self._name, fencing_token=self._fencing_token)
        if token is not None and taken:
            log.info("duty_taken", duty=self._name, fencing_token=token)
            self._held_since = now
        self._fencing_token = token
        self._renew_at = now + self._seconds / 3


def on_duty(
    duty: Duty, turn: Callable[[], bool], otherwise: Callable[[], None] = lambda: None
) -> Callable[[], bool]:
    """A turn that is taken while the duty is held; else what is done instead."""

    def taken() -> bool:
        if duty.hold():
            return turn()
        otherwise()
        return False

    return taken
