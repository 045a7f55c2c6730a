"""Which of several nodes are asked: the decisions, and a clock that the test moves."""

import pytest
from web3 import Web3

from protocol.endpoint import name_of
from protocol.errors import ChainUnavailable
from protocol.nodes import Limits, Node, Nodes, behind, common_head, outvoted, rest_seconds

LIMITS = Limits(lag_blocks=5, stall_seconds=60, rest_seconds=1, max_rest_seconds=30)
A, B, C = b"\1" * 32, b"\2" * 32, b"\3" * 32


class Watch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def nodes_named(*names: str) -> tuple[Nodes, Watch]:
    watch = Watch()
    made = [Node(name, Web3(), verified=True) for name in names]
    return Nodes(made, 1, watch, LIMITS), watch


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://user:secret@node.example:8545/v2/key?token=1", "https://node.example:8545"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://[::1]:8545/secret", "http://[::1]:8545"),
        ("https://node.example:99999/secret", "https://node.example"),
    ],
)
def test_name_of__address_with_secrets__has_none_of_them(url: str, name: str) -> None:
    assert name_of(url) == name


@pytest.mark.parametrize(
    ("heads", "expected"),
    [([7], 7), ([7, 9], 9), ([7, 9, 100], 9), ([1, 9, 9, 100], 9), ([5, 1, 4, 3, 2], 3)],
)
def test_common_head__one_liar_among_three__moves_it_little(heads: list[int], expected: int) -> None:
    assert common_head(heads) == expected


@pytest.mark.parametrize(
    ("known", "moved_at", "head", "why"),
    [
        (None, 0, 100, ""),
        (90, 0, 95, ""),
        (90, 0, 94, "its head is 94, that of its peers 100"),
        (98, 0, 97, "went back from 98 to 97"),
        (98, 39, 98, "stands at 98 since 61 s"),
        (98, 41, 98, ""),
        (100, 0, 100, ""),
        (102, 0, 101, ""),
    ],
)
def test_behind__head_beside_that_of_peers_at_100(
    known: int | None, moved_at: float, head: int, why: str
) -> None:
    node = Node("n", Web3(), head=known, moved_at=moved_at)
    found = behind(node, head, 100, now=100, limits=LIMITS)
    assert (why in found) if why else not found


@pytest.mark.parametrize(
    ("hashes", "witness", "wrong"),
    [
        ({"a": A, "b": A}, None, frozenset()),
        ({"a": A, "b": A, "c": B}, None, frozenset({"c"})),
        ({"a": A, "b": B}, None, None),
        ({"a": A, "b": B}, B, frozenset({"a"})),
        ({"a": A, "b": B}, C, None),
        ({"a": A, "b": B, "c": C}, A, frozenset({"b", "c"})),
        ({"a": A, "b": A, "c": B}, B, frozenset({"c"})),
        ({}, None, frozenset()),
    ],
)
def test_outvoted__majority_then_witness_then_nobody(
    hashes: dict[str, bytes], witness: bytes | None, wrong: frozenset[str] | None
) -> None:
    assert outvoted(hashes, witness) == wrong


def test_rest__each_failure_in_a_row__twice_as_long_up_to_the_most() -> None:
    assert [rest_seconds(strikes, LIMITS) for strikes in (1, 2, 3, 6, 10_000)] == [1, 2, 4, 30, 30]


def test_failed__first_node__rests_and_the_second_is_asked_then_the_first_again() -> None:
    nodes, watch = nodes_named("one", "two")
    first, second = nodes.nodes
    watch.seconds = 1000
    nodes._checked_at = 1000  # nothing to compare: these nodes have no addresses
    assert nodes.failed(first, ChainUnavailable("gone"))
    first.verified = True
    assert nodes.choose() is second
    assert not nodes.failed(second, ChainUnavailable("gone too"))
    second.verified = True
    assert nodes.choose() is first, "all rest: the one that is back first"
    watch.seconds += 1.5
    nodes.worked(first)
    assert (first.strikes, nodes.choose()) == (0, first)


def test_distrust__a_liar__is_not_asked_even_where_all_others_failed() -> None:
    nodes, watch = nodes_named("one", "two")
    first, second = nodes.nodes
    watch.seconds = nodes._checked_at = 1000
    nodes.distrust(first, ChainUnavailable("lied"))
    nodes.failed(second, ChainUnavailable("gone"))
    second.verified = True
    assert nodes.choose() is second
    nodes.distrust(second, ChainUnavailable("lied too"))
    with pytest.raises(ChainUnavailable, match="every node rests"):
        nodes.choose()


def test_alone__whatever_it_did__is_asked_again() -> None:
    nodes, _ = nodes_named("one")
    assert not nodes.failed(nodes.nodes[0], ChainUnavailable("gone"))
    assert not nodes.distrust(nodes.nodes[0], ChainUnavailable("lied"))
    assert nodes.choose() is nodes.nodes[0]
