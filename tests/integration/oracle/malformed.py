"""Requests that no honest client sends, as raw bytes: broken HTTP, and good requests with something wrong."""

import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.integration.oracle.oracle_tus import PIECE_TYPE

ANSWER_BYTES = 1 << 16
TIMEOUT_SECONDS = 20
IDS = (
    "0x" + "00" * 32,
    "0x" + "ab" * 32,
    "ab" * 32,
    "0x" + "AB" * 32,
    "0x",
    "-1",
    "%00",
    "..",
    "%2e%2e",
    "é",
)
PATHS = (
    "/v1/offers",
    "/v1/offers/{}",
    "/v1/quotes",
    "/v1/quotes/{}",
    "/v1/reputations",
    "/v1/leases",
    "/v1/leases/{}",
    "/v1/leases/{}/jobs",
    "/v1/leases/{}/timeline",
    "/v1/jobs/{}",
    "/v1/jobs/{}/logs",
    "/v1/jobs/{}/logs/stream",
    "/v1/orders",
    "/v1/artifacts/{}",
    "/v1/uploads",
    "/v1/uploads/{}",
    "/v1/readers",
    "/v1/proofs/{}/evidence",
    "/v1/nonces",
    "/v1/sessions",
    "/v1/sessions/current",
    "/v1/worker/link",
    "/v1/openapi.json",
    "/v1/ready",
    "/metrics",
    "/{}",
    "//v1//offers",
    "/v1/../{}",
    "/v1/offers/",
    "http://elsewhere/{}",
    "*",
)
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get", "")
VALUES = (
    *("-1", "0", "501", "9" * 30, "-" + "9" * 400, "NaN", "inf", "1e999", "0x10", "1.5", " 1", "null", ""),
    *("\x00", "é", "%00", "%ff%fe", "[]", "a" * 600, "' OR 1=1 --", "AAAA" * 15, "____" * 15),
)
QUERIES = (
    *("limit", "cursor", "offset", "wait_seconds", "token", "gpu_class", "renter", "provider", "{}"),
    *("gpu_count", "max_price_per_hour", "kind", "seconds", "start", "end", "weekly_hours", "connected"),
)
HEADERS: Sequence[tuple[str, Sequence[str]]] = (
    ("Content-Length", ("-1", "1", "99999999999999999999999", "abc", "0", "5, 6", "", "+3")),
    ("Transfer-Encoding", ("chunked", "gzip, chunked", "identity", "chunked, chunked", "xchunked")),
    ("Authorization", ("Bearer", "Bearer x", "Bearer gpgpu_" + "A" * 43, "GPGPU ", "Basic Zm9v", "\x80\xff")),
    ("X-Content-SHA256", ("", "00" * 32, "g" * 64, "ab" * 31)),
    ("Last-Event-ID", VALUES),
    (
        "Range",
        ("bytes=-", "bytes=5-1", "bytes=0-,-1", "bytes=" + "0-1," * 500, "lines=1-2", "bytes=-" + "9" * 40),
    ),
    ("Tus-Resumable", ("1.0.0", "1.0.0", "0.2", "")),
    ("Upload-Length", VALUES),
    ("Upload-Offset", VALUES),
    ("Upload-Metadata", ("sha256", "sha256 ", "sha256 YWI=", "sha256 /////w==", "a b,sha256 c", "," * 500)),
    ("Upload-Checksum", ("sha1", "sha256 YWI=", "md5 YWI=", "sha1 \x80")),
    ("X-Forwarded-For", VALUES),
    ("Host", ("", "\x00", "a" * 300, "evil")),
    ("Expect", ("100-continue", "200-ok")),
    ("Upgrade", ("websocket", "h2c")),
    ("Connection", ("Upgrade", "close", "keep-alive, Upgrade")),
    ("Sec-WebSocket-Key", ("", "AAAAAAAAAAAAAAAAAAAAAA==", "x" * 500)),
    ("Sec-WebSocket-Version", ("13", "0", "x")),
    ("If-None-Match", VALUES),
    ("If-Range", VALUES),
    ("Content-Type", ("text/html", "application/json; charset=utf-7", "multipart/form-data", PIECE_TYPE)),
)
BODIES: Sequence[bytes] = (
    b"",
    b"{",
    b"[" * 20_000,
    b'{"a":' * 5_000,
    b"\xff\xfe\x00",
    b'{"message":"\\ud800","signature":"0x"}',
    b'{"message":"a\\u0000b","signature":"0x00"}',
    b'{"message":' + b"9" * 5000 + b',"signature":null}',
    b'{"terms":NaN,"order":Infinity,"spec":-1e999,"signature":-0}',
    b'{"terms":{},"terms":{},"order":[],"spec":"","signature":1}',
    b'{"requirements":{"seconds":1e999,"end":-1,"weekly_hours":"' + b"9" * 200 + b'"},"deadline":0}',
    b'{"offer":{"price_per_hour":"-1","salt":"\\ud800"},"signature":"0x"}',
    b"null",
    b"true",
    b'"' + b"x" * 30_000 + b'"',
    b"\x00" * 100,
)
STRANGE: Sequence[bytes] = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET /v1/offers\r\n\r\n",
    b"GET /v1/offers HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /v1/offers HTTP/1.1\nHost: x\n\n",
    b"GET  /v1/offers  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n\r\n\r\nGET /v1/offers HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 80_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
    b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}",
    b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`server_errors`: requests that got a 5xx, at most ten of them."""

    sent: int
    answered: int
    server_errors: tuple[tuple[bytes, bytes], ...]


def send_malformed(host: str, port: int, authorization: str, count: int, seed: int) -> Outcome:
    """The same requests for the same seed. `authorization`: of somebody who is known, so they get far."""
    draw = random.Random(seed)
    answered, errors = 0, list[tuple[bytes, bytes]]()
    makers: Sequence[Callable[[random.Random, str], bytes]] = (_wrong, _wrong, _mutated, _strange)
    for _ in range(count):
        data = draw.choice(makers)(draw, authorization)
        answer = exchange(host, port, data)
        answered += answer.startswith(b"HTTP/1.1 ")
        if b"HTTP/1.1 5" in answer:
            errors.append((data, answer))
    return Outcome(count, answered, tuple(errors[:10]))


def exchange(host: str, port: int, data: bytes) -> bytes:
    """What comes back until the other side closes, knowing that no more will be sent."""
    with socket.create_connection((host, port), timeout=TIMEOUT_SECONDS) as connection:
        answer = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while len(answer) < ANSWER_BYTES and (chunk := connection.recv(65536)):
                answer += chunk
        except (ConnectionError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
        return answer


def _wrong(draw: random.Random, authorization: str) -> bytes:
    path = draw.choice(PATHS).format(draw.choice(IDS))
    if draw.random() < 0.5:
        pairs = [f"{draw.choice(QUERIES)}={draw.choice(VALUES)}" for _ in range(draw.randint(1, 3))]
        path += "?" + draw.choice("&;").join(pairs)
    lines = [f"{draw.choice(METHODS)} {path} HTTP/1.1", "Host: x", "Connection: close"]
    if draw.random() < 0.7:
        lines.append(f"Authorization: {authorization}")
    body = draw.choice(BODIES)
    if draw.random() < 0.7:
        lines.append(f"Content-Length: {len(body)}")
    for name, values in draw.sample(HEADERS, draw.randint(0, 3)):
        lines.append(f"{name}: {draw.choice(values)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def _mutated(draw: random.Random, authorization: str) -> bytes:
    """A request with some of its bytes changed, removed, or written twice."""
    data = bytearray(_wrong(draw, authorization)[:3000])
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(data))
        match draw.randrange(4):
            case 0:
                data[place] = draw.randrange(256)
            case 1:
                del data[place : place + draw.randint(1, 20)]
            case 2:
                data[place:place] = data[max(place - 30, 0) : place]
            case _:
                del data[place:]
        if not data:
            return b"\r\n"
    return bytes(data)


def _strange(draw: random.Random, _authorization: str) -> bytes:
    return draw.choice(STRANGE)
