"""Signed requests: what is not exactly what was signed, or too old or too lasting, is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.digests import sha256
from protocol.errors import Expired, ProtocolError, RejectedError, SignatureInvalid
from protocol.link import Hello, Inventory
from protocol.request_auth import (
    AUTHORIZATION,
    CONTENT_SHA256,
    MAX_LIFETIME_SECONDS,
    SIGNED_LIFETIME_SECONDS,
    claimed_body_digest,
    sign_link,
    sign_request,
    verify_link,
    verify_request,
)
from protocol.structs import SignedRequest
from protocol.typed_data import Domain, sign
from protocol.units import to_hex
from tests.unit.protocol.parties import DOMAIN, RENTER, STRANGER, WORKER

NOW = 1_800_000_000.5
NONCE = bytes(range(32))
BODY = sha256(b"body")
TARGET = "/v1/jobs/0x00/logs?offset=5"
HEADERS = sign_request(DOMAIN, RENTER, "GET", TARGET, BODY, NOW, NONCE)
AUTH = HEADERS[AUTHORIZATION]


def test_verify_request__as_signed__gives_signer_nonce_and_expiry() -> None:
    found = verify_request(DOMAIN, HEADERS, "GET", TARGET, BODY, NOW)
    assert found == (RENTER.address, NONCE, int(NOW) + SIGNED_LIFETIME_SECONDS)
    lower = {name.lower(): value for name, value in HEADERS.items()}
    assert verify_request(DOMAIN, lower, "GET", TARGET, None, NOW) == found
    assert claimed_body_digest(lower) == BODY


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("POST", TARGET, BODY), ("GET", "/v1/jobs/0x00/logs?offset=6", BODY), ("GET", TARGET, sha256(b""))],
)
def test_verify_request__another_request__is_refused(method: str, target: str, body: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify_request(DOMAIN, HEADERS, method, target, body, NOW)


def test_verify_request__other_chain__is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify_request(Domain(1, DOMAIN.market), HEADERS, "GET", TARGET, BODY, NOW)


def test_verify_request__time__is_bounded_on_both_sides() -> None:
    expires_at = int(NOW) + SIGNED_LIFETIME_SECONDS
    verify_request(DOMAIN, HEADERS, "GET", TARGET, BODY, expires_at)
    verify_request(DOMAIN, HEADERS, "GET", TARGET, BODY, expires_at - MAX_LIFETIME_SECONDS)
    with pytest.raises(Expired):
        verify_request(DOMAIN, HEADERS, "GET", TARGET, BODY, expires_at + 1)
    with pytest.raises(SignatureInvalid, match="expected to expire by"):
        verify_request(DOMAIN, HEADERS, "GET", TARGET, BODY, expires_at - MAX_LIFETIME_SECONDS - 1)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer x",
        AUTH + " ",
        AUTH + "\n",
        AUTH.replace("GPGPU", "gpgpu"),
        AUTH.replace("expires=", "expires=0"),
        AUTH.replace("expires=", "expires=-"),
        AUTH.replace("nonce=0x00", "nonce=0x01"),
        AUTH.replace(RENTER.address, STRANGER.address),
        AUTH.replace(RENTER.address, RENTER.address.lower()),
        AUTH[:-2],
        AUTH + "," + AUTH[6:],
    ],
)
def test_verify_request__header_changed__is_refused(value: str) -> None:
    with pytest.raises(RejectedError):
        verify_request(DOMAIN, {**HEADERS, AUTHORIZATION: value}, "GET", TARGET, BODY, NOW)


@pytest.mark.parametrize("value", ["", "0x" + BODY.hex(), BODY.hex().upper(), BODY.hex() + "\n", "g" * 64])
def test_verify_request__body_digest_malformed__is_refused(value: str) -> None:
    with pytest.raises(SignatureInvalid, match="64 hex digits"):
        verify_request(DOMAIN, {**HEADERS, CONTENT_SHA256: value}, "GET", TARGET, None, NOW)


def test_verify_request__header_missing__is_unauthenticated() -> None:
    for name in (AUTHORIZATION, CONTENT_SHA256):
        with pytest.raises(SignatureInvalid) as caught:
            verify_request(DOMAIN, {k: v for k, v in HEADERS.items() if k != name}, "GET", TARGET, None, NOW)
        assert caught.value.code == "unauthenticated"


@given(st.text(max_size=400), st.text(max_size=80))
def test_verify_request__random_headers__never_fail_otherwise(authorization: str, body: str) -> None:
    with pytest.raises(ProtocolError):
        headers = {AUTHORIZATION: authorization, CONTENT_SHA256: body}
        verify_request(DOMAIN, headers, "GET", TARGET, None, NOW)


def hello(expires_at: int, signature: bytes, worker: str = WORKER.address) -> Hello:
    return Hello(
        worker=worker,
        unit_id=to_hex(bytes(32)),
        inventory=Inventory(device="cpu", gpus=(), cpu_count=2),
        expires_at=expires_at,
        signature=to_hex(signature),
        attempts=(),
    )


def test_verify_link__as_signed__gives_the_worker() -> None:
    expires_at, signature = sign_link(DOMAIN, WORKER, NONCE, NOW)
    assert verify_link(DOMAIN, hello(expires_at, signature), NONCE, NOW) == WORKER.address
    expected = SignedRequest("LINK", "/v1/worker/link", sha256(NONCE), expires_at, NONCE)
    assert signature == sign(DOMAIN, expected, WORKER)


def test_verify_link__other_nonce_worker_or_time__is_refused() -> None:
    expires_at, signature = sign_link(DOMAIN, WORKER, NONCE, NOW)
    with pytest.raises(SignatureInvalid):
        verify_link(DOMAIN, hello(expires_at, signature), bytes(32), NOW)
    with pytest.raises(SignatureInvalid):
        verify_link(DOMAIN, hello(expires_at, signature, STRANGER.address), NONCE, NOW)
    with pytest.raises(Expired):
        verify_link(DOMAIN, hello(expires_at, signature), NONCE, expires_at + 1)
    with pytest.raises(SignatureInvalid):
        verify_link(DOMAIN, hello(expires_at + 1, signature), NONCE, NOW)
