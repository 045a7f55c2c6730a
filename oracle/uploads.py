"""Uploads, whole or in pieces: within quotas, on the disk before they are acknowledged, resumable.

Of an upload in pieces, the bytes up to its row's offset are on the disk and were signed for; what lies beyond
is of a piece that did not arrive whole, and is overwritten. Killed at any step it goes on from that offset.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from oracle.artifacts import ArtifactStore, StagedFile, Staging, hash_file
from oracle.clock import Now
from oracle.store import artifacts as rows
from oracle.store import uploads
from oracle.store.engine import Store, Transaction
from oracle.store.uploads import UploadEntry
from protocol.errors import DigestMismatch, LimitExceeded, RejectedError, ServiceUnavailable
from protocol.units import Address, Digest

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Quotas:
    max_artifact_bytes: int
    account_bytes: int
    newcomer_bytes: int
    """Each, for accounts that have neither a lease nor a unit."""
    newcomers_bytes: int
    """Together."""
    max_uploads: int
    """Under way, of each account."""


class OffsetConflict(RejectedError):
    """The upload stands at another offset."""

    default_code = "offset_conflict"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"upload offset: expected {expected}, got {actual}")
        self.expected = expected


class Uploads:
    """Safe for any number of threads of one process; the staging folder belongs to that process."""

    def __init__(
        self, store: Store, staging: Staging, artifacts: ArtifactStore, quotas: Quotas, now: Now
    ) -> None:
        self._store = store
        self._staging = staging
        self._artifacts = artifacts
        self._quotas = quotas
        self._now = now
        self._lock = threading.Lock()
        self._turns: dict[str, object] = {}
        self._finishing: set[str] = set()

    def room_bytes(self, account: Address, digest: Digest) -> int:
        """The most that this account may store under the digest now. LimitExceeded where that is nothing."""
        with self._store.read() as transaction:
            return self._room_bytes(transaction, account, digest)

    def store_whole(self, account: Address, staged: StagedFile) -> bool:
        """True: the bytes were not here before."""
        with self._store.write() as transaction:
            # Uploads at the same time share one quota: what counts is what is left now.
            self._check_room(transaction, account, staged.digest, staged.size_bytes)
            entry = uploads.begin_upload(transaction, account, staged.digest, staged.size_bytes, self._now())
        return self._keep(entry, staged)

    def begin(self, account: Address, digest: Digest, size_bytes: int) -> UploadEntry:
        """A new upload in pieces, or the one that is under way, as it stands.

        At its end where nothing is to be sent: the account has stored these bytes, or has sent them all.
        """
        upload_id = uploads.upload_id_of(account, digest)
        with self._store.write() as transaction:
            if self._renew(transaction, account, digest, size_bytes):
                return UploadEntry(upload_id, account, digest, size_bytes, size_bytes, self._now())
            known = uploads.get_upload(transaction, upload_id)
            if known is not None and known.size_bytes != size_bytes:
                # Of one digest one size alone can be right: the newer word counts.
                uploads.end_upload(transaction, upload_id)
                known = None
            if known is None:
                self._check_room(transaction, account, digest, size_bytes)
                if uploads.count_uploads(transaction, account) >= self._quotas.max_uploads:
                    message = f"expected at most {self._quotas.max_uploads} uploads under way"
                    raise LimitExceeded(message, code="too_many_uploads")
            uploads.begin_upload(transaction, account, digest, size_bytes, self._now())
        entry = self.find(account, upload_id)
        if entry.offset_bytes == size_bytes:
            self.finish(entry)
        return entry

    def find(self, account: Address, upload_id: str) -> UploadEntry:
        """The upload, back at its beginning where its bytes are not here. RejectedError for another's."""
        with self._store.read() as transaction:
            entry = uploads.get_upload(transaction, upload_id)
        if entry is None or entry.account != account:
            raise RejectedError("no such upload, or not yours", code="unknown_upload")
        if entry.offset_bytes and _size_bytes(self._staging.part(upload_id)) < entry.offset_bytes:
            with self._store.write() as transaction:
                uploads.move_upload(transaction, entry, 0, self._now())
                entry = uploads.get_upload(transaction, upload_id)
            if entry is None:
                raise RejectedError("no such upload, or not yours", code="unknown_upload")
        return entry

    @contextmanager
    def piece(self, account: Address, upload_id: str, offset_bytes: int) -> Generator[Piece, None, None]:
        """Takes the turn from whoever else is writing to this upload. OffsetConflict."""
        piece = Piece(self, self._staging.part(upload_id))
        with self._lock:
            self._turns[upload_id] = piece
        try:
            # Read with the turn taken: nobody else moves the upload from here on.
            entry = self.find(account, upload_id)
            if entry.offset_bytes != offset_bytes:
                raise OffsetConflict(entry.offset_bytes, offset_bytes)
            piece.open(entry)
            yield piece
        finally:
            piece.close()
            with self._lock:
                if self._turns.get(upload_id) is piece:
                    del self._turns[upload_id]

    @contextmanager
    def turn(self, upload_id: str, holder: object) -> Generator[None, None, None]:
        """While it lasts `holder` has the upload for itself. OffsetConflict where another has taken over."""
        with self._lock:
            if self._turns.get(upload_id) is not holder:
                raise RejectedError("the upload goes on in another request", code="upload_resumed")
            yield

    def advance(self, entry: UploadEntry, size_bytes: int) -> UploadEntry:
        """A piece is on the disk. Asked for within its `turn`."""
        offset_bytes = entry.offset_bytes + size_bytes
        with self._store.write() as transaction:
            if not uploads.move_upload(transaction, entry, offset_bytes, self._now()):
                raise RejectedError("no such upload any more", code="unknown_upload")
            moved = uploads.get_upload(transaction, entry.upload_id)
        assert moved is not None  # noqa: S101 - moved above, in the same transaction
        return moved

    def finish(self, entry: UploadEntry) -> None:
        """All bytes are here: afterwards they are stored, or, where they are others, gone. DigestMismatch.

        ServiceUnavailable where another request is at it: large ones take longer than a sender waits.
        """
        with self._lock:
            if entry.upload_id in self._finishing:
                raise ServiceUnavailable("the upload is being stored: ask again", code="upload_finishing")
            self._finishing.add(entry.upload_id)
        part = self._staging.part(entry.upload_id)
        try:
            if not entry.size_bytes:
                part.touch(mode=0o600)
            self._keep(entry, hash_file(part, entry.size_bytes, entry.digest))
            part.unlink(missing_ok=True)
        except DigestMismatch:
            self.end(entry)
            raise
        except FileNotFoundError as error:
            raise RejectedError("the upload has ended", code="unknown_upload") from error
        finally:
            with self._lock:
                self._finishing.discard(entry.upload_id)

    def end(self, entry: UploadEntry) -> None:
        """Afterwards nothing is left of it."""
        with self._store.write() as transaction:
            uploads.end_upload(transaction, entry.upload_id)
        self._staging.part(entry.upload_id).unlink(missing_ok=True)

    def end_idle(self, touched_before: int) -> int:
        """Ends uploads that nobody has gone on with; how many."""
        with self._store.write() as transaction:
            ended = uploads.end_idle_uploads(transaction, touched_before)
        for upload_id in ended:
            self._staging.part(upload_id).unlink(missing_ok=True)
        with self._store.read() as transaction:
            known = uploads.upload_ids(transaction)
        return len(ended) + self._staging.remove_unknown_parts(known)

    def _keep(self, entry: UploadEntry, staged: StagedFile) -> bool:
        """The upload's row keeps the digest from leaving, until the artifact's own row does."""
        self._artifacts.keep(staged.path, staged.digest)
        with self._store.write() as transaction:
            created = rows.get_artifact(transaction, staged.digest) is None
            rows.add_artifact(
                transaction, staged.digest, staged.size_bytes, entry.account, self._now(), staged.blocks
            )
            uploads.end_upload(transaction, entry.upload_id)
        log.info("artifact_stored", digest=staged.digest, size_bytes=staged.size_bytes, created=created)
        return created

    def _renew(self, transaction: Transaction, account: Address, digest: Digest, size_bytes: int) -> bool:
        """True: the account has stored these very bytes, and the retention begins anew."""
        stored = rows.get_artifact(transaction, digest)
        if stored is None or (stored.size_bytes, stored.block_digests is None) != (size_bytes, False):
            return False
        if not rows.owns_artifact(transaction, digest, account):
            return False
        rows.add_artifact(transaction, digest, size_bytes, account, self._now(), stored.block_digests)
        return True

    def _check_room(
        self, transaction: Transaction, account: Address, digest: Digest, size_bytes: int
    ) -> None:
        room_bytes = self._room_bytes(transaction, account, digest)
        if size_bytes > self._quotas.max_artifact_bytes:
            limit = self._quotas.max_artifact_bytes
            raise LimitExceeded(
                f"artifact: expected at most {limit} bytes, got {size_bytes}", code="too_large"
            )
        if size_bytes > room_bytes:
            message = f"{account} has {room_bytes} bytes left of its quota, got {size_bytes}"
            raise LimitExceeded(message, code="quota_exceeded")

    def _room_bytes(self, transaction: Transaction, account: Address, digest: Digest) -> int:
        quotas = self._quotas
        if rows.owns_artifact(transaction, digest, account):
            return quotas.max_artifact_bytes
        used_bytes = rows.used_bytes(transaction, account)
        under_way = uploads.get_upload(transaction, uploads.upload_id_of(account, digest))
        if under_way is not None:
            used_bytes -= under_way.size_bytes
        if rows.is_newcomer(transaction, account):
            others = rows.newcomers_bytes(transaction) - (under_way.size_bytes if under_way else 0)
            left_bytes = min(quotas.newcomer_bytes - used_bytes, quotas.newcomers_bytes - others)
        else:
            left_bytes = quotas.account_bytes - used_bytes
        if left_bytes <= 0:
            message = f"{account} has stored {used_bytes} bytes, its quota"
            raise LimitExceeded(message, code="quota_exceeded")
        return min(left_bytes, quotas.max_artifact_bytes)


class Piece:
    """Bytes that follow those that are here: written as they come, counted once they are all there."""

    def __init__(self, owner: Uploads, path: Path) -> None:
        self._owner = owner
        self._path = path
        self._descriptor: int | None = None
        self._entry: UploadEntry | None = None
        self._hash = hashlib.sha256()
        self._written_bytes = 0

    @property
    def room_bytes(self) -> int:
        """How many bytes the upload still lacks."""
        return self._opened.size_bytes - self._opened.offset_bytes - self._written_bytes

    def open(self, entry: UploadEntry) -> None:
        self._entry = entry
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write(self, data: bytes) -> None:
        if len(data) > self.room_bytes:
            raise LimitExceeded(f"piece: expected at most {self.room_bytes} bytes more", code="too_large")
        self._hash.update(data)
        with self._owner.turn(self._opened.upload_id, self):
            view = memoryview(data)
            while view:
                offset = self._opened.offset_bytes + self._written_bytes
                count = os.pwrite(self._file, view, offset)
                self._written_bytes += count
                view = view[count:]

    def complete(self, expected: Digest) -> UploadEntry:
        """The upload with this piece on the disk; the artifact, where it was the last one. DigestMismatch."""
        actual = self._hash.digest()
        if actual != expected:
            raise DigestMismatch(
                f"piece: expected sha256 {expected.hex()}, got {actual.hex()}", code="checksum_mismatch"
            )
        os.fsync(self._file)
        with self._owner.turn(self._opened.upload_id, self):
            moved = self._owner.advance(self._opened, self._written_bytes)
        if moved.offset_bytes == moved.size_bytes:
            self._owner.finish(moved)
        return moved

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def _opened(self) -> UploadEntry:
        assert self._entry is not None  # noqa: S101 - opened before it is handed out
        return self._entry

    @property
    def _file(self) -> int:
        assert self._descriptor is not None  # noqa: S101 - as above
        return self._descriptor


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
