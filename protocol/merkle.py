"""Positional Merkle trees over keccak-256 that the EVM checks too.

A leaf is keccak(0x00 ‖ payload), a node keccak(0x01 ‖ left ‖ right), so that no node passes for a leaf.
Leaf 0 comes first, pairs are never sorted, an odd node is promoted as it is, the empty tree is 32 zero bytes.
A root does not commit to the number of leaves: whoever checks a branch takes `count` from beside the root.
"""

from collections.abc import Sequence

from protocol.errors import BadInput
from protocol.keccak import keccak256
from protocol.units import ZERO_DIGEST, Digest


def leaf_hash(payload: bytes) -> Digest:
    return Digest(keccak256(b"\x00" + payload))


def node_hash(left: bytes, right: bytes) -> Digest:
    return Digest(keccak256(b"\x01" + left + right))


def root(leaves: Sequence[bytes]) -> Digest:
    """Root over leaf hashes (not payloads); zero where there are none. BadInput where one is not 32 bytes."""
    level = _checked(leaves)
    while len(level) > 1:
        level = _parents(level)
    return Digest(level[0]) if level else ZERO_DIGEST


def branch(leaves: Sequence[bytes], index: int) -> list[Digest]:
    """Siblings from leaf `index` up to the root; a promoted node has none at that level."""
    level = _checked(leaves)
    if not 0 <= index < len(level):
        raise BadInput(f"leaf index: expected 0 to {len(level) - 1}, got {index}")
    siblings: list[Digest] = []
    while len(level) > 1:
        if index ^ 1 < len(level):
            siblings.append(Digest(level[index ^ 1]))
        level = _parents(level)
        index //= 2
    return siblings


def verify(root: bytes, leaf: bytes, index: int, count: int, branch: Sequence[bytes]) -> bool:
    """Whether `leaf` is the one at `index` of a tree of `count` leaves. False for whatever is malformed."""
    if not 0 <= index < count or any(len(node) != 32 for node in (root, leaf, *branch)):
        return False
    node = leaf
    used = 0
    while count > 1:
        if index ^ 1 < count:
            if used == len(branch):
                return False
            sibling = branch[used]
            used += 1
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index //= 2
        count = (count + 1) // 2
    return used == len(branch) and node == root


def _parents(level: Sequence[bytes]) -> list[bytes]:
    parents: list[bytes] = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        parents.append(level[-1])
    return parents


def _checked(leaves: Sequence[bytes]) -> list[bytes]:
    for position, leaf in enumerate(leaves):
        if len(leaf) != 32:
            raise BadInput(f"leaf {position}: expected 32 bytes, got {len(leaf)}")
    return list(leaves)
