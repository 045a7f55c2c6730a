"""Artifacts: the bytes behind every digest of a receipt, traces leaf by leaf, checkpoints by their states.

Of sealed ones without a reader's key: that the ciphertexts are there and are those that receipts and orders
name.
"""

import json
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import sealing
from protocol.digests import sha256_file, state_root, tensor_digest
from protocol.errors import BadInput, DigestMismatch, ProtocolError, SealBroken
from protocol.orders import job_id
from protocol.signed import SignedOrder, SignedReceipt
from protocol.structs import JobClass, JobOutcome, Terms
from protocol.trace import TraceLeaf, check_chain, decode_leaves, trace_root
from protocol.typed_data import Domain
from protocol.units import ZERO_DIGEST, Digest, to_hex
from scripts.audit.proofs import ProvenWork
from scripts.audit.report import NotChecked, Section
from scripts.audit.sources import Source
from scripts.client.unsealing import Opener, open_result

MAX_HEADER_BYTES = 64 << 20
MAX_PLAIN_BYTES = 64 << 30
CHECKPOINT = "checkpoint/"
# safetensors' names of dtypes, as torch names them.
DTYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}


class Shelf:
    """Artifacts by digest; each is hashed once however often it is named."""

    def __init__(self, source: Source, section: Section) -> None:
        self._source = source
        self._section = section
        self._known: dict[Digest, Path | None] = {}

    def get(self, subject: str, digest: Digest) -> Path | None:
        """The file with these very bytes, or None where it is missing or altered, which is reported."""
        if digest not in self._known:
            self._known[digest] = self._read(subject, digest)
        return self._known[digest]

    @property
    def names(self) -> int:
        return len(self._known)

    def _read(self, subject: str, digest: Digest) -> Path | None:
        path = self._source.artifact(digest)
        if path is None:
            self._section.fail("artifact_missing", subject, digest.hex(), "none")
            return None
        sound = self._section.compare("artifact_digest", subject, digest, sha256_file(path))
        return path if sound else None


class Reading:
    """What an audit reads of sealed jobs, with whatever readers' keys it was given, and what it cannot."""

    def __init__(self, domain: Domain, keys: Sequence[X25519PrivateKey], folder: Path) -> None:
        self._domain = domain
        self._keys = keys
        self._folder = folder
        self._opened = 0
        self.unread_jobs = 0
        self.unread_artifacts = 0

    def opener(self, terms: Terms) -> Opener:
        return Opener(self._domain, self._keys, lambda _: terms)

    def fresh_path(self) -> Path:
        """Where the next plaintext goes."""
        self._opened += 1
        return self._folder / str(self._opened)


def check_artifacts(
    works: Sequence[ProvenWork],
    source: Source,
    section: Section,
    domain: Domain,
    keys: Sequence[X25519PrivateKey] = (),
) -> tuple[int, list[NotChecked]]:
    """Every artifact that the receipts and orders name, and what is inside traces; how many there are."""
    shelf = Shelf(source, section)
    with tempfile.TemporaryDirectory(prefix="gpgpu-unsealed-") as name:
        reading = Reading(domain, keys, Path(name))
        for work in works:
            orders = {job_id(domain, item.order): item for item in work.evidence.orders}
            for item in work.evidence.receipts:
                order = orders.get(item.receipt.order_digest)
                if order is not None:  # its absence is a difference of the evidence
                    _check_job(_Job(item, order, work.posted.terms), shelf, reading, section)
    if not reading.unread_jobs:
        return shelf.names, []
    what = f"contents of {reading.unread_artifacts} sealed artifacts of {reading.unread_jobs} jobs"
    return shelf.names, [NotChecked(what, "they are sealed, and no key of their readers was given")]


@dataclass(frozen=True, slots=True)
class _Job:
    signed: SignedReceipt
    order: SignedOrder
    terms: Terms

    @property
    def subject(self) -> str:
        return f"job {to_hex(self.signed.receipt.order_digest)}"


def _check_job(job: _Job, shelf: Shelf, reading: Reading, section: Section) -> None:
    subject, signed, bundle = job.subject, job.signed, job.order.order.bundle
    files = {name: shelf.get(f"{subject}: {name}", digest) for name, digest in signed.stored.items()}
    packed = shelf.get(f"{subject}: bundle", bundle.ciphertext_digest)
    if sealing.is_sealed(bundle):
        try:
            content_key = reading.opener(job.terms).content_key(job.order.order)
        except SealBroken as error:
            if error.code != "not_a_reader":
                section.fail_with("order_seal", subject, error)
            reading.unread_jobs += 1
            reading.unread_artifacts += 1 + len(files)
            return
        assert content_key is not None  # noqa: S101 - the bundle is sealed
        _check_bundle(job, packed, content_key, reading, section)
        files = {
            name: _unseal(job, name, path, content_key, reading, section) for name, path in files.items()
        }
    if job.order.spec.job_class is not JobClass.TRACED:
        return
    trace = files.get("trace")
    if trace is not None:
        _check_trace(subject, signed, trace, files, section)
    elif signed.receipt.outcome is JobOutcome.COMPLETED and "trace" not in files:
        section.fail("trace_missing", subject, "a trace", "none")


def _check_bundle(
    job: _Job, path: Path | None, content_key: bytes, reading: Reading, section: Section
) -> None:
    if path is None:
        return  # missing or altered bytes are reported where they are read
    target = reading.fresh_path()
    try:
        with path.open("rb") as sealed, target.open("wb") as plain:
            actual = sealing.unseal(sealed, plain, content_key, sealing.BUNDLE, MAX_PLAIN_BYTES)
    except ProtocolError as error:
        section.fail_with("artifact_seal", f"{job.subject}: bundle", error)
    else:
        section.compare(
            "artifact_plaintext", f"{job.subject}: bundle", job.signed.receipt.input_digest, actual
        )
    finally:
        target.unlink(missing_ok=True)


def _unseal(
    job: _Job, name: str, path: Path | None, content_key: bytes, reading: Reading, section: Section
) -> Path | None:
    """The plaintext; None where the file is missing or what is inside is not what the receipt names."""
    if path is None:
        return None
    target, subject = reading.fresh_path(), f"{job.subject}: {name}"
    try:
        open_result(path, target, content_key, job.signed, name, MAX_PLAIN_BYTES)
    except DigestMismatch as error:
        section.fail_with("artifact_plaintext", subject, error)
    except ProtocolError as error:
        section.fail_with("artifact_seal", subject, error)
    else:
        section.compared += 1
        return target
    target.unlink(missing_ok=True)
    return None


def _check_trace(
    subject: str, item: SignedReceipt, path: Path, files: Mapping[str, Path | None], section: Section
) -> None:
    """Leaves are one chain of the spec under the receipt's root; each has a checkpoint with its state."""
    receipt = item.receipt
    try:
        leaves = decode_leaves(path.read_bytes())
        check_chain(leaves, receipt.spec_digest)
    except ProtocolError as error:
        section.fail_with("trace_chain", subject, error)
        return
    section.compare("trace_root", subject, receipt.trace_root, trace_root(leaves))
    section.compare("trace_leaf_count", subject, receipt.leaf_count, len(leaves))
    for leaf in leaves:
        _check_checkpoint(f"{subject}: {CHECKPOINT}{leaf.index}", leaf, files, section)
    expected = {f"{CHECKPOINT}{leaf.index}" for leaf in leaves}
    actual = {name for name in item.artifacts if name.startswith(CHECKPOINT)}
    for name in sorted(actual - expected):
        section.fail("checkpoint_superfluous", f"{subject}: {name}", "a leaf of the trace", "none")


def _check_checkpoint(
    subject: str, leaf: TraceLeaf, files: Mapping[str, Path | None], section: Section
) -> None:
    name = f"{CHECKPOINT}{leaf.index}"
    if name not in files:
        section.fail("checkpoint_missing", subject, "a checkpoint", "none")
        return
    path = files[name]
    if path is None:
        return  # missing or altered bytes are reported where they are read
    try:
        actual = state_root_of_file(path)
    except BadInput as error:
        section.fail_with("checkpoint_malformed", subject, error)
        return
    section.compare("checkpoint_state", subject, leaf.state_root, actual)


def state_root_of_file(path: Path) -> Digest:
    """The state root of a safetensors file, from its bytes alone. BadInput where it is none."""
    with path.open("rb") as file:
        head = file.read(8)
        size_bytes = struct.unpack("<Q", head)[0] if len(head) == 8 else MAX_HEADER_BYTES + 1
        if size_bytes > MAX_HEADER_BYTES:
            raise BadInput(f"safetensors: expected a header of at most {MAX_HEADER_BYTES} bytes")
        header = _header(file.read(size_bytes))
        tensors = memoryview(file.read())
    digests = {name: _tensor(name, entry, tensors) for name, entry in header.items()}
    return state_root(digests) if digests else ZERO_DIGEST


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except ValueError as error:
        raise BadInput(f"safetensors: expected a JSON header: {error}") from error
    if not isinstance(header, dict):
        raise BadInput("safetensors: expected an object as header")
    header.pop("__metadata__", None)
    return header


def _tensor(name: str, entry: Any, tensors: memoryview) -> Digest:
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        piece = tensors[begin:end]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"safetensors: tensor {name}: expected dtype, shape and offsets: {error}") from error
    return tensor_digest(name, dtype, shape, piece)
