"""Results and logs of sealed jobs, read with the keys of their readers; of plain ones, as they are."""

import base64
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import sealing
from protocol.bodies import JobBody, LogsBody
from protocol.errors import BadInput, DigestMismatch, SealBroken
from protocol.orders import job_id, lease_id
from protocol.signed import SignedReceipt
from protocol.structs import JobOrder, Terms
from protocol.typed_data import Domain
from protocol.units import JobId, LeaseId, hex_bytes, to_hex
from scripts.client.api import OracleClient

TermsOf = Callable[[LeaseId], Terms]


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens what is sealed to any of these keys."""

    domain: Domain
    keys: Sequence[X25519PrivateKey]
    terms_of: TermsOf

    def content_key(self, order: JobOrder) -> bytes | None:
        """None: the order is not sealed. SealBroken where it is, for others."""
        if not sealing.is_sealed(order.bundle):
            return None
        terms = self.terms_of(order.lease_id)
        actual = lease_id(self.domain, terms)
        if actual != order.lease_id:
            raise DigestMismatch(
                f"terms: expected those of {to_hex(order.lease_id)}, got of {to_hex(actual)}"
            )
        binding = sealing.order_binding(self.domain, terms, order, sealing.BUNDLE)
        content_key = sealing.find_content_key(order.bundle, self.keys, binding)
        if content_key is None:
            raise SealBroken(
                f"job {to_hex(job_id(self.domain, order))}: sealed, and not to this key", code="not_a_reader"
            )
        return content_key


def opener_of(domain: Domain, keys: Sequence[X25519PrivateKey], oracle: OracleClient) -> Opener:
    """Terms come from the oracle: those of a lease hash to its id."""
    return Opener(domain, keys, lambda of_lease: oracle.lease(of_lease).terms)


def download_artifact(
    oracle: OracleClient, opener: Opener, body: JobBody, name: str, target: Path, max_bytes: int
) -> int:
    """Afterwards `target` is the plaintext that the receipt names; its size in bytes.

    BadInput where there is none, DigestMismatch, SealBroken.
    """
    if body.receipt is None or name not in body.receipt.artifacts:
        raise BadInput(f"job {body.job_id}: it left no {name}", code=f"no_{name.partition('/')[0]}")
    stored = body.receipt.stored[name]
    if not body.receipt.sealed:
        return oracle.download(stored, target, max_bytes)
    content_key = opener.content_key(_order_of(opener.domain, body))
    if content_key is None:
        raise SealBroken(f"job {body.job_id}: its results are sealed, its order is not")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".sealed-") as folder:
        sealed, plain = Path(folder) / "sealed", Path(folder) / "plain"
        oracle.download(stored, sealed, max_bytes)
        open_result(sealed, plain, content_key, body.receipt, name, max_bytes)
        plain.replace(target)
    return target.stat().st_size


def open_result(
    sealed: Path, target: Path, content_key: bytes, signed: SignedReceipt, name: str, max_bytes: int
) -> None:
    """Afterwards `target` is the artifact's plaintext. SealBroken, DigestMismatch."""
    receipt = signed.receipt
    context = sealing.result_context(receipt.order_digest, receipt.attempt, name)
    with sealed.open("rb") as source, target.open("wb") as out:
        actual = sealing.unseal(source, out, content_key, context, max_bytes)
    if actual != signed.artifacts[name]:
        raise DigestMismatch(
            f"{name}: expected sha256 {signed.artifacts[name].hex()} inside, got {actual.hex()}"
        )


class JobLog:
    """A job's log as its reader sees it; offsets are those of the oracle."""

    def __init__(self, oracle: OracleClient, body: JobBody, opener: Opener | None) -> None:
        self._oracle = oracle
        self._job_id = JobId(hex_bytes(body.job_id, 32))
        self._body = body
        self._opener = opener
        self._is_sealed = sealing.is_sealed(body.order.bundle)
        self._content_key: bytes | None = None
        self._salts: dict[int, bytes] = {}

    def read(self, offset: int, wait_seconds: int = 0) -> tuple[bytes, int, bool]:
        """The log from `offset` on, the next offset, and whether no more will come."""
        part = self._oracle.log_part(self._job_id, offset, wait_seconds)
        return self._open(part), part.next_offset, part.complete

    def pieces(self, is_following: bool) -> Iterator[bytes]:
        """What there is of it now, or the whole as it grows until the job has ended."""
        follow = self._oracle.follow_log if is_following else self._oracle.read_log
        yield from map(self._open, follow(self._job_id))

    def _open(self, part: LogsBody) -> bytes:
        data, offset = base64.b64decode(part.data), part.offset
        if not data or not self._is_sealed:
            return data
        ends = (*part.attempt_offsets[1:], None)
        found: list[bytes] = []
        for attempt, (start, end) in enumerate(zip(part.attempt_offsets, ends, strict=True), 1):
            piece = data[max(0, start - offset) : None if end is None else max(0, end - offset)]
            if piece:
                salt = self._salt(attempt, start, end)
                found.append(self._decipher(attempt, salt, max(offset, start) - start, piece))
        return b"".join(found)

    def _decipher(self, attempt: int, salt: bytes, offset: int, piece: bytes) -> bytes:
        """`piece` lies at `offset` of what its attempt has sent, which begins with the salt."""
        if len(salt) < sealing.SALT_BYTES:
            return b""
        skipped = max(0, sealing.SALT_BYTES - offset)
        cipher = sealing.log_cipher(self._key(), self._job_id, attempt, salt)
        return cipher.apply(piece[skipped:], offset + skipped - sealing.SALT_BYTES)

    def _key(self) -> bytes:
        """Asked for once there is a log: by then the oracle knows the lease, and so its terms."""
        if self._content_key is None:
            if self._opener is None:
                raise BadInput(f"job {self._body.job_id}: its log is sealed: a key is needed")
            self._content_key = self._opener.content_key(_order_of(self._opener.domain, self._body))
            assert self._content_key is not None  # noqa: S101 - asked for sealed orders alone
        return self._content_key

    def _salt(self, attempt: int, start: int, end: int | None) -> bytes:
        """Fewer bytes where the attempt has not sent all of them."""
        if attempt not in self._salts:
            data = base64.b64decode(self._oracle.log_part(self._job_id, start).data)
            salt = data[: sealing.SALT_BYTES if end is None else min(sealing.SALT_BYTES, end - start)]
            if len(salt) < sealing.SALT_BYTES:
                return salt
            self._salts[attempt] = salt
        return self._salts[attempt]


def _order_of(domain: Domain, body: JobBody) -> JobOrder:
    """The order that the job's id is the digest of. DigestMismatch."""
    actual = to_hex(job_id(domain, body.order))
    if actual != body.job_id:
        raise DigestMismatch(f"order: expected that of job {body.job_id}, got of {actual}")
    return body.order
