"""The trace of a TRACED job: a chain of leaves, one each `checkpoint_every` steps, under one Merkle root.

leaf_i = keccak(0x00 ‖ jobSpecDigest ‖ i ‖ step ‖ stateRoot ‖ batchRoot ‖ metricsDigest ‖ leaf_{i-1}); numbers
are 8 bytes, big endian; the first leaf binds the initial state and follows 32 zero bytes.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol import merkle
from protocol.codec import exact_keys
from protocol.errors import BadInput, DigestMismatch, LimitExceeded
from protocol.json_text import canonical_json, parse_json
from protocol.keccak import keccak256
from protocol.units import ZERO_DIGEST, Digest, hex_bytes, shorten, to_hex

MAX_LEAVES: Final = 1 << 16
_DIGESTS: Final = ("job_spec_digest", "state_root", "batch_root", "metrics_digest", "previous")
_NUMBERS: Final = ("index", "step")
_MAX_NUMBER: Final = (1 << 48) - 1


@dataclass(frozen=True, slots=True)
class TraceLeaf:
    """`step`: steps done so far. `batch_root`, `metrics_digest`: of the steps since `previous`."""

    job_spec_digest: Digest
    index: int
    step: int
    state_root: Digest
    batch_root: Digest
    metrics_digest: Digest
    previous: Digest

    def payload(self) -> bytes:
        """What the EVM hashes, after the prefix 0x00."""
        return b"".join(
            (
                self.job_spec_digest,
                self.index.to_bytes(8),
                self.step.to_bytes(8),
                self.state_root,
                self.batch_root,
                self.metrics_digest,
                self.previous,
            )
        )

    def hash(self) -> Digest:
        return merkle.leaf_hash(self.payload())

    def to_json(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return numbers | {name: to_hex(getattr(self, name)) for name in _DIGESTS}

    @classmethod
    def from_json(cls, data: object) -> "TraceLeaf":
        found = exact_keys(data, (*_DIGESTS, *_NUMBERS), "TraceLeaf")
        digests = {name: Digest(hex_bytes(found[name], 32, f"TraceLeaf.{name}")) for name in _DIGESTS}
        return cls(index=_number(found["index"], "index"), step=_number(found["step"], "step"), **digests)


def trace_root(leaves: Sequence[TraceLeaf]) -> Digest:
    return merkle.root([leaf.hash() for leaf in leaves])


def metrics_digest(metrics: Mapping[str, float]) -> Digest:
    """keccak over names, sorted, and their values as IEEE doubles; every NaN counts as the same."""
    parts: list[bytes] = []
    for name in sorted(metrics):
        text, value = name.encode(), float(metrics[name])
        parts += (len(text).to_bytes(8), text, struct.pack(">d", math.nan if math.isnan(value) else value))
    return Digest(keccak256(b"".join(parts)))


def encode_leaves(leaves: Sequence[TraceLeaf]) -> bytes:
    """One JSON object a line."""
    return b"".join(canonical_json(leaf.to_json()) for leaf in leaves)


def decode_leaves(text: bytes) -> tuple[TraceLeaf, ...]:
    """Strict inverse of `encode_leaves`: BadInput, LimitExceeded. `check_chain` looks at the chain."""
    count = text.count(b"\n")
    if count > MAX_LEAVES:
        raise LimitExceeded(f"trace: expected at most {MAX_LEAVES} leaves, got {count}")
    if text and not text.endswith(b"\n"):
        raise BadInput("trace: expected a newline at the end, got none")
    lines = text.split(b"\n")[:-1]
    return tuple(
        TraceLeaf.from_json(parse_json(line, f"trace line {number}")) for number, line in enumerate(lines, 1)
    )


def check_chain(leaves: Sequence[TraceLeaf], job_spec_digest: bytes | None = None) -> None:
    """Returns where the leaves are one chain from index 0 on, of one (the given) spec, steps ascending.

    BadInput, DigestMismatch.
    """
    previous, last_step = ZERO_DIGEST, -1
    for position, leaf in enumerate(leaves):
        expected_spec = leaves[0].job_spec_digest if job_spec_digest is None else job_spec_digest
        if leaf.index != position:
            raise BadInput(f"trace leaf {position}: expected index {position}, got {leaf.index}")
        if leaf.step <= last_step:
            raise BadInput(f"trace leaf {position}: expected a step after {last_step}, got {leaf.step}")
        for what, expected, actual in (
            ("job spec digest", expected_spec, leaf.job_spec_digest),
            ("previous leaf", previous, leaf.previous),
        ):
            if expected != actual:
                raise DigestMismatch(
                    f"trace leaf {position}: {what}: expected {to_hex(expected)}, got {to_hex(actual)}"
                )
        previous, last_step = leaf.hash(), leaf.step


def _number(data: object, name: str) -> int:
    if type(data) is not int or not 0 <= data <= _MAX_NUMBER:
        raise BadInput(f"TraceLeaf.{name}: expected 0 to {_MAX_NUMBER}, got {shorten(data)}")
    return data
