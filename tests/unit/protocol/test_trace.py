"""Traces: leaves chain, files are strict."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.errors import BadInput, DigestMismatch, LimitExceeded, ProtocolError
from protocol.trace import (
    MAX_LEAVES,
    TraceLeaf,
    check_chain,
    decode_leaves,
    encode_leaves,
    metrics_digest,
    trace_root,
)
from protocol.units import ZERO_DIGEST, Digest

SPEC = Digest(b"\1" * 32)


def chain(count: int) -> list[TraceLeaf]:
    leaves: list[TraceLeaf] = []
    for index in range(count):
        previous = leaves[-1].hash() if leaves else ZERO_DIGEST
        state = Digest(bytes([index + 100]) * 32)
        leaves.append(TraceLeaf(SPEC, index, index * 10, state, ZERO_DIGEST, ZERO_DIGEST, previous))
    return leaves


LEAVES = chain(4)


def test_leaf__hash__is_one_of_a_tree() -> None:
    assert LEAVES[0].hash() == merkle.leaf_hash(LEAVES[0].payload())
    assert len(LEAVES[0].payload()) == 5 * 32 + 2 * 8
    assert trace_root(LEAVES) == merkle.root([leaf.hash() for leaf in LEAVES])
    assert trace_root([]) == bytes(32)


def test_leaf__any_field_changed__is_another() -> None:
    leaf = LEAVES[2]
    for field in dataclasses.fields(TraceLeaf):
        old = getattr(leaf, field.name)
        changed = old + 1 if isinstance(old, int) else Digest(b"\xee" * 32)
        assert dataclasses.replace(leaf, **{field.name: changed}).hash() != leaf.hash()


@given(st.integers(0, 12))
def test_leaves__encoded__come_back_in_order(count: int) -> None:
    leaves = chain(count)
    assert decode_leaves(encode_leaves(leaves)) == tuple(leaves)
    check_chain(leaves, SPEC if leaves else None)


@given(st.binary(max_size=300), st.integers(0, 600))
def test_decode_leaves__bytes_put_in__are_refused_or_change_nothing(noise: bytes, offset: int) -> None:
    text = encode_leaves(LEAVES)
    try:
        leaves = decode_leaves(text[:offset] + noise + text[offset:])
    except ProtocolError:
        return
    assert all(isinstance(leaf, TraceLeaf) for leaf in leaves)


@pytest.mark.parametrize(
    "text",
    [
        encode_leaves(LEAVES)[:-1],
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        encode_leaves(LEAVES[:1]).replace(b'"step":0', b'"step":-1'),
        encode_leaves(LEAVES[:1]).replace(b'"step":0', b'"step":1e0'),
        encode_leaves(LEAVES[:1]).replace(b'"step":0', b'"step":' + b"9" * 5000),
        encode_leaves(LEAVES[:1]).replace(b'"step"', b'"stop"'),
    ],
)
def test_decode_leaves__malformed_line__is_refused(text: bytes) -> None:
    with pytest.raises(BadInput):
        decode_leaves(text)


def test_decode_leaves__too_many__are_refused_before_they_are_read() -> None:
    with pytest.raises(LimitExceeded, match=f"at most {MAX_LEAVES}"):
        decode_leaves(b"\n" * (MAX_LEAVES + 1))


@pytest.mark.parametrize(
    ("position", "change", "error"),
    [
        (1, {"index": 2}, BadInput),
        (2, {"step": 10}, BadInput),
        (2, {"previous": ZERO_DIGEST}, DigestMismatch),
        (0, {"previous": SPEC}, DigestMismatch),
        (1, {"state_root": SPEC}, DigestMismatch),
        (3, {"job_spec_digest": ZERO_DIGEST}, DigestMismatch),
    ],
)
def test_check_chain__leaf_changed__is_found(
    position: int, change: dict[str, object], error: type[ProtocolError]
) -> None:
    leaves = list(LEAVES)
    leaves[position] = dataclasses.replace(leaves[position], **change)
    with pytest.raises(error):
        check_chain(leaves)


def test_check_chain__leaf_left_out_or_other_spec__is_found() -> None:
    with pytest.raises(BadInput):
        check_chain([LEAVES[0], LEAVES[2]])
    with pytest.raises(DigestMismatch, match="job spec digest"):
        check_chain(LEAVES, b"\2" * 32)


def test_metrics_digest__names_values_and_nan__are_canonical() -> None:
    assert metrics_digest({"a": 1, "b": 2.5}) == metrics_digest({"b": 2.5, "a": 1.0})
    assert metrics_digest({"a": math.nan}) == metrics_digest({"a": -math.nan})
    assert len({metrics_digest(m) for m in ({}, {"a": 1.0}, {"a": 1.5}, {"b": 1.0}, {"a": math.inf})}) == 5
