"""Random messages hash alike in Python and in the contracts, and lease ids, trees and schedules agree."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import merkle
from protocol.abi import entries
from protocol.accrual import ALWAYS, scheduled_seconds
from protocol.calls import Call, decode_outputs, encode_call, eth_call
from protocol.orders import lease_id
from protocol.structs import STRUCTS, Terms
from protocol.typed_data import Domain, hash_struct
from protocol.units import ZERO_ADDRESS, Address, address_bytes, address_of
from tests.anvil import Anvil, Deployment, contract_address, creation_code, deploy, run_anvil
from tests.unit.protocol.values import values_of

FUNCTIONS = entries("Digests", "function")
HASHED = sorted(name.removeprefix("hash") for name in FUNCTIONS if name.startswith("hash"))
LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20)


class DigestsContract:
    """The stateless contract of the same name."""

    def __init__(self, anvil: Anvil) -> None:
        creator = address_of(address_bytes(anvil.accounts[5].address))
        self.anvil = anvil
        self.address: Address = contract_address(creator, 0)
        anvil.send(anvil.accounts[5], None, creation_code("Digests"))

    def read(self, name: str, *arguments: Any) -> Any:
        function = FUNCTIONS[name]
        data = eth_call(self.anvil.web3, Call(self.address, encode_call(function, arguments)))
        return decode_outputs(function, data)[0]


@pytest.fixture(scope="module")
def chain() -> Iterator[Deployment]:
    with run_anvil(block_time_seconds=None) as anvil:
        yield deploy(anvil)


@pytest.fixture(scope="module")
def digests(chain: Deployment) -> DigestsContract:
    return DigestsContract(chain.anvil)


def test_digests__structs_that_it_hashes__are_all_that_are_signed_or_hashed() -> None:
    plain = {"Unit", "LeaseState", "LeaseTerms", "PostedOrder", "ProofClaim", "AllowedProvider", "TraceLeaf"}
    carried = {"QuorumSignature", "FailureProof", "DisputeKey", "ProvenReceipt", "ProvenLeaf", "Verdict"}
    assert set(HASHED) == set(STRUCTS) - plain - carried


@settings(max_examples=300)
@given(st.sampled_from(HASHED).flatmap(lambda name: values_of(STRUCTS[name])))
def test_hash_struct__random_message__is_as_the_contract_hashes_it(
    digests: DigestsContract, value: Any
) -> None:
    assert digests.read(f"hash{type(value).__name__}", value) == hash_struct(value)


@settings(max_examples=40)
@given(values_of(Terms))
def test_lease_id__random_terms__is_as_the_market_says(chain: Deployment, terms: Terms) -> None:
    domain = Domain(chain.manifest.chain_id, chain.manifest.market)
    assert chain.market.lease_id_of(terms) == lease_id(domain, terms)


def test_domain__separator__is_the_markets(chain: Deployment) -> None:
    domain = Domain(chain.manifest.chain_id, chain.manifest.market)
    assert chain.market.domain_separator() == domain.separator
    assert Domain(chain.manifest.chain_id, ZERO_ADDRESS).separator != domain.separator


@settings(max_examples=60)
@given(LEAVES, st.data())
def test_merkle__random_tree__agrees_with_the_contract(
    digests: DigestsContract, leaves: list[bytes], data: st.DataObject
) -> None:
    root, count = merkle.root(leaves), len(leaves)
    assert digests.read("merkleRoot", leaves) == root
    index, claimed = data.draw(st.integers(0, count)), data.draw(st.integers(0, count - 1))
    branch = merkle.branch(leaves, claimed)
    expected = merkle.verify(root, leaves[claimed], index, count, branch)
    assert digests.read("merkleVerify", root, leaves[claimed], index, count, branch) is expected


INSTANT = st.integers(0, 2**40 - 1)


@settings(max_examples=100)
@given(st.integers(0, ALWAYS), INSTANT, INSTANT)
def test_scheduled_seconds__random_interval__agrees_with_the_market(
    chain: Deployment, mask: int, start: int, end: int
) -> None:
    assert chain.market.scheduled_seconds(mask, start, end) == scheduled_seconds(mask, start, end)
