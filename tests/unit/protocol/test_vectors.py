"""The golden vectors hold: what any version of any component hashes and counts never changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode

from protocol import merkle
from protocol.abi import canonical_type, struct_fields
from protocol.accrual import scheduled_seconds
from protocol.digests import chunk_root, state_root, tensor_digest
from protocol.structs import STRUCTS, from_abi
from protocol.trace import TraceLeaf, check_chain, trace_root
from protocol.typed_data import Domain, digest, hash_struct
from protocol.units import Address, to_hex
from tests.vectors import generate

FOLDER = Path(generate.__file__).parent


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


@pytest.mark.parametrize("name", generate.STRUCTS)
def test_typed_data__golden_values__hash_as_frozen(name: str) -> None:
    vectors = load("typed_data")
    domain = Domain(vectors["chainId"], Address(vectors["market"]))
    component = {"type": "tuple", "components": [field.component for field in struct_fields(name)]}
    for encoded, struct_hash, value_digest in zip(*vectors[name].values(), strict=True):
        (members,) = abi_decode([canonical_type(component)], unhex(encoded))
        value = from_abi(STRUCTS[name], members)
        assert to_hex(hash_struct(value)) == struct_hash
        assert to_hex(digest(domain, value)) == value_digest


def test_merkle__golden_trees__have_the_frozen_roots_and_branches() -> None:
    for tree in load("merkle")["trees"]:
        leaves = [unhex(leaf) for leaf in tree["leaves"]]
        assert to_hex(merkle.root(leaves)) == tree["root"]
        if leaves:
            branch = merkle.branch(leaves, tree["index"])
            assert [to_hex(node) for node in branch] == tree["branch"]
            assert merkle.verify(
                unhex(tree["root"]), leaves[tree["index"]], tree["index"], len(leaves), branch
            )


def test_accrual__golden_intervals__have_the_frozen_seconds() -> None:
    vectors = load("accrual")
    columns = (vectors[name] for name in ("masks", "starts", "ends", "seconds"))
    for mask, start, end, seconds in zip(*columns, strict=True):
        assert scheduled_seconds(int(mask), start, end) == seconds


def test_digests__golden_buffers__have_the_frozen_roots() -> None:
    for chunk in load("digests")["chunk_roots"]:
        assert to_hex(chunk_root(generate.patterned(chunk["bytes"]))) == chunk["root"]


def test_digests__golden_state__has_the_frozen_root_in_any_order() -> None:
    vectors = load("digests")
    found = {
        tensor["name"]: tensor_digest(
            tensor["name"], tensor["dtype"], tensor["shape"], bytes.fromhex(tensor["data"])
        )
        for tensor in vectors["tensors"]
    }
    assert {name: to_hex(value) for name, value in found.items()} == {
        tensor["name"]: tensor["digest"] for tensor in vectors["tensors"]
    }
    assert to_hex(state_root(dict(reversed(found.items())))) == vectors["state_root"]


def test_trace__golden_leaves__have_the_frozen_hashes_and_root() -> None:
    vectors = load("trace")
    leaves = [TraceLeaf.from_json(leaf) for leaf in vectors["leaves"]]
    assert [to_hex(leaf.hash()) for leaf in leaves] == vectors["hashes"]
    assert to_hex(trace_root(leaves)) == vectors["root"]
    check_chain(leaves)
