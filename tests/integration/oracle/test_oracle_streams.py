"""Event streams: nothing lost and nothing twice, whatever breaks; they end with what they tell of."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from protocol import link
from protocol.bodies import JobBody, LogsBody
from protocol.orders import job_id
from protocol.structs import NoticeReason
from protocol.units import ZERO_DIGEST, to_hex
from scripts.client.api import Identity, OracleClient
from scripts.client.events import StreamEvent, read_events
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.oracle_scene import Scene, job_of
from tests.integration.oracle.oracle_world import sign_in


@contextmanager
def stream(
    scene: Scene, caller: rig.Caller, target: str, last_event_id: str | None = None
) -> Iterator[Iterator[StreamEvent]]:
    headers = caller.sign("GET", target)
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    with scene.http.stream("GET", scene.oracle.url + target, headers=headers) as response:
        if response.status_code != 200:
            response.read()
            raise AssertionError(response.text)
        assert response.headers["content-type"].startswith("text/event-stream")
        yield read_events(response.iter_lines())


def text_of(event: StreamEvent) -> bytes:
    return base64.b64decode(json.loads(event.data)["data"])


def log_target(scene: Scene) -> str:
    return f"/v1/jobs/{job_of(scene)}/logs/stream"


def assign(scene: Scene, worker: link_rig.WorkerClient) -> link.Assignment:
    assignment = worker.assignment(job_id(scene.rental.domain, scene.order.order))
    for state in ("accepted", "preparing", "running"):
        worker.status(assignment, state)
    return assignment


def write_log(worker: link_rig.WorkerClient, assignment: link.Assignment, offset: int, data: bytes) -> None:
    """Until the oracle has it on its disk."""
    worker.log(assignment, offset, data)
    while worker.expect(link.LogAck).next_offset != offset + len(data):
        pass


def test_log__broken_off_and_oracle_killed__resumed_without_loss_or_repetition(scene: Scene) -> None:
    target, renter = log_target(scene), scene.renter
    with link_rig.connect_worker(scene.oracle, scene.rental) as worker:
        assignment = assign(scene, worker)
        worker.log(assignment, 0, b"one ")
        with stream(scene, renter, target) as events:
            first = next(events)
            assert (first.name, text_of(first)) == ("log", b"one ")
            worker.log(assignment, 4, b"two ")
            second = next(events)
            assert text_of(second) == b"two "
        write_log(worker, assignment, 8, b"three ")
    scene.oracle.kill()
    scene.oracle.start()
    with stream(scene, renter, target, second.id) as events:
        assert text_of(next(events)) == b"three "
    with stream(scene, renter, target, first.id) as events:
        assert text_of(next(events)) == b"two three "
    with stream(scene, scene.worker, f"{target}?offset=4") as events:
        assert text_of(next(events)) == b"two three "


def test_streams__more_than_an_account_may__429_until_one_is_closed(scene: Scene) -> None:
    target = log_target(scene)
    with (
        stream(scene, scene.renter, target, "0") as first,
        stream(scene, scene.renter, target, "0") as second,
    ):
        assert next(first) == next(second)
        response = scene.renter("GET", target)
        assert (response.status_code, response.json()["code"]) == (429, "too_many_streams")
        assert int(response.headers["Retry-After"]) >= 1
    rig.until(lambda: scene.renter("GET", f"{target}?offset=x").status_code == 422, "places are free")


@pytest.mark.parametrize("last", ["-1", "x", "1.5", "9" * 19, "9" * 18, "1" * 200])
def test_streams__id_of_no_event__422(scene: Scene, last: str) -> None:
    for target in (log_target(scene), f"/v1/leases/{to_hex(scene.lease)}/timeline"):
        headers = scene.renter.sign("GET", target)
        response = scene.http.get(scene.oracle.url + target, headers={**headers, "Last-Event-ID": last})
        assert (response.status_code, response.json()["code"]) == (422, "bad_input")


def test_streams__oracle_stops__they_end_and_it_stops_at_once(scene: Scene) -> None:
    have = scene.renter.job(job_id(scene.rental.domain, scene.order.order))["log_bytes"]
    with stream(scene, scene.renter, log_target(scene), str(have)) as events, ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(lambda: list(events))
        began = time.monotonic()
        assert scene.oracle.terminate() == 0
        assert time.monotonic() - began < 4
        assert waiting.result(5) == []
    scene.oracle.start()


def test_log__reader_that_takes_nothing__is_cut(scene: Scene) -> None:
    target = log_target(scene)
    with link_rig.connect_worker(scene.oracle, scene.rental) as worker:
        assignment = assign(scene, worker)
        have = scene.renter.job(job_id(scene.rental.domain, scene.order.order))["log_bytes"]
        write_log(worker, assignment, have, b"x" * 50_000)
    host, port = scene.oracle.url.removeprefix("http://").split(":")
    lines = "".join(f"{name}: {value}\r\n" for name, value in scene.renter.sign("GET", target).items())
    before = len(stream_lines(scene))
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        reader.connect((host, int(port)))
        reader.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        rig.until(lambda: len(stream_lines(scene)) > before, "its stream has ended")


def whole_of(parts: Iterator[LogsBody]) -> bytes:
    return b"".join(base64.b64decode(part.data) for part in parts)


def stream_lines(scene: Scene) -> list[dict]:
    return [line for line in scene.oracle.lines("request") if line["path"].endswith("/logs/stream")]


def test_log__job_ends__client_has_all_of_it_and_stops(scene: Scene) -> None:
    job = job_id(scene.rental.domain, scene.order.order)
    identity = Identity(scene.rental.domain, scene.rental.renter)
    with (
        OracleClient(scene.oracle.url, identity) as client,
        ThreadPoolExecutor(1) as reader,
        link_rig.connect_worker(scene.oracle, scene.rental) as worker,
    ):
        following = reader.submit(lambda: whole_of(client.follow_log(job)))
        assignment = assign(scene, worker)
        have = scene.renter.job(job)["log_bytes"]
        write_log(worker, assignment, have, b"the end\n")
        assert scene.worker.upload(rig.OUTPUT).status_code in (200, 201)
        receipt = scene.rental.receipt(scene.order, assignment.attempt)
        assert worker.send_receipt(receipt, assignment.fencing_token).accepted
        followed = following.result(20)
        assert followed == whole_of(client.read_log(job))
    assert followed.endswith(b"the end\n") and followed.startswith(b"one two three ")


def test_job__read_with_a_token__as_it_is_read_by_signature(scene: Scene) -> None:
    target = f"/v1/jobs/{job_of(scene)}"
    token = sign_in(scene.http, scene.oracle.url, scene.rental.renter).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    found = scene.http.get(scene.oracle.url + target, headers=headers)
    assert found.json() == scene.renter("GET", target).json()
    assert JobBody.model_validate_json(found.content).receipt is not None


def test_timeline__from_opening_to_close__each_event_once_in_order_then_the_end(scene: Scene) -> None:
    rental, target = scene.rental, f"/v1/leases/{to_hex(scene.lease)}/timeline"
    anvil, market = rental.deployment.anvil, rental.deployment.market
    told: list[StreamEvent] = []
    with stream(scene, scene.renter, target) as events:
        told.append(next(events))
    with stream(scene, scene.renter, target, told[0].id) as events:
        told.append(next(events))
        notice = market.build_give_notice(scene.terms, NoticeReason.WORK_DONE, ZERO_DIGEST)
        anvil.send(rental.renter, notice)
        anvil.advance(3600 + 60)
        anvil.send(rental.renter, market.build_close(scene.terms))
        told += events
    with stream(scene, scene.worker, target) as events:
        assert chain_events(list(events)) == chain_events(told)
    names = [json.loads(event.data)["event"]["event"] for event in told if event.name == "chain"]
    assert names[0] == "LeaseOpened" and names[-1] == "LeaseClosed" and "NoticeGiven" in names
    states = [json.loads(event.data)["state"] for event in told if event.name == "job"]
    assert states[-2:] == ["finished", "unproven"]
    assert told[-1].name == "end"
    ids = [event.id for event in told[:-1]]
    assert len(set(ids)) == len(ids)
    with stream(scene, scene.renter, target, told[-1].id) as events:
        assert [event.name for event in events] == ["end"]


def chain_events(told: list[StreamEvent]) -> list[str]:
    return [event.data for event in told if event.name == "chain"]
