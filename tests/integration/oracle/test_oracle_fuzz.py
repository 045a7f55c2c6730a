"""Whatever anyone sends: a 4xx or a closed connection, never a 5xx."""

import json
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance
from websockets.exceptions import ConnectionClosed

from protocol.bodies import OrderBody, json_of
from protocol.link import Challenge, Welcome
from tests.integration.oracle import oracle_worker as link_rig
from tests.integration.oracle.malformed import send_malformed
from tests.integration.oracle.oracle_scene import Scene, job_of, raw_exchange
from tests.integration.oracle.oracle_tus import PIECE_TYPE
from tests.integration.oracle.oracle_world import sign_in

CI_EXAMPLES = 100
SCALE = settings().max_examples / CI_EXAMPLES
MALFORMED_REQUESTS = int(500 * SCALE)
"""10,000 with the profile `nightly`."""
CHECKS = [not_a_server_error, response_schema_conformance]
EXAMPLES_AN_OPERATION = int(6 * SCALE)
STREAMS_AND_SIGN_OUT = {
    ("GET", "/v1/jobs/{job_id}/logs/stream"),
    ("GET", "/v1/leases/{lease_id}/timeline"),
    ("DELETE", "/v1/sessions"),
    ("DELETE", "/v1/sessions/current"),
}

METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"])
WORDS = st.sampled_from(
    [
        "v1",
        "jobs",
        "orders",
        "leases",
        "artifacts",
        "uploads",
        "readers",
        "proofs",
        "evidence",
        "logs",
        "offers",
        "quotes",
        "reputations",
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
        [
            *("limit", "cursor", "token", "gpu_class", "renter", "provider", "offset", "wait_seconds"),
            *("gpu_count", "max_price_per_hour", "seconds", "start", "end", "weekly_hours", "min_gops"),
        ]
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
        with link_rig.connect_worker(scene.oracle, scene.rental) as worker:
            worker.socket.send(frame)
            with pytest.raises(ConnectionClosed):
                while True:
                    worker.receive()
    else:
        with link_rig.open_link(scene.oracle) as opened:
            client = link_rig.WorkerClient(scene.rental, opened)
            client.expect(Challenge)
            opened.send(frame)
            with pytest.raises(ConnectionClosed):
                while True:
                    assert not isinstance(client.receive(), Welcome)


def test_fuzz__malformed_requests__never_5xx(scene: Scene) -> None:
    host, port = scene.oracle.url.removeprefix("http://").split(":")
    token = sign_in(scene.http, scene.oracle.url, scene.rental.renter).json()["token"]
    outcome = send_malformed(host, int(port), f"Bearer {token}", MALFORMED_REQUESTS, seed=1)
    assert not outcome.server_errors
    assert outcome.answered > outcome.sent / 2


def test_fuzz__by_the_openapi_description__answers_as_described(scene: Scene) -> None:
    """Each operation with what its description allows and with what it does not."""
    description = scene.http.get(f"{scene.oracle.url}/v1/openapi.json").json()
    token = sign_in(scene.http, scene.oracle.url, scene.rental.renter).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    schemathesis.serializer.alias(PIECE_TYPE, "application/octet-stream")
    asked = 0
    for found in schemathesis.openapi.from_dict(description).get_all_operations():
        operation = found.ok()
        if (operation.method.upper(), operation.path) in STREAMS_AND_SIGN_OUT:
            continue
        asked += 1

        @settings(max_examples=EXAMPLES_AN_OPERATION, database=None, phases=[Phase.generate])
        @given(case=operation.as_strategy() | operation.as_strategy(GenerationMode.NEGATIVE))
        def ask(case: Any) -> None:
            response = case.call(base_url=scene.oracle.url, headers=headers, timeout=40)
            case.validate_response(response, checks=CHECKS)

        ask()
    assert asked > 17


def test_scene__after_all_of_it__still_serves(scene: Scene) -> None:
    assert scene.renter("GET", f"/v1/jobs/{job_of(scene)}").status_code == 200
    assert not scene.oracle.lines("request_failed")
