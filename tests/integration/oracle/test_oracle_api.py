"""The API under bad input: clear refusals, nothing lost, never a 5xx."""

import json
import secrets
import time
from typing import Any

import httpx2
import pytest

from protocol.bodies import OrderBody, json_of
from protocol.request_auth import sign_request
from protocol.units import to_hex
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.oracle_scene import MAX_ARTIFACT_BYTES, QUOTA_BYTES, Scene, job_of, raw_exchange


def refused(response: httpx2.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert set(response.json()) == {"code", "message"}
    assert response.json()["message"]


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
