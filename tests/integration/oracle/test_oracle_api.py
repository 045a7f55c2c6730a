"""The API under bad input: clear refusals, nothing lost, never a 5xx."""

import json
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from protocol.bodies import OrderBody, json_of
from protocol.link import Challenge, Welcome
from protocol.orders import job_id
from protocol.request_auth import sign_request
from protocol.units import to_hex
from tests.anvil import deploy, run_anvil
from tests.integration.oracle import oracle_rig as rig

MAX_ARTIFACT_BYTES = 100_000
QUOTA_BYTES = 250_000


@dataclass(slots=True)
class Scene:
    """One oracle with a lease and an ordered job, for all tests of this module."""

    rental: rig.Rental
    oracle: rig.OracleProcess
    terms: rig.Terms
    lease: rig.LeaseId
    order: rig.SignedOrder
    http: httpx2.Client

    def caller(self, account: Any) -> rig.Caller:
        return rig.Caller(self.oracle, self.rental.domain, account, self.http)

    @property
    def renter(self) -> rig.Caller:
        return self.caller(self.rental.renter)

    @property
    def worker(self) -> rig.Caller:
        return self.caller(self.rental.worker)

    @property
    def stranger(self) -> rig.Caller:
        return self.caller(self.rental.deployment.anvil.accounts[7])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("api")
    limits = {
        "max_artifact_bytes": MAX_ARTIFACT_BYTES,
        "account_quota_bytes": QUOTA_BYTES,
        "newcomer_quota_bytes": 50_000,
        "max_body_bytes": 20_000,
        "upload_idle_seconds": 1.5,
        "hello_timeout_seconds": 2.0,
        "max_orders_before_lease": 3,
    }
    with run_anvil(block_time_seconds=None) as anvil:
        rental = rig.make_rental(deploy(anvil))
        terms = rental.terms()
        lease = rental.open(terms)
        anvil.advance(10)
        with rig.run_oracle(folder, rental.deployment, **limits) as oracle, httpx2.Client(timeout=40) as http:
            made = Scene(rental, oracle, terms, lease, rental.order(terms), http)
            rig.until(
                lambda: made.stranger("GET", f"/v1/leases/{to_hex(lease)}").status_code == 200, "indexed"
            )
            assert made.renter.upload(rig.BUNDLE).status_code == 201
            assert made.renter.post_order(terms, made.order).status_code == 201
            yield made
            assert oracle.terminate() == 0
            assert not oracle.lines("request_failed")


def refused(response: httpx2.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert set(response.json()) == {"code", "message"}
    assert response.json()["message"]


def job_of(scene: Scene) -> str:
    return to_hex(job_id(scene.rental.domain, scene.order.order))


def test_request__replayed__refused(scene: Scene) -> None:
    target = f"/v1/jobs/{job_of(scene)}"
    headers = scene.renter.sign("GET", target)
    assert scene.http.get(scene.oracle.url + target, headers=headers).status_code == 200
    refused(scene.http.get(scene.oracle.url + target, headers=headers), 401, "replayed_request")


def test_request__replayed_after_a_crash__still_refused(scene: Scene) -> None:
    target = f"/v1/jobs/{job_of(scene)}"
    headers = scene.renter.sign("GET", target)
    assert scene.http.get(scene.oracle.url + target, headers=headers).status_code == 200
    scene.oracle.kill()
    scene.oracle.start()
    refused(scene.http.get(scene.oracle.url + target, headers=headers), 401, "replayed_request")


def test_request__signed_for_something_else__refused(scene: Scene) -> None:
    target = f"/v1/jobs/{job_of(scene)}"
    for method, signed_target in (("PUT", target), ("GET", target + "?x=1"), ("GET", target + "/logs")):
        headers = scene.renter.sign(method, signed_target)
        refused(scene.http.get(scene.oracle.url + target, headers=headers), 401, "signature_invalid")


def test_request__no_signature__refused_wherever_one_is_needed(scene: Scene) -> None:
    job, lease, digest = job_of(scene), to_hex(scene.lease), rig.sha256(rig.BUNDLE).hex()
    signed = [
        ("GET", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/logs"),
        ("GET", f"/v1/leases/{lease}/jobs"),
        ("GET", f"/v1/artifacts/{digest}"),
        ("PUT", f"/v1/artifacts/{digest}"),
        ("POST", "/v1/orders"),
        ("PUT", f"/v1/proofs/{job}/evidence"),
    ]
    for method, target in signed:
        refused(scene.http.request(method, scene.oracle.url + target), 401, "unauthenticated")


def test_request__expired_or_far_ahead__refused(scene: Scene) -> None:
    target = f"/v1/jobs/{job_of(scene)}"
    for shift, code in ((-120, "expired"), (120, "signature_invalid")):
        headers = sign_request(
            scene.rental.domain,
            scene.rental.renter,
            "GET",
            target,
            rig.sha256(b""),
            time.time() + shift,
            secrets.token_bytes(32),
        )
        refused(scene.http.get(scene.oracle.url + target, headers=headers), 401, code)


def test_request__body_swapped__refused(scene: Scene) -> None:
    headers = scene.renter.sign("POST", "/v1/orders", b"{}")
    response = scene.http.post(scene.oracle.url + "/v1/orders", headers=headers, content=b"[]")
    refused(response, 401, "digest_mismatch")


def test_reading__strangers__refused(scene: Scene) -> None:
    stranger, digest = scene.stranger, rig.sha256(rig.BUNDLE).hex()
    refused(stranger("GET", f"/v1/jobs/{job_of(scene)}"), 403, "not_a_party")
    refused(stranger("GET", f"/v1/jobs/{job_of(scene)}/logs"), 403, "not_a_party")
    refused(stranger("GET", f"/v1/leases/{to_hex(scene.lease)}/jobs"), 403, "not_a_party")
    refused(stranger("GET", f"/v1/artifacts/{digest}"), 404, "unknown_artifact")
    assert scene.worker("GET", f"/v1/artifacts/{digest}").content == rig.BUNDLE
    assert scene.worker("GET", f"/v1/jobs/{job_of(scene)}").status_code == 200


def test_upload__other_bytes_than_the_digest__refused_and_not_stored(scene: Scene) -> None:
    digest = rig.sha256(b"right").hex()
    target = f"/v1/artifacts/{digest}"
    headers = scene.renter.sign("PUT", target, b"right")
    refused(
        scene.http.put(scene.oracle.url + target, headers=headers, content=b"wrong"), 422, "digest_mismatch"
    )
    refused(scene.renter("PUT", target, b"wrong"), 422, "digest_mismatch")
    refused(scene.renter("GET", target), 404, "unknown_artifact")


@pytest.mark.parametrize("chunked", [False, True])
def test_upload__too_large__413_declared_or_not(scene: Scene, chunked: bool) -> None:
    data = secrets.token_bytes(MAX_ARTIFACT_BYTES + 1)
    target = f"/v1/artifacts/{rig.sha256(data).hex()}"
    content: Any = iter([data[:50_000], data[50_000:]]) if chunked else data
    headers = scene.renter.sign("PUT", target, data)
    refused(scene.http.put(scene.oracle.url + target, headers=headers, content=content), 413, "too_large")
    assert not list((scene.oracle.folder / "data" / "artifacts" / "incoming").iterdir())


def test_upload__same_bytes_twice__idempotent(scene: Scene) -> None:
    first, second = scene.renter.upload(b"twice"), scene.renter.upload(b"twice")
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()["created"]) == (200, False)


def test_upload__newcomer_beyond_its_quota__refused(scene: Scene) -> None:
    newcomer = scene.caller(scene.rental.deployment.anvil.accounts[8])
    assert newcomer.upload(b"n" * 50_000).status_code == 201
    refused(newcomer.upload(b"one more"), 413, "quota_exceeded")


def test_upload__account_beyond_its_quota__refused(scene: Scene) -> None:
    worker, stored = scene.worker, 0
    while stored + MAX_ARTIFACT_BYTES <= QUOTA_BYTES:
        assert worker.upload(secrets.token_bytes(MAX_ARTIFACT_BYTES)).status_code == 201
        stored += MAX_ARTIFACT_BYTES
    refused(worker.upload(secrets.token_bytes(MAX_ARTIFACT_BYTES)), 413, "too_large")
    assert worker.upload(secrets.token_bytes(QUOTA_BYTES - stored)).status_code == 201
    refused(worker.upload(b"x"), 413, "quota_exceeded")


def test_upload__sender_falls_silent__408_and_nothing_left(scene: Scene) -> None:
    target = f"/v1/artifacts/{rig.sha256(b'12345').hex()}"
    head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in scene.renter.sign("PUT", target, b"12345").items())
    answer = raw_exchange(scene, head.encode() + b"\r\n123")
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert not list((scene.oracle.folder / "data" / "artifacts" / "incoming").iterdir())


def test_order__of_another_renter__refused(scene: Scene) -> None:
    refused(scene.stranger.post_order(scene.terms, scene.order), 403, "not_the_renter")


def test_order__altered_after_signing__refused(scene: Scene) -> None:
    altered = rig.replace(scene.order, order=rig.replace(scene.order.order, nonce=99))
    refused(scene.renter.post_order(scene.terms, altered), 403, "signature_invalid")
    other_spec = rig.replace(scene.order, spec=rig.replace(scene.order.spec, seed=2))
    refused(scene.renter.post_order(scene.terms, other_spec), 422, "digest_mismatch")


def test_order__deadline_passed__refused(scene: Scene) -> None:
    late = scene.rental.order(scene.terms, nonce=50, deadline=scene.terms.start - 100)
    refused(scene.renter.post_order(scene.terms, late), 422, "expired")


def test_order__too_many_before_their_lease__refused(scene: Scene) -> None:
    unseen = scene.rental.terms(salt=1234)
    for nonce in range(3):
        assert scene.renter.post_order(unseen, scene.rental.order(unseen, nonce)).status_code == 201
    refused(scene.renter.post_order(unseen, scene.rental.order(unseen, 3)), 429, "too_many_orders")


def test_order__unknown_field__refused_and_named(scene: Scene) -> None:
    body = json_of(OrderBody.of(scene.terms, scene.order))
    for path in ((), ("order",), ("spec",), ("terms", "offer")):
        changed = json.loads(json.dumps(body))
        place = changed
        for key in path:
            place = place[key]
        place["colour"] = "red"
        response = scene.renter("POST", "/v1/orders", json.dumps(changed).encode())
        refused(response, 422, "bad_input")
        assert "colour" in response.json()["message"]


def test_order__body_too_large__413(scene: Scene) -> None:
    refused(scene.renter("POST", "/v1/orders", b" " * 20_001), 413, "too_large")


def test_evidence__of_nothing__refused(scene: Scene) -> None:
    target = f"/v1/proofs/0x{'12' * 32}/evidence"
    refused(scene.http.get(scene.oracle.url + target), 404, "unknown_evidence")
    for body in (b"", b"{}", b"[" * 5000, b'{"proof":null,"receipts":[],"heartbeats":[],"orders":[]}'):
        refused(scene.worker("PUT", target, body), 422, "bad_input")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/jobs/0x12",
        "/v1/leases/zz",
        "/v1/leases/0x" + "AB" * 32,
        "/v1/artifacts/00",
        "/v1/offers?limit=0",
        "/v1/offers?limit=99999999999999999999999",
        "/v1/offers?cursor=1",
        "/v1/offers?cursor=-1-" + "00" * 32,
        "/v1/offers?token=0x00",
        "/v1/leases?renter=me",
        "/v1/leases?cursor=%C3%A9-00",
        "/v1/jobs/0x" + "00" * 32 + "/logs?offset=-1",
        "/v1/jobs/0x" + "00" * 32 + "/logs?offset=99999999999999999999",
        "/v1/jobs/0x" + "00" * 32 + "/logs?wait_seconds=nan",
        "/v1/jobs/0x" + "00" * 32 + "/logs?wait_seconds=inf",
    ],
)
def test_parameters__malformed__422(scene: Scene, target: str) -> None:
    refused(scene.renter("GET", target), 422, "bad_input")


def test_paths_and_methods__unknown__404_and_405(scene: Scene) -> None:
    refused(scene.http.get(scene.oracle.url + "/v2/offers"), 404, "not_found")
    refused(scene.http.get(scene.oracle.url + "/docs"), 404, "not_found")
    refused(scene.http.delete(scene.oracle.url + "/v1/offers"), 405, "method_not_allowed")


def test_open_endpoints__without_signature__answer(scene: Scene) -> None:
    url = scene.oracle.url
    assert scene.http.get(url + "/v1/health").json()["status"] == "ok"
    manifest = scene.http.get(url + "/v1/deployment").json()["manifest"]
    assert manifest["market"] == scene.rental.deployment.manifest.market
    offers = scene.http.get(url + f"/v1/offers?gpu_class=CPU&token={scene.rental.offer.token}").json()
    assert [offer["listed"] for offer in offers["offers"]] == [True]
    assert scene.http.get(url + "/v1/offers?gpu_class=RTX%204090").json()["offers"] == []
    mine = scene.http.get(url + f"/v1/leases?renter={scene.rental.renter.address}&limit=1").json()
    assert [lease["lease_id"] for lease in mine["leases"]] == [to_hex(scene.lease)]
    theirs = scene.http.get(url + f"/v1/leases?renter={scene.rental.worker.address}").json()
    assert theirs == {"leases": [], "next_cursor": None}


METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"])
WORDS = st.sampled_from(
    [
        "v1",
        "jobs",
        "orders",
        "leases",
        "artifacts",
        "proofs",
        "evidence",
        "logs",
        "offers",
        "health",
        "worker",
        "link",
    ]
)
IDS = st.one_of(
    st.just("0x" + "00" * 32),
    st.just("ab" * 32),
    st.integers(-(2**70), 2**70).map(str),
    st.text(alphabet="0x%aéß/..?#&=\x7f ", max_size=12),
)
PATHS = st.lists(st.one_of(WORDS, IDS), max_size=5).map("/".join)
QUERIES = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "token", "gpu_class", "renter", "provider", "offset", "wait_seconds"]
    ),
    st.one_of(st.integers(-(2**70), 2**70).map(str), st.text(max_size=20), st.just("nan")),
    max_size=3,
).map(lambda query: {k: v for k, v in query.items() if k != "wait_seconds" or v == "nan"})
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**300), 2**300), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode()))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=METHODS, path=PATHS, query=QUERIES, body=BODIES, sign=st.booleans())
def test_fuzz__any_request__never_5xx(
    scene: Scene, method: str, path: str, query: dict[str, str], body: bytes, sign: bool
) -> None:
    url = f"{scene.oracle.url}/{quote(path, safe='/%.')}"
    request = scene.http.build_request(method, url, params=query, content=body)
    if sign:
        request.headers.update(scene.renter.sign(method, request.url.raw_path.decode(), body))
    response = scene.http.send(request)
    assert response.status_code < 500, response.text
    if response.status_code >= 400 and method != "HEAD" and response.content:
        assert set(response.json()) == {"code", "message"}


@st.composite
def mutated_orders(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    """The valid order with one value anywhere in it replaced, removed or put elsewhere."""
    changed = json.loads(json.dumps(body))
    place: Any = changed
    while True:
        key = draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else None
        inner = place[key]
        if isinstance(inner, dict) and draw(st.booleans()):
            place = inner
            continue
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            del place[key]
        return json.dumps(changed).encode()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzz__order_with_one_thing_wrong__4xx_or_the_same_order(scene: Scene, data: st.DataObject) -> None:
    body = data.draw(mutated_orders(json_of(OrderBody.of(scene.terms, scene.order))))
    response = scene.renter("POST", "/v1/orders", body)
    assert response.status_code < 500, response.text
    if response.status_code < 400:
        assert response.json()["job_id"] == job_of(scene)


def raw_exchange(scene: Scene, data: bytes) -> bytes:
    host, port = scene.oracle.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
            if b"\r\n\r\n" in answer and b" 408 " in answer:
                break
        return answer


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    line=st.binary(min_size=1, max_size=60).filter(lambda b: b"\n" not in b),
    headers=st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b), max_size=4),
    sane=st.booleans(),
)
def test_fuzz__bytes_that_are_no_http__closed_or_4xx(
    scene: Scene, line: bytes, headers: list[bytes], sane: bool
) -> None:
    first = b"GET /v1/" + line + b" HTTP/1.1" if sane else line
    data = b"\r\n".join([first, b"Host: x", b"Connection: close", *headers, b"", b""])
    answer = raw_exchange(scene, data)
    assert not answer.startswith(b"HTTP/1.1 5"), (data, answer)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame=st.one_of(st.text(max_size=200), st.binary(max_size=50), JSON.map(json.dumps)), known=st.booleans()
)
def test_fuzz__any_frame_on_the_link__refused_and_the_oracle_lives(
    scene: Scene, frame: str | bytes, known: bool
) -> None:
    if known:
        with rig.connect_worker(scene.oracle, scene.rental) as worker:
            worker.socket.send(frame)
            with pytest.raises(ConnectionClosed):
                while True:
                    worker.receive()
    else:
        with rig.open_link(scene.oracle) as opened:
            client = rig.WorkerClient(scene.rental, opened)
            client.expect(Challenge)
            opened.send(frame)
            with pytest.raises(ConnectionClosed):
                while True:
                    assert not isinstance(client.receive(), Welcome)


def test_scene__after_all_of_it__still_serves(scene: Scene) -> None:
    assert scene.renter("GET", f"/v1/jobs/{job_of(scene)}").status_code == 200
    assert not scene.oracle.lines("request_failed")
