"""Artifacts: the bytes behind every digest of a receipt, traces leaf by leaf, checkpoints by their states."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protocol.digests import state_root, tensor_digest
from protocol.errors import BadInput, ProtocolError
from protocol.signed import SignedReceipt
from protocol.structs import JobClass, JobOutcome
from protocol.trace import TraceLeaf, check_chain, decode_leaves, trace_root
from protocol.units import ZERO_DIGEST, Digest, to_hex
from scripts.audit.proofs import ProvenWork
from scripts.audit.report import Section
from scripts.audit.sources import Source
from scripts.client.api import sha256_of_file

MAX_HEADER_BYTES = 64 << 20
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
        sound = self._section.compare("artifact_digest", subject, digest, sha256_of_file(path))
        return path if sound else None


def check_artifacts(works: Sequence[ProvenWork], source: Source, section: Section) -> int:
    """Every artifact that the receipts and orders name, and what is inside traces; how many there are."""
    shelf = Shelf(source, section)
    for work in works:
        classes = {item.order.spec_digest: item.spec.job_class for item in work.evidence.orders}
        for item in work.evidence.receipts:
            is_traced = classes.get(item.receipt.spec_digest) is JobClass.TRACED
            _check_job(f"job {to_hex(item.receipt.order_digest)}", item, is_traced, shelf, section)
    return shelf.names


def _check_job(subject: str, item: SignedReceipt, is_traced: bool, shelf: Shelf, section: Section) -> None:
    files = {name: shelf.get(f"{subject}: {name}", digest) for name, digest in item.artifacts.items()}
    shelf.get(f"{subject}: bundle", item.receipt.input_digest)
    if not is_traced:
        return
    trace = files.get("trace")
    if trace is not None:
        _check_trace(subject, item, trace, files, section)
    elif item.receipt.outcome is JobOutcome.COMPLETED and "trace" not in files:
        section.fail("trace_missing", subject, "a trace", "none")


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
