"""Uploads in pieces, killed and raced at the steps that no request shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oracle.artifact_folder import ArtifactFolder
from oracle.artifacts import Staging
from oracle.store import artifacts, uploads
from oracle.store.engine import Store
from oracle.uploads import OffsetConflict, Quotas, Uploads
from protocol.digests import sha256
from protocol.errors import DigestMismatch, LimitExceeded, RejectedError
from tests.unit.oracle.oracle_samples import MONDAY, RENTER, WORKER

DATA = b"0123456789" * 10
DIGEST = sha256(DATA)


@dataclass(slots=True)
class Place:
    store: Store
    staging: Staging
    folder: ArtifactFolder
    uploads: Uploads

    def send(self, offset: int, data: bytes) -> None:
        upload_id = uploads.upload_id_of(RENTER, DIGEST)
        with self.uploads.piece(RENTER, upload_id, offset) as piece:
            piece.write(data)
            piece.complete(sha256(data))

    @property
    def part(self) -> Path:
        return self.staging.part(uploads.upload_id_of(RENTER, DIGEST))

    def is_stored(self) -> bool:
        with self.store.read() as transaction:
            return artifacts.get_artifact(transaction, DIGEST) is not None


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Iterator[Place]:
    staging, folder = Staging(tmp_path / "incoming"), ArtifactFolder(tmp_path / "store")
    quotas = Quotas(1 << 20, 1 << 20, 1000, 1 << 20, 4)
    yield Place(store, staging, folder, Uploads(store, staging, folder, quotas, lambda: MONDAY))


def test_piece__another_request_goes_on__the_first_writes_no_more(place: Place) -> None:
    upload_id = place.uploads.begin(RENTER, DIGEST, len(DATA)).upload_id
    with place.uploads.piece(RENTER, upload_id, 0) as first:
        first.write(DATA[:10])
        place.send(0, DATA[:50])
        with pytest.raises(RejectedError) as refused:
            first.write(b"x" * 10)
        assert refused.value.code == "upload_resumed"
        with pytest.raises(RejectedError):
            first.complete(sha256(DATA[:10] + b"x" * 10))
    place.send(50, DATA[50:])
    assert place.folder.read(DIGEST, 0, 1000) == DATA
    assert place.is_stored() and not place.part.exists()


def test_piece__torn_before_its_end__is_overwritten(place: Place) -> None:
    upload_id = place.uploads.begin(RENTER, DIGEST, len(DATA)).upload_id
    with place.uploads.piece(RENTER, upload_id, 0) as piece:
        piece.write(b"y" * 60)
        with pytest.raises(DigestMismatch):
            piece.complete(DIGEST)
    with pytest.raises(OffsetConflict), place.uploads.piece(RENTER, upload_id, 60):
        pass
    with place.uploads.piece(RENTER, upload_id, 0) as piece, pytest.raises(LimitExceeded):
        piece.write(DATA + b"z")
    place.send(0, DATA)
    assert place.folder.read(DIGEST, 0, 1000) == DATA


@pytest.mark.parametrize("is_put", [False, True])
def test_upload__killed_after_the_last_piece__is_stored_when_asked_again(place: Place, is_put: bool) -> None:
    """All bytes are on the disk and counted; the store may have them, the artifact's row is not written."""
    entry = place.uploads.begin(RENTER, DIGEST, len(DATA))
    place.part.write_bytes(DATA + b"of a torn piece")
    with place.store.write() as transaction:
        assert uploads.move_upload(transaction, entry, len(DATA), MONDAY)
    if is_put:
        (place.part.parent / "copy").write_bytes(DATA)
        place.folder.keep(place.part.parent / "copy", DIGEST)
    assert not place.is_stored()
    assert place.uploads.begin(RENTER, DIGEST, len(DATA)).offset_bytes == len(DATA)
    assert place.is_stored() and place.folder.read(DIGEST, 0, 1000) == DATA
    assert not place.part.exists()


def test_upload__part_is_elsewhere_or_lost__begins_anew(place: Place) -> None:
    place.uploads.begin(RENTER, DIGEST, len(DATA))
    place.send(0, DATA[:50])
    place.part.unlink()
    assert place.uploads.begin(RENTER, DIGEST, len(DATA)).offset_bytes == 0
    place.send(0, DATA)
    assert place.is_stored()


def test_upload__stored_by_another_alone__is_sent_in_full(place: Place) -> None:
    """To know a digest is not to have the bytes."""
    place.uploads.begin(RENTER, DIGEST, len(DATA))
    place.send(0, DATA)
    assert place.uploads.begin(WORKER, DIGEST, len(DATA)).offset_bytes == 0
    assert place.uploads.begin(RENTER, DIGEST, len(DATA)).offset_bytes == len(DATA)
    with place.store.read() as transaction:
        assert not artifacts.owns_artifact(transaction, DIGEST, WORKER)


def test_quota__uploads_under_way__are_counted_once(place: Place) -> None:
    place.uploads.begin(RENTER, DIGEST, 600)
    assert place.uploads.begin(RENTER, DIGEST, 600).offset_bytes == 0
    with pytest.raises(LimitExceeded) as refused:
        place.uploads.begin(RENTER, sha256(b"other"), 401)
    assert refused.value.code == "quota_exceeded"
    assert place.uploads.room_bytes(RENTER, DIGEST) == 1000
    place.uploads.begin(RENTER, sha256(b"other"), 400)
