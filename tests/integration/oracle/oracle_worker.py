"""A worker's end of the link, for tests: says what it is told to say."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from protocol import link
from protocol.request_auth import sign_link
from protocol.signed import SignedReceipt
from protocol.units import JobId, to_hex
from tests.integration.oracle.oracle_rig import WAIT_SECONDS, OracleProcess, Rental

__all__ = ["ConnectionClosed"]

T = TypeVar("T")


class WorkerClient:
    """A worker's end of the link. `seen` holds what came beside what was waited for."""

    def __init__(self, rental: Rental, socket: ClientConnection) -> None:
        self.rental = rental
        self.socket = socket
        self.desired: link.Desired | None = None

    def receive(self, seconds: float = WAIT_SECONDS) -> Any:
        message = link.decode_from_server(self.socket.recv(timeout=seconds))
        if isinstance(message, link.Desired):
            self.desired = message
        return message

    def expect(self, kind: type[T]) -> T:
        """The next message of this kind."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            message = self.receive()
            if isinstance(message, kind):
                return message
        raise AssertionError(f"no {kind.__name__} within {WAIT_SECONDS} s")

    def expect_assignments(self, condition: Callable[[list[link.Assignment]], bool]) -> list[link.Assignment]:
        """The first full list that fulfils the condition."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            assignments = list(self.expect(link.Desired).assignments)
            if condition(assignments):
                return assignments
        raise AssertionError(f"no such list within {WAIT_SECONDS} s, last: {self.desired}")

    def assignment(self, job: JobId) -> link.Assignment:
        name = to_hex(job)
        found = self.expect_assignments(lambda all_: any(a.job_id == name for a in all_))
        return next(a for a in found if a.job_id == name)

    def send(self, message: Any) -> None:
        self.socket.send(link.encode(message))

    def status(self, assignment: link.Assignment, state: Any, detail: str = "") -> None:
        self.send(
            link.Status(
                job_id=assignment.job_id,
                attempt=assignment.attempt,
                fencing_token=assignment.fencing_token,
                state=state,
                detail=detail,
            )
        )

    def log(self, assignment: link.Assignment, offset: int, data: bytes) -> None:
        self.send(
            link.Log(
                job_id=assignment.job_id,
                attempt=assignment.attempt,
                fencing_token=assignment.fencing_token,
                offset=offset,
                data=data,
            )
        )

    def send_receipt(self, signed: SignedReceipt, fencing_token: int) -> link.ReceiptAck:
        self.send(link.Receipt.of(signed, fencing_token))
        return self.expect(link.ReceiptAck)


def make_hello(rental: Rental, nonce: bytes, **changes: Any) -> link.Hello:
    expires_at, signature = sign_link(rental.domain, rental.worker, nonce, time.time())
    fields: dict[str, Any] = {
        "worker": rental.worker.address,
        "unit_id": to_hex(rental.unit_id),
        "inventory": link.Inventory(device="cpu", gpus=(), cpu_count=2),
        "expires_at": expires_at,
        "signature": to_hex(signature),
        "attempts": (),
    }
    return link.Hello(**{**fields, **changes})


@contextmanager
def open_link(oracle: OracleProcess) -> Iterator[ClientConnection]:
    url = oracle.url.replace("http://", "ws://") + link.LINK_TARGET
    with connect(url, max_size=link.MAX_FRAME_BYTES, close_timeout=2) as socket:
        yield socket


@contextmanager
def connect_worker(oracle: OracleProcess, rental: Rental, **changes: Any) -> Iterator[WorkerClient]:
    with open_link(oracle) as socket:
        client = WorkerClient(rental, socket)
        challenge = client.expect(link.Challenge)
        client.send(make_hello(rental, bytes.fromhex(challenge.nonce[2:]), **changes))
        client.expect(link.Welcome)
        yield client
