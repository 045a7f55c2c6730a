"""The worker's pulse: reads its leases from the chain each turn, and signs a heartbeat under each while it
serves.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from protocol import link
from protocol.accrual import HEARTBEAT_SECONDS, scheduled_seconds
from protocol.errors import RetryableError
from protocol.signed import SignedHeartbeat
from protocol.structs import Heartbeat
from protocol.typed_data import Domain, Signer, sign
from protocol.units import UnitId
from worker.inventory import GpuInventory, InventoryError
from worker.journal import Journal
from worker.leases import LeaseBook, LeaseView

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PulseSettings:
    heartbeat_seconds: float
    poll_seconds: float


class Pulse:
    """Runs in a thread of its own."""

    def __init__(
        self,
        book: LeaseBook,
        journal: Journal,
        inventory: GpuInventory,
        unit_gpus: frozenset[bytes],
        domain: Domain,
        account: Signer,
        unit_id: UnitId,
        settings: PulseSettings,
        *,
        send: Callable[[link.Heartbeat], None],
        leases_changed: Callable[[tuple[LeaseView, ...]], None],
    ) -> None:
        self._book = book
        self._journal = journal
        self._inventory = inventory
        self._unit_gpus = unit_gpus
        self._domain = domain
        self._account = account
        self._unit_id = unit_id
        self._settings = settings
        self._send = send
        self._leases_changed = leases_changed
        self._joules = inventory.energy_joules()
        self._last: dict[bytes, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. A node that does not answer costs seconds that nobody is paid for, and no more."""
        while not stop.is_set():
            try:
                self.turn()
            except RetryableError as error:
                _log.warning("pulse_missed", code=error.code, reason=error.message)
            stop.wait(self._settings.poll_seconds)

    def turn(self) -> None:
        views = self._book.turn()
        self._leases_changed(views)
        due = [view for view in views if self._is_due(view)]
        if due and self._devices_answer():
            for view in due:
                self._beat(view)

    def _is_due(self, view: LeaseView) -> bool:
        """Also once after the end, so that the last seconds before it are covered."""
        now = view.block.timestamp
        last = self._last.get(view.lease_id)
        if last is None:
            last = max(self._journal.leases.heartbeat_timestamps(view.lease_id), default=0)
            self._last[view.lease_id] = last
        if not covers_anything(view) or last >= min(now, view.end):
            return False
        return now - last >= self._settings.heartbeat_seconds or now >= view.end

    def _devices_answer(self) -> bool:
        """A card that fell off the bus is not at the renter's disposal."""
        try:
            inventory = self._inventory.read()
        except InventoryError as error:
            _log.error("devices_unknown", reason=str(error))
            return False
        missing = self._unit_gpus - {gpu.gpu_id for gpu in inventory.gpus}
        if missing:
            _log.error("devices_lost", count=len(missing), said=list(inventory.lost))
        return not missing

    def _beat(self, view: LeaseView) -> None:
        block = view.block
        heartbeat = Heartbeat(
            view.lease_id, self._unit_id, block.number, block.hash, block.timestamp, at_disposal=True
        )
        signed = SignedHeartbeat(heartbeat, sign(self._domain, heartbeat, self._account))
        joules = self._inventory.energy_joules()
        spent, self._joules = max(0, joules - self._joules), joules
        self._journal.leases.add_heartbeat(signed, spent)
        self._last[view.lease_id] = block.timestamp
        self._send(link.Heartbeat.of(signed))


def covers_anything(view: LeaseView) -> bool:
    """Whether a heartbeat over the view's block proves a single second."""
    now = view.block.timestamp
    begin, finish = max(view.terms.start, now - HEARTBEAT_SECONDS), min(now, view.end)
    return scheduled_seconds(view.terms.weekly_hours, begin, finish) > 0
