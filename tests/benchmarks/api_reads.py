"""Reads of the API a second, ours and the peer's in turn, over 16 connections that are kept open."""

import secrets
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oracle.api.auth import TOKEN_PREFIX
from oracle.store import entities, history, jobs, sessions
from oracle.store.engine import open_store
from oracle.store.sessions import Session
from protocol.chain import Block
from protocol.digests import sha256
from protocol.ledger import Changes
from protocol.units import BlockNumber, UnixTime, to_hex
from tests.benchmarks.api_server import database_url
from tests.benchmarks.harness import Figure, Goal, figure
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.market_samples import PARAMETERS, STAKED, unit

OFFERS = 10_000
CONNECTIONS = 16
SECONDS = 1.0
PEER = "sync FastAPI + SQLAlchemy session + pydantic"


GOAL = ">= 5x sync FastAPI + SQLAlchemy session + pydantic; hot reads >= 15x"


def read_offers(rounds: int) -> Figure:
    """A page of 20 of 10,000, the hot read."""
    return _read("offers", rounds, Goal(GOAL, times={PEER: 15}))


def read_own_job(rounds: int) -> Figure:
    """One's own job's state, with a token."""
    return _read("job", rounds, Goal(GOAL, times={PEER: 5}))


def _read(path: str, rounds: int, goal: Goal) -> Figure:
    with tempfile.TemporaryDirectory(prefix="gpgpu-reads-") as name:
        request = _fill(Path(name))[path]
        with _serve("ours", Path(name)) as ours, _serve("peer", Path(name)) as peer:
            return figure(_compare(request, ours, peer, rounds), "requests/s", goal)


def _compare(request: bytes, ours: int, peer: int, rounds: int) -> dict[str, float | None]:
    rates: dict[int, list[float]] = {ours: [], peer: []}
    for turn in range(rounds + 1):
        for port in (ours, peer):
            rate = requests_per_second(port, request, SECONDS)
            if turn:  # the first is for warming up
                rates[port].append(rate)
    return {"ours": statistics.median(rates[ours]), PEER: statistics.median(rates[peer])}


def requests_per_second(port: int, request: bytes, seconds: float) -> float:
    """Each connection sends its next request when its answer is whole. RuntimeError for other than 200."""
    waiting: dict[socket.socket, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            waiting[connection] = bytearray()
            connection.sendall(request)
        answered, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for key, _ in selector.select(1):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                received = waiting[connection]
                received += connection.recv(1 << 17)
                if _is_whole(received):
                    answered += 1
                    received.clear()
                    connection.sendall(request)
        elapsed = time.perf_counter() - began
        for connection in waiting:
            connection.close()
    return answered / elapsed


def _is_whole(received: bytearray) -> bool:
    head, found, body = bytes(received).partition(b"\r\n\r\n")
    if not found:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"expected 200, got {bytes(received[:400])!r}")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def _fill(folder: Path) -> dict[str, bytes]:
    """A store with offers, a lease, its job and somebody signed in; the request of each path."""
    store = open_store(database_url(folder))
    lease, order = samples.make_lease(), samples.make_order()
    job_id, token = samples.job_of(order), TOKEN_PREFIX + secrets.token_urlsafe(32)
    offers = tuple(samples.make_offer(price=1000 + salt % 997, salt=salt) for salt in range(OFFERS))
    with store.write() as transaction:
        changes = Changes(
            providers=(STAKED,), units=(unit(),), offers=offers, leases=(lease,), parameters=PARAMETERS
        )
        entities.write_changes(transaction, [changes])
        history.set_cursor(transaction, Block(BlockNumber(10), bytes(32), UnixTime(samples.MONDAY)))
        jobs.insert_job(transaction, job_id, samples.RENTER, lease.terms, order, samples.MONDAY)
        session = Session(samples.RENTER, samples.MONDAY + 3600)
        sessions.add_session(transaction, sha256(token.encode()), session, samples.MONDAY)
    store.close()

    def request(target: str) -> bytes:
        return f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    return {"offers": request("/v1/offers?limit=20"), "job": request(f"/v1/jobs/{to_hex(job_id)}")}


@contextmanager
def _serve(name: str, folder: Path) -> Iterator[int]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.api_server", name, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
