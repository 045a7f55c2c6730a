"""The oracle's client against a transport that answers whatever a test wants."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from eth_account import Account

from protocol.errors import BadInput, DigestMismatch, LimitExceeded, ServiceUnavailable
from protocol.request_auth import verify_request
from protocol.typed_data import Domain
from protocol.units import Address, Digest, JobId, LeaseId
from scripts.client.answers import ServiceRefused
from scripts.client.api import Identity, OracleClient

ACCOUNT = Account.from_key(b"\x01" * 32)
DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
IDENTITY = Identity(DOMAIN, ACCOUNT)
BYTES = b"some bytes" * 100
DIGEST = Digest(hashlib.sha256(BYTES).digest())

Answer = Callable[[httpx2.Request], httpx2.Response]


def client(answer: Answer, identity: Identity | None = IDENTITY) -> OracleClient:
    return OracleClient("http://oracle.test", identity, httpx2.MockTransport(answer))


def always(status: int, content: bytes) -> Answer:
    return lambda _: httpx2.Response(status, content=content)


def test_request__signed__verifies_over_exactly_what_was_sent() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        body = {"offset": 5, "next_offset": 7, "attempt_offsets": [0], "data": "aGk=", "complete": True}
        return httpx2.Response(200, json=body)

    assert client(answer).log(JobId(b"\x02" * 32), 5, wait_seconds=3) == (b"hi", 7, True)
    (request,) = seen
    target = request.url.raw_path.decode()
    assert target.endswith("/logs?offset=5&wait_seconds=3")
    empty = hashlib.sha256(b"").digest()
    address, _, _ = verify_request(DOMAIN, dict(request.headers), "GET", target, empty, time.time())
    assert address == ACCOUNT.address


def test_request__twice__never_uses_a_nonce_again() -> None:
    headers: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers.append(request.headers["Authorization"])
        following = None if "cursor" in request.url.params else "next"
        return httpx2.Response(200, json={"jobs": [], "next_cursor": following})

    assert list(client(answer).jobs_of_lease(LeaseId(b"\x03" * 32))) == []
    assert len(set(headers)) == len(headers) == 2


def test_request__without_a_key__is_refused_before_it_is_sent() -> None:
    with pytest.raises(BadInput, match="a key is needed"):
        client(always(200, b""), None).job(JobId(b"\x02" * 32))


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_answer__service_in_trouble__may_be_retried(status: int) -> None:
    content = json.dumps({"code": "busy", "message": "later"}).encode()
    with pytest.raises(ServiceUnavailable) as caught:
        client(always(status, content)).health()
    assert caught.value.code == "busy"


def test_answer__refusal__keeps_the_code_of_the_oracle() -> None:
    content = json.dumps({"code": "unknown_lease", "message": "no such lease"}).encode()
    with pytest.raises(ServiceRefused, match="no such lease") as caught:
        client(always(404, content)).lease(LeaseId(b"\x03" * 32))
    assert (caught.value.status, caught.value.code) == (404, "unknown_lease")


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[]", b"", b'{"status": "fine"}'])
def test_answer__of_another_service__is_named_as_such(content: bytes) -> None:
    with pytest.raises(ServiceUnavailable, match="expected a HealthBody"):
        client(always(200, content)).health()


def test_transport__fails__is_unavailable() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        client(answer).health()


def test_download__right_bytes__are_there(tmp_path: Path) -> None:
    size = client(always(200, BYTES)).download(DIGEST, tmp_path / "sub" / "file", 10_000)
    assert size == len(BYTES)
    assert (tmp_path / "sub" / "file").read_bytes() == BYTES


@pytest.mark.parametrize(
    ("content", "limit", "error"),
    [
        (BYTES + b"!", 10_000, DigestMismatch),
        (BYTES[:-1], 10_000, DigestMismatch),
        (BYTES, 10, LimitExceeded),
    ],
)
def test_download__other_bytes__leave_nothing(
    tmp_path: Path, content: bytes, limit: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client(always(200, content)).download(DIGEST, tmp_path / "file", limit)
    assert list(tmp_path.iterdir()) == []


def test_download__refused__leaves_nothing(tmp_path: Path) -> None:
    content = json.dumps({"code": "unknown_artifact", "message": "not yours"}).encode()
    with pytest.raises(ServiceRefused):
        client(always(404, content)).download(DIGEST, tmp_path / "file", 10_000)
    assert list(tmp_path.iterdir()) == []


def test_upload__file__is_streamed_with_its_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BYTES)

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.read() == BYTES
        assert request.headers["Content-Length"] == str(len(BYTES))
        body = {"digest": DIGEST.hex(), "size_bytes": len(BYTES), "created": True}
        return httpx2.Response(201, json=body)

    client(answer).upload(path, DIGEST)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://[::1"])
def test_address__malformed__is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="expected http://HOST:PORT"):
        OracleClient(url)
