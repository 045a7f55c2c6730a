"""Keeps the oracle's book as the worker's folder of signed offers is: what is missing there is put there."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from protocol.errors import RejectedError, RetryableError
from protocol.signed import SignedOffer
from protocol.units import OfferHash, to_hex
from worker.quoting import read_offers

_log: Final = structlog.get_logger(__name__)
PUBLISH_SECONDS: Final = 60.0


class Publisher:
    """Runs in a thread of its own. `post` gives the offer to the oracle, which may have it already."""

    def __init__(self, folder: Path, post: Callable[[SignedOffer], None]) -> None:
        self._folder = folder
        self._post = post
        self._refused: set[OfferHash] = set()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. An oracle that does not answer is asked again."""
        while not stop.is_set():
            self.turn()
            stop.wait(PUBLISH_SECONDS)

    def turn(self) -> None:
        """What the oracle refuses now may do later, once the stake is free again: it is said once."""
        for signed in read_offers(self._folder):
            name = signed.offer_hash
            try:
                self._post(signed)
            except RetryableError as error:
                _log.warning("offers_not_published", reason=error.message)
                return
            except RejectedError as error:
                if name not in self._refused:
                    _log.warning("offer_refused", offer_hash=to_hex(name), reason=error.message)
                self._refused.add(name)
            else:
                self._refused.discard(name)
