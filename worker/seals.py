"""An order's seals: its inputs opened, its results sealed for all who read its inputs."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import sealing
from protocol.errors import DigestMismatch, SealBroken
from protocol.structs import ArtifactRef, JobOrder, Terms
from protocol.typed_data import Domain
from protocol.units import JobId, to_hex
from worker.journal import ArtifactRow

SEALED_FOLDER: Final = "sealed"


@dataclass(frozen=True, slots=True)
class OrderKeys:
    """Content keys of an order's inputs: None where they are not sealed. Results are under the bundle's."""

    bundle: bytes | None
    data: bytes | None


def open_order(domain: Domain, terms: Terms, order: JobOrder, keys: Sequence[X25519PrivateKey]) -> OrderKeys:
    """SealBroken, BadInput where the order is sealed, but not in a way that this worker can open."""
    return OrderKeys(
        _content_key(domain, terms, order, keys, order.bundle, sealing.BUNDLE),
        _content_key(domain, terms, order, keys, order.data, sealing.DATA),
    )


def open_input(source: Path, target: Path, artifact: ArtifactRef, content_key: bytes, part: bytes) -> None:
    """Afterwards `target` is the plaintext that the order names. SealBroken, DigestMismatch."""
    with source.open("rb") as sealed, target.open("wb") as plain:
        actual = sealing.unseal(sealed, plain, content_key, part, artifact.size)
    if actual != artifact.plaintext_digest:
        raise DigestMismatch(
            f"{part.decode()}: expected {to_hex(artifact.plaintext_digest)} inside, got {to_hex(actual)}"
        )


def seal_results(
    folder: Path, artifacts: Sequence[ArtifactRow], content_key: bytes, job_id: JobId, attempt: int
) -> list[ArtifactRow]:
    """The same artifacts in sealed files, on the disk."""
    target = folder / SEALED_FOLDER
    target.mkdir(exist_ok=True)
    return [
        _seal_result(target / str(index), row, content_key, job_id, attempt)
        for index, row in enumerate(artifacts)
    ]


def _seal_result(
    path: Path, row: ArtifactRow, content_key: bytes, job_id: JobId, attempt: int
) -> ArtifactRow:
    context = sealing.result_context(job_id, attempt, row.name)
    with row.path.open("rb") as plain, path.open("wb") as out:
        sealed = sealing.seal(plain, out, content_key, context, secrets.token_bytes(sealing.SALT_BYTES))
        out.flush()
        os.fsync(out.fileno())
    if sealed.plaintext_digest != row.digest:
        raise DigestMismatch(f"{row.name}: expected {to_hex(row.digest)}, it has changed meanwhile")
    return ArtifactRow(row.name, row.digest, path, sealed.size_bytes, False, sealed.ciphertext_digest)


def _content_key(
    domain: Domain,
    terms: Terms,
    order: JobOrder,
    keys: Sequence[X25519PrivateKey],
    artifact: ArtifactRef,
    part: bytes,
) -> bytes | None:
    if not sealing.is_sealed(artifact):
        return None
    binding = sealing.order_binding(domain, terms, order, part)
    content_key = sealing.find_content_key(artifact, keys, binding)
    if content_key is None:
        raise SealBroken(f"{part.decode()}: expected one sealed to this worker", code="not_a_reader")
    return content_key
