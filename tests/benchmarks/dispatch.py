"""From an order to the worker that is to run it: how soon, and how many tasks a second, each durable."""

import http.client
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from eth_account import Account
from websockets.sync.client import ClientConnection, connect

from oracle.api.auth import TOKEN_PREFIX
from oracle.store import artifacts, entities, history, jobs, sessions
from oracle.store.engine import open_store
from oracle.store.jobs import NewJob
from oracle.store.sessions import Session
from protocol import link
from protocol.bodies import OrderBody, json_of
from protocol.chain import Block
from protocol.digests import sha256
from protocol.ledger import Changes
from protocol.orders import job_id
from protocol.request_auth import sign_link
from protocol.signed import SignedOrder, SignedReceipt
from protocol.structs import JobOutcome, JobReceipt, Terms
from protocol.typed_data import sign
from protocol.units import ZERO_DIGEST, BlockNumber, JobId, UnixTime, parse_address, to_hex
from tests.benchmarks.api_server import database_url
from tests.benchmarks.dispatch_server import now
from tests.benchmarks.harness import Figure, Goal, figure
from tests.unit.oracle import oracle_samples as samples

T = TypeVar("T")

ORDERS: Final = 60
TASKS: Final = 300
RENTER: Final = Account.from_key(b"\x51" * 32)
WORKER: Final = Account.from_key(b"\x52" * 32)
LATENCY_GOAL: Final = Goal("p50 <= 1.5 ms", at_most=1.5)
RATE_GOAL: Final = Goal(">= 5x Celery's tasks/s", times={"Celery": 5})


@dataclass(frozen=True, slots=True)
class Order:
    """With the receipt of its first attempt."""

    job_id: JobId
    signed: SignedOrder
    receipt: SignedReceipt


def dispatch_latency(rounds: int) -> Figure:
    """Milliseconds from sending an order to its assignment at the worker, with a token; median of all."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="gpgpu-dispatch-") as name:
        terms, token = _fill(Path(name), [])
        orders = [_order(terms, nonce) for nonce in range(ORDERS * rounds)]
        with _serve(Path(name)) as port, _connect(port) as worker:
            client = http.client.HTTPConnection("127.0.0.1", port)
            fencing_token, headers = 0, {"Authorization": f"Bearer {token}"}
            for order in orders:
                body = json.dumps(json_of(OrderBody.of(terms, order.signed))).encode()
                began = time.perf_counter()
                client.request("POST", "/v1/orders", body, headers)
                assignment = _assignment(worker, fencing_token)
                fencing_token = assignment.fencing_token
                seconds.append(time.perf_counter() - began)
                answer = client.getresponse()
                if answer.status != 201:
                    raise RuntimeError(f"expected 201, got {answer.status} {answer.read()!r}")
                answer.read()
                _finish(worker, order, assignment)
    warm = seconds[ORDERS // 3 :]
    return figure({"ours": statistics.median(warm) * 1000}, "ms", LATENCY_GOAL, less_is_better=True)


def dispatch_rate(rounds: int) -> Figure:
    """Tasks a second of one worker that does nothing, one after another; assignment and receipt durable."""
    rates: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="gpgpu-dispatch-") as name:
            terms = _terms()
            orders = {order.job_id: order for order in (_order(terms, nonce) for nonce in range(TASKS))}
            _fill(Path(name), list(orders.values()))
            with _serve(Path(name)) as port, _connect(port) as worker:
                began, token = time.perf_counter(), 0
                for _ in range(TASKS):
                    assignment = _assignment(worker, token)
                    token = assignment.fencing_token
                    _finish(worker, orders[assignment.read_job_id()], assignment)
                rates.append(TASKS / (time.perf_counter() - began))
    return figure({"ours": statistics.median(rates)}, "tasks/s", RATE_GOAL)


def _terms() -> Terms:
    return replace(samples.make_terms(), renter=parse_address(RENTER.address))


def _order(terms: Terms, nonce: int) -> Order:
    made = samples.make_order(terms, nonce)
    signed = SignedOrder(made.order, sign(samples.DOMAIN, made.order, RENTER), made.spec)
    identity = job_id(samples.DOMAIN, made.order)
    receipt = JobReceipt(
        lease_id=made.order.lease_id,
        order_digest=identity,
        spec_digest=made.order.spec_digest,
        unit_id=samples.UNIT_ID,
        attempt=1,
        input_digest=made.spec.bundle_digest,
        output_digest=ZERO_DIGEST,
        trace_root=ZERO_DIGEST,
        leaf_count=0,
        environment_digest=ZERO_DIGEST,
        outcome=JobOutcome.COMPLETED,
        exit_code=0,
        gpu_milliseconds=1,
        energy_joules=0,
        started_at=now(),
        finished_at=now(),
    )
    return Order(identity, signed, SignedReceipt(receipt, sign(samples.DOMAIN, receipt, WORKER), {}))


def _fill(folder: Path, queued: list[Order]) -> tuple[Terms, str]:
    """A store with a lease of one unit, its renter signed in, and these orders; terms and token."""
    store, terms = open_store(database_url(folder)), _terms()
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    renter = parse_address(RENTER.address)
    unit = samples.make_unit()
    unit = replace(unit, unit=replace(unit.unit, worker=parse_address(WORKER.address)))
    with store.write() as transaction:
        entities.write_changes(transaction, [Changes(units=(unit,), leases=(samples.make_lease(terms),))])
        history.set_cursor(transaction, Block(BlockNumber(10), bytes(32), UnixTime(samples.MONDAY)))
        artifacts.add_artifact(transaction, samples.BUNDLE, 10, renter, samples.MONDAY)
        session = Session(renter, samples.MONDAY + 3600)
        sessions.add_session(transaction, sha256(token.encode()), session, samples.MONDAY)
        fresh = [NewJob(order.job_id, renter, terms, order.signed, now()) for order in queued]
        jobs.insert_jobs(transaction, fresh)
    store.close()
    return terms, token


@contextmanager
def _serve(folder: Path) -> Iterator[int]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.dispatch_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def _connect(port: int) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{port}{link.LINK_TARGET}"
    with connect(url, compression=None, max_size=link.MAX_FRAME_BYTES) as socket:
        challenge = _expect(socket, link.Challenge)
        nonce = bytes.fromhex(challenge.nonce[2:])
        expires_at, signature = sign_link(samples.DOMAIN, WORKER, nonce, now())
        hello = link.Hello(
            worker=WORKER.address,
            unit_id=to_hex(samples.UNIT_ID),
            inventory=link.Inventory(device="cpu", gpus=(), cpu_count=1),
            expires_at=expires_at,
            signature=to_hex(signature),
            attempts=(),
        )
        socket.send(link.encode(hello))
        _expect(socket, link.Welcome)
        yield socket


def _assignment(socket: ClientConnection, after: int) -> link.Assignment:
    """The first with a higher fencing token."""
    while True:
        for assignment in _expect(socket, link.Desired).assignments:
            if assignment.fencing_token > after:
                return assignment


def _finish(socket: ClientConnection, order: Order, assignment: link.Assignment) -> None:
    socket.send(link.encode(link.Receipt.of(order.receipt, assignment.fencing_token)))
    if not _expect(socket, link.ReceiptAck).accepted:
        raise RuntimeError("expected the receipt to be accepted")


def _expect(socket: ClientConnection, kind: type[T]) -> T:
    while True:
        message: Any = link.decode_from_server(socket.recv(timeout=30))
        if isinstance(message, kind):
            return message
