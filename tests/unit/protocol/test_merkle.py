"""Merkle trees: positional, promoted odd nodes, no second preimages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.errors import BadInput
from protocol.keccak import keccak256

HASH = st.binary(max_size=32).map(merkle.leaf_hash)
LEAVES = st.lists(HASH, min_size=1, max_size=40)


def test_root__no_leaves__is_zero() -> None:
    assert merkle.root([]) == bytes(32)


def test_root__one_leaf__is_the_leaf() -> None:
    leaf = merkle.leaf_hash(b"payload")
    assert leaf == keccak256(b"\x00payload")
    assert merkle.root([leaf]) == leaf
    assert merkle.branch([leaf], 0) == []


def test_root__five_leaves__is_put_together_by_hand() -> None:
    a, b, c, d, e = leaves = [merkle.leaf_hash(bytes([i])) for i in range(5)]

    def node(left: bytes, right: bytes) -> bytes:
        return keccak256(b"\x01" + left + right)

    assert merkle.root(leaves) == node(node(node(a, b), node(c, d)), e)
    assert merkle.branch(leaves, 4) == [node(node(a, b), node(c, d))]
    assert merkle.branch(leaves, 2) == [d, node(a, b), e]


@given(LEAVES, st.data())
def test_verify__every_leaf_by_its_branch__holds(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert merkle.verify(merkle.root(leaves), leaves[index], index, len(leaves), merkle.branch(leaves, index))


@given(LEAVES, HASH, st.data())
def test_verify__anything_else_than_that_leaf__fails(
    leaves: list[bytes], other: bytes, data: st.DataObject
) -> None:
    root, count = merkle.root(leaves), len(leaves)
    index = data.draw(st.integers(0, count - 1))
    branch = merkle.branch(leaves, index)
    if other != leaves[index]:
        assert not merkle.verify(root, other, index, count, branch)
        assert not merkle.verify(other, leaves[index], index, count, branch)
    assert not merkle.verify(root, leaves[index], index, count, [*branch, other])
    assert not merkle.verify(root, leaves[index], count, count, branch)
    assert not merkle.verify(root, leaves[index], -1, count, branch)
    if branch:
        assert not merkle.verify(root, leaves[index], index, count, branch[:-1])
    wrong = data.draw(st.integers(0, count - 1))
    if leaves[wrong] != leaves[index]:
        assert not merkle.verify(root, leaves[index], wrong, count, merkle.branch(leaves, wrong))


@given(LEAVES, st.data())
def test_root__one_leaf_changed_moved_or_dropped__is_another(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(HASH.filter(lambda leaf: leaf != leaves[index]))
    root = merkle.root(leaves)
    assert merkle.root([*leaves[:index], other, *leaves[index + 1 :]]) != root
    assert merkle.root([*leaves, leaves[-1]]) != root  # bitcoin's duplicated last leaf
    assert merkle.root(leaves[:-1]) != root
    if leaves[::-1] != leaves:
        assert merkle.root(leaves[::-1]) != root


@given(st.lists(HASH, min_size=2, max_size=20))
def test_root__inner_nodes_passed_off_as_leaves__is_no_second_preimage(payloads: list[bytes]) -> None:
    leaves = [merkle.leaf_hash(payload) for payload in payloads]
    root = merkle.root(leaves)
    for left, right in zip(leaves[::2], leaves[1::2], strict=False):
        assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
        forged = merkle.leaf_hash(b"\x01" + left + right)
        assert not merkle.verify(root, forged, 0, len(leaves), merkle.branch(leaves, 0))


@pytest.mark.parametrize("index", [-1, 3])
def test_branch__index_out_of_range__is_refused(index: int) -> None:
    with pytest.raises(BadInput, match=f"expected 0 to 2, got {index}"):
        merkle.branch([bytes(32)] * 3, index)


def test_root__leaf_of_another_size__is_refused() -> None:
    with pytest.raises(BadInput, match="leaf 1: expected 32 bytes, got 31"):
        merkle.root([bytes(32), bytes(31)])
    assert not merkle.verify(bytes(32), bytes(31), 0, 1, [])
