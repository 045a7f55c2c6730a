"""Sealed artifacts: what renter and worker send each other through an oracle that cannot read it.

A sealed file is MAGIC ‖ salt (32 bytes) ‖ chunks, in the STREAM construction: AES-256-GCM over each
CHUNK_BYTES of plaintext under the nonce 0^7 ‖ counter (4 bytes) ‖ 1 for the last chunk, else 0, so that cut,
reordered, repeated and spliced chunks fail. The key of a file is HKDF-SHA256(content key, salt, context).

The content key is random, one for each launch. A wrapped key is reader ‖ enc ‖ ciphertext (112 bytes): the
reader's X25519 key, and RFC 9180's base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, whose
info is the order that it is for. Whoever reads the bundle of an order reads its results: their keys derive
from the same content key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import BadInput, LimitExceeded, SealBroken
from protocol.structs import ArtifactRef, JobOrder, Terms
from protocol.typed_data import Domain, digest, hash_struct
from protocol.units import ZERO_BYTES32, ZERO_DIGEST, Digest, JobId, LeaseId, to_hex

MAGIC: Final = b"GPGPUs\x00\x01"
SALT_BYTES: Final = 32
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
CHUNK_BYTES: Final = 1 << 20
HEADER_BYTES: Final = len(MAGIC) + SALT_BYTES
WRAPPED_BYTES: Final = KEY_BYTES + KEY_BYTES + KEY_BYTES + TAG_BYTES
MAX_CHUNKS: Final = 1 << 32
MAX_READERS: Final = 64
BUNDLE: Final = b"bundle"
DATA: Final = b"data"

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_FILE_INFO: Final = b"gpgpu sealed file 1\x00"
_LOG_INFO: Final = b"gpgpu sealed log 1\x00"
_WRAP_INFO: Final = b"gpgpu wrapped key 1\x00"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What `seal` has written: digests are SHA-256."""

    plaintext_digest: Digest
    ciphertext_digest: Digest
    size_bytes: int

    def reference(self, wrapped_keys: Sequence[bytes]) -> ArtifactRef:
        return ArtifactRef(
            self.plaintext_digest, self.ciphertext_digest, self.size_bytes, tuple(wrapped_keys)
        )


def seal(source: BinaryIO, target: BinaryIO, content_key: bytes, context: bytes, salt: bytes) -> Sealed:
    """Writes the sealed form of all that is left of `source`. `salt`: 32 random bytes, never used again."""
    cipher = AESGCM(_file_key(content_key, salt, context))
    plain, sealed = hashlib.sha256(), hashlib.sha256()
    size_bytes = 0

    def put(data: bytes) -> None:
        nonlocal size_bytes
        target.write(data)
        sealed.update(data)
        size_bytes += len(data)

    put(MAGIC + salt)
    chunk, counter = _read_full(source, CHUNK_BYTES), 0
    while True:
        following = _read_full(source, CHUNK_BYTES)
        plain.update(chunk)
        put(cipher.encrypt(_nonce(counter, last=not following), chunk, None))
        if not following:
            return Sealed(Digest(plain.digest()), Digest(sealed.digest()), size_bytes)
        chunk, counter = following, counter + 1


def unseal(source: BinaryIO, target: BinaryIO, content_key: bytes, context: bytes, max_bytes: int) -> Digest:
    """Writes the plaintext and returns its SHA-256. SealBroken, LimitExceeded.

    Each chunk that is written is authentic, yet only a return says that all of them are there.
    """
    header = _read_full(source, HEADER_BYTES)
    if len(header) != HEADER_BYTES or not header.startswith(MAGIC):
        raise SealBroken("sealed file: expected its header, got other bytes")
    cipher = AESGCM(_file_key(content_key, header[len(MAGIC) :], context))
    state, written, counter = hashlib.sha256(), 0, 0
    chunk = _read_full(source, CHUNK_BYTES + TAG_BYTES)
    while True:
        following = _read_full(source, CHUNK_BYTES + TAG_BYTES)
        try:
            plaintext = cipher.decrypt(_nonce(counter, last=not following), chunk, None)
        except InvalidTag as error:
            raise SealBroken(
                f"sealed file: chunk {counter} was altered, moved, cut, or is of another key"
            ) from error
        written += len(plaintext)
        if written > max_bytes:
            raise LimitExceeded(f"sealed file: expected at most {max_bytes} bytes, got more")
        state.update(plaintext)
        target.write(plaintext)
        if not following:
            return Digest(state.digest())
        chunk, counter = following, counter + 1


def result_context(job_id: JobId, attempt: int, name: str) -> bytes:
    """Of an artifact that an attempt at a job made."""
    return b"result" + job_id + attempt.to_bytes(8) + name.encode()


def log_cipher(content_key: bytes, job_id: JobId, attempt: int, salt: bytes) -> LogCipher:
    info = _LOG_INFO + job_id + attempt.to_bytes(8)
    return LogCipher(HKDF(SHA256(), KEY_BYTES, salt, info).derive(content_key))


@dataclass(frozen=True, slots=True)
class LogCipher:
    """A log as it grows: AES-256 in counter mode, so that any part can be read at its own offset.

    It hides the log and does not authenticate it: the log artifact of the receipt does. Nothing but one
    append-only log is ever enciphered with one salt.
    """

    key: bytes

    def apply(self, data: bytes, offset: int) -> bytes:
        """Enciphers and deciphers the bytes that lie at `offset`."""
        block, skipped = divmod(offset, 16)
        stream = Cipher(algorithms.AES(self.key), modes.CTR(block.to_bytes(16))).encryptor()
        stream.update(bytes(skipped))
        return stream.update(data)


def wrap_key(content_key: bytes, reader: bytes, binding: bytes) -> bytes:
    """The content key for one reader of one order; `binding` is `order_binding`'s. BadInput for a bad key."""
    public = _public_key(reader)
    return reader + _SUITE.encrypt(content_key, public, _WRAP_INFO + binding)


def unwrap_key(wrapped: bytes, private_key: X25519PrivateKey, binding: bytes) -> bytes:
    """SealBroken where it is for another reader or another order, or was altered."""
    try:
        content_key = _SUITE.decrypt(wrapped[KEY_BYTES:], private_key, _WRAP_INFO + binding)
    except InvalidTag as error:
        raise SealBroken("wrapped key: expected one for this reader and this order") from error
    if len(content_key) != KEY_BYTES:
        raise SealBroken(f"wrapped key: expected {KEY_BYTES} bytes inside, got {len(content_key)}")
    return content_key


def find_content_key(artifact: ArtifactRef, keys: Iterable[X25519PrivateKey], binding: bytes) -> bytes | None:
    """The content key, by the first of our keys that is among the readers; None where none is. SealBroken."""
    ours = {public_bytes(key): key for key in keys}
    for wrapped in artifact.wrapped_keys:
        key = ours.get(wrapped[:KEY_BYTES])
        if key is not None:
            return unwrap_key(wrapped, key, binding)
    return None


def order_binding(domain: Domain, terms: Terms, order: JobOrder, part: bytes) -> bytes:
    """Names one artifact of one order of one lease on one chain, and all who may read it.

    The first order is part of its lease's id, so the lease goes in without it, and the order without the
    lease. Of wrapped keys only the readers count: nobody can be added without wrapping anew.
    """
    lease = digest(domain, replace(terms, first_order=ZERO_DIGEST))
    bare = replace(
        order,
        lease_id=LeaseId(ZERO_BYTES32),
        bundle=_readers_only(order.bundle),
        data=_readers_only(order.data),
    )
    return lease + hash_struct(bare) + part


def readers_of(artifact: ArtifactRef) -> tuple[bytes, ...]:
    """X25519 keys of those who can read it; none: it is not sealed."""
    return tuple(wrapped[:KEY_BYTES] for wrapped in artifact.wrapped_keys)


def is_sealed(artifact: ArtifactRef) -> bool:
    """BadInput, LimitExceeded where it is neither whole nor plain."""
    if not artifact.wrapped_keys:
        if artifact.plaintext_digest != artifact.ciphertext_digest:
            raise BadInput("artifact: expected wrapped keys beside a ciphertext, got none")
        return False
    if len(artifact.wrapped_keys) > MAX_READERS:
        raise LimitExceeded(
            f"artifact: expected at most {MAX_READERS} readers, got {len(artifact.wrapped_keys)}"
        )
    for wrapped in artifact.wrapped_keys:
        if len(wrapped) != WRAPPED_BYTES:
            raise BadInput(f"artifact: expected wrapped keys of {WRAPPED_BYTES} bytes, got {len(wrapped)}")
    return True


def public_bytes(private_key: X25519PrivateKey) -> bytes:
    return private_key.public_key().public_bytes_raw()


def check_reader(reader: bytes) -> None:
    """BadInput where these bytes are no X25519 key that anything could be sealed to."""
    _public_key(reader)


def _public_key(reader: bytes) -> X25519PublicKey:
    if len(reader) != KEY_BYTES:
        raise BadInput(f"reader: expected {KEY_BYTES} bytes, got {len(reader)}")
    public = X25519PublicKey.from_public_bytes(reader)
    try:
        # A point of small order gives everybody the same secret: the exchange refuses it.
        X25519PrivateKey.from_private_bytes(bytes(31) + b"\x40").exchange(public)
    except ValueError as error:
        raise BadInput(f"reader: expected an X25519 key, got {to_hex(reader)}") from error
    return public


def _readers_only(artifact: ArtifactRef) -> ArtifactRef:
    return replace(artifact, wrapped_keys=readers_of(artifact))


def _file_key(content_key: bytes, salt: bytes, context: bytes) -> bytes:
    if len(content_key) != KEY_BYTES or len(salt) != SALT_BYTES:
        raise BadInput(f"seal: expected a key and a salt of 32 bytes, got {len(content_key)} and {len(salt)}")
    return HKDF(SHA256(), KEY_BYTES, salt, _FILE_INFO + context).derive(content_key)


def _nonce(counter: int, *, last: bool) -> bytes:
    if counter >= MAX_CHUNKS:
        raise LimitExceeded(f"sealed file: expected at most {MAX_CHUNKS} chunks")
    return bytes(7) + counter.to_bytes(4) + (b"\x01" if last else b"\x00")


def _read_full(source: BinaryIO, size_bytes: int) -> bytes:
    """As many bytes, fewer at the end alone."""
    parts: list[bytes] = []
    while size_bytes and (piece := source.read(size_bytes)):
        parts.append(piece)
        size_bytes -= len(piece)
    return b"".join(parts)
