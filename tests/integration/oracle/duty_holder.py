"""A process that takes a duty, stands still where it is told to, and then writes late.

Arguments: database's URL, holder, seconds of the duty, place. A line on stdin lets it go on.
"""

import sys

from oracle.duties import Duty
from oracle.logs import configure_logging
from oracle.store import dialects, nonces
from oracle.store.engine import Store, open_store
from protocol.errors import RetryableError
from tests.unit.oracle.oracle_samples import RENTER


def main(url: str, holder: str, seconds: str, place: str) -> None:
    configure_logging("info")
    dialects.IDLE_WRITER = "500ms"
    store = open_store(url)
    duty = Duty(store, "work", holder, float(seconds))
    while not duty.hold():
        wait("busy")
    try:
        write(duty.store, holder, place)
    except RetryableError as error:
        print(error.code, flush=True)
    else:
        print("written", flush=True)
    store.close()


def write(store: Store, holder: str, place: str) -> None:
    if place == "before":
        wait("ready")
    with store.write() as transaction:
        if place == "inside":
            wait("ready")
        nonces.spend_nonce(transaction, RENTER, holder.encode().ljust(32), 1)
        if place == "written":
            wait("ready")


def wait(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
