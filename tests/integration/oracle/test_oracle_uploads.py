"""Uploads in pieces and downloads in parts, over what breaks: connections, the oracle, the bytes it keeps."""

import base64
import hashlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from oracle.artifacts import BLOCK_BYTES
from protocol.resumable import PIECE_BYTES
from scripts.client.api import Identity, OracleClient
from tests.anvil import deploy, run_anvil
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.oracle_tus import PIECE_TYPE, TUS, create, offset_of, patch
from worker.artifacts import ArtifactClient

EXPIRY_SECONDS = 3600
QUOTA_BYTES = 96 << 20
LARGE = hashlib.shake_128(b"large").digest(2 * PIECE_BYTES + 12_345)


@dataclass(slots=True)
class Place:
    """One oracle, nobody's lease: whoever signs may upload."""

    deployment: Any
    oracle: rig.OracleProcess
    folder: Path

    def caller(self, number: int) -> rig.Caller:
        return rig.Caller(self.oracle, self.domain, self.deployment.anvil.accounts[number])

    @property
    def domain(self) -> Any:
        return rig.Domain(self.deployment.manifest.chain_id, self.deployment.manifest.market)

    def parts(self) -> list[Path]:
        return list((self.folder / "data" / "artifacts" / "incoming").iterdir())

    def stored(self, data: bytes) -> Path:
        name = rig.sha256(data).hex()
        return self.folder / "data" / "artifacts" / "sha256" / name[:2] / name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("uploads")
    limits = {
        "max_artifact_bytes": 64 << 20,
        "newcomer_quota_bytes": QUOTA_BYTES,
        "newcomers_quota_bytes": 1 << 30,
        "upload_idle_seconds": 1.5,
        "upload_expiry_seconds": EXPIRY_SECONDS,
        "max_account_uploads": 2,
        "housekeeping_seconds": 0.3,
    }
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil)
        with rig.run_oracle(folder, deployment, **limits) as oracle:
            # A restart is found where it was.
            oracle.settings = {**oracle.settings, "port": int(oracle.url.rsplit(":", 1)[1])}
            yield Place(deployment, oracle, folder)


def fresh(label: str, size_bytes: int = 3000) -> bytes:
    return hashlib.shake_128(label.encode()).digest(size_bytes)


def test_upload__in_pieces__stored_when_the_last_is_there(place: Place) -> None:
    caller, data = place.caller(4), fresh("pieces")
    created = create(caller, data)
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "0")
    target = created.headers["Location"]
    first = patch(caller, target, 0, data[:1000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000")
    assert "Upload-Expires" in first.headers and first.headers["Tus-Resumable"] == "1.0.0"
    assert caller("GET", f"/v1/artifacts/{rig.sha256(data).hex()}").status_code == 404
    # Asked to create it again, the oracle says where it stands.
    again = create(caller, data)
    assert (again.headers["Location"], again.headers["Upload-Offset"]) == (target, "1000")
    digest = hashlib.sha1(data[1000:], usedforsecurity=False).digest()
    checksum = {"Upload-Checksum": f"sha1 {base64.b64encode(digest).decode()}"}
    assert patch(caller, target, 1000, data[1000:], **checksum).status_code == 204
    assert caller("GET", f"/v1/artifacts/{rig.sha256(data).hex()}").content == data
    assert caller("HEAD", target, **TUS).status_code == 404
    assert not place.parts()
    # What the account has stored already is not sent again.
    assert create(caller, data).headers["Upload-Offset"] == str(len(data))


def test_upload__empty__needs_no_piece(place: Place) -> None:
    caller = place.caller(4)
    assert create(caller, b"").headers["Upload-Offset"] == "0"
    assert caller("GET", f"/v1/artifacts/{rig.sha256(b'').hex()}").content == b""


def test_upload__wrong_in_any_way__is_refused_and_stands_where_it_was(place: Place) -> None:
    caller, other, data = place.caller(4), place.caller(5), fresh("wrong")
    target = create(caller, data).headers["Location"]
    assert patch(caller, target, 0, data[:100]).status_code == 204
    checksum = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refusals = [
        (patch(caller, target, 50, data[50:]), 409),
        (patch(caller, target, 100, data[100:], **{"Upload-Checksum": f"sha256 {checksum}"}), 460),
        (patch(caller, target, 100, data[100:], **{"Upload-Checksum": "md5 aaaa"}), 422),
        (patch(caller, target, 100, data[100:], **{"Content-Type": "text/plain"}), 415),
        (patch(caller, target, 100, data[100:], **{"Tus-Resumable": "0.2.2"}), 412),
        (patch(caller, target, 100, data[100:], **{"X-Content-SHA256": "0" * 64}), 401),
        (patch(caller, target, 100, data + data), 413),
        (patch(other, target, 100, data[100:]), 404),
        (other("HEAD", target, **TUS), 404),
        (other("DELETE", target, **TUS), 404),
        (caller("POST", "/v1/uploads", **TUS), 422),
        (create(caller, data, size_bytes=65 << 20), 413),
    ]
    assert [response.status_code for response, _ in refusals] == [status for _, status in refusals]
    assert refusals[0][0].headers["Upload-Offset"] == "100"
    assert offset_of(caller, target) == 100
    described = httpx2.options(place.oracle.url + "/v1/uploads")
    assert described.headers["Tus-Extension"] == "creation,checksum,expiration,termination"
    assert caller("DELETE", target, **TUS).status_code == 204
    assert caller("HEAD", target, **TUS).status_code == 404
    assert not place.parts()


def test_upload__other_bytes_than_named__are_gone_at_the_end(place: Place) -> None:
    caller, data = place.caller(4), fresh("named")
    target = create(caller, data).headers["Location"]
    response = patch(caller, target, 0, fresh("sent"))
    assert (response.status_code, response.json()["code"]) == (422, "digest_mismatch")
    assert caller("HEAD", target, **TUS).status_code == 404
    assert not place.stored(data).exists() and not place.parts()


def test_upload__quota_and_number__count_what_is_under_way(place: Place) -> None:
    caller = place.caller(6)
    for label in ("first", "second"):
        assert create(caller, fresh(label), size_bytes=40 << 20).status_code == 201
    third = create(caller, fresh("third"), size_bytes=1000)
    assert (third.status_code, third.json()["code"]) == (429, "too_many_uploads")
    assert caller.upload(fresh("whole", 17 << 20)).status_code == 413


def test_upload__nobody_goes_on__ends_with_its_part(place: Place) -> None:
    caller, data = place.caller(7), fresh("idle")
    target = create(caller, data).headers["Location"]
    assert patch(caller, target, 0, data[:10]).status_code == 204
    assert place.parts()
    with sqlite3.connect(place.folder / "data" / "store.sqlite", timeout=20) as database:
        database.execute("UPDATE uploads SET touched_at = touched_at - ?", (EXPIRY_SECONDS + 1,))
    database.close()
    rig.until(lambda: caller("HEAD", target, **TUS).status_code == 404, "the upload has ended")
    rig.until(lambda: not place.parts(), "its part is gone")


def test_upload__connection_torn_in_a_piece__stands_before_it(place: Place) -> None:
    caller, data = place.caller(4), fresh("torn", 100_000)
    target = create(caller, data).headers["Location"]
    assert patch(caller, target, 0, data[:1000]).status_code == 204
    signed = caller.sign("PATCH", target, data[1000:])
    headers = {
        **TUS,
        **signed,
        "Upload-Offset": "1000",
        "Content-Type": PIECE_TYPE,
        "Content-Length": str(len(data) - 1000),
        "Host": "oracle",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host, port = place.oracle.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"PATCH {target} HTTP/1.1\r\n{head}\r\n".encode() + data[1000:50_000])
    assert offset_of(caller, target) == 1000
    assert patch(caller, target, 1000, data[1000:]).status_code == 204
    assert caller("GET", f"/v1/artifacts/{rig.sha256(data).hex()}").content == data


class KillingTransport(httpx2.HTTPTransport):
    """Kills the oracle with -9 after the first piece has arrived, and starts it again a little later."""

    def __init__(self, oracle: rig.OracleProcess) -> None:
        super().__init__()
        self._oracle = oracle
        self.sent: list[tuple[str, int]] = []
        self.restart: threading.Thread | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if request.method == "PATCH":
            self.sent.append((request.headers["Upload-Offset"], len(request.content)))
            if len(self.sent) == 1:
                self._oracle.kill()
                self.restart = threading.Thread(target=self._oracle.start)
                self.restart.start()
        return response


def test_client__oracle_killed_between_pieces__goes_on_from_what_it_has(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    account = place.deployment.anvil.accounts[8]
    transport = KillingTransport(place.oracle)
    with OracleClient(place.oracle.url, Identity(place.domain, account), transport) as client:
        client.upload(path, rig.sha256(LARGE))
        assert transport.restart is not None
        transport.restart.join()
        assert transport.sent == [
            ("0", PIECE_BYTES),
            (str(PIECE_BYTES), PIECE_BYTES),
            (str(2 * PIECE_BYTES), 12_345),
        ]
        assert client.download(rig.sha256(LARGE), tmp_path / "back", 1 << 30) == len(LARGE)
    assert (tmp_path / "back").read_bytes() == LARGE
    assert not place.parts()


def test_worker__download_broken_off__goes_on_from_its_bytes(place: Place, tmp_path: Path) -> None:
    account = place.deployment.anvil.accounts[8]
    client = ArtifactClient(place.oracle.url, place.domain, account, 20)
    path, target = tmp_path / "large", tmp_path / "target"
    path.write_bytes(LARGE)
    client.upload(path, rig.sha256(LARGE))
    for kept in (b"", LARGE[:1_000_000], LARGE):
        target.write_bytes(kept)
        client.download(rig.sha256(LARGE), target, len(LARGE))
        assert target.read_bytes() == LARGE
    client.close()


@pytest.mark.parametrize(
    ("header", "start", "end", "status"),
    [
        ("bytes=0-9", 0, 10, 206),
        (f"bytes={BLOCK_BYTES - 5}-{BLOCK_BYTES + 4}", BLOCK_BYTES - 5, BLOCK_BYTES + 5, 206),
        (f"bytes={len(LARGE) - 7}-", len(LARGE) - 7, len(LARGE), 206),
        ("bytes=0-", 0, len(LARGE), 200),
        ("bytes=-5", 0, len(LARGE), 200),
        (f"bytes={len(LARGE)}-", 0, 0, 416),
        ("bytes=9-8", 0, 0, 416),
    ],
)
def test_download__range__gives_these_bytes(
    place: Place, header: str, start: int, end: int, status: int
) -> None:
    caller = place.caller(8)
    create_whole(place, caller)
    response = caller("GET", f"/v1/artifacts/{rig.sha256(LARGE).hex()}", Range=header)
    assert response.status_code == status
    if status == 206:
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(LARGE)}"
    if status != 416:
        assert response.content == LARGE[start:end]


def create_whole(place: Place, caller: rig.Caller) -> None:
    if not place.stored(LARGE).exists():
        assert caller.upload(LARGE).status_code == 201


@pytest.mark.parametrize("damage", ["first block", "later block", "cut", "gone"])
def test_download__bytes_damaged_in_the_store__are_never_served_and_heal(place: Place, damage: str) -> None:
    caller = place.caller(8)
    create_whole(place, caller)
    target, path = f"/v1/artifacts/{rig.sha256(LARGE).hex()}", place.stored(LARGE)
    altered = bytearray(LARGE)
    altered[3 if damage == "first block" else -3] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes(LARGE[:-1] if damage == "cut" else altered)
    if damage in ("first block", "gone"):
        response = caller("GET", target)
        assert (response.status_code, response.json()["code"]) == (410, "artifact_damaged")
    else:
        received = b""
        headers = caller.sign("GET", target)
        with (
            pytest.raises(httpx2.RemoteProtocolError),
            caller.http.stream("GET", place.oracle.url + target, headers=headers) as stream,
        ):
            for piece in stream.iter_raw():
                received += piece
        assert received and LARGE.startswith(received)
        assert len(received) <= len(LARGE) // BLOCK_BYTES * BLOCK_BYTES
        # In doubt, the whole is measured before anything is served.
        assert caller("GET", target, Range="bytes=0-1").status_code == 410
    assert place.oracle.lines("artifact_damaged")
    # The shortcut for who has stored it already is closed: the bytes are sent and heal it.
    assert create(caller, LARGE).headers["Upload-Offset"] == "0"
    assert caller.upload(LARGE).status_code == 200
    assert caller("GET", target).content == LARGE
