"""What transactions cost in gas, by the function that they called."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from web3 import Web3

from protocol.abi import entries
from protocol.abi_bytes import abi_decode
from protocol.chain import rpc
from protocol.units import to_hex

CONTRACTS = ("LeaseMarket", "ProviderRegistry", "OracleQuorum", "ComputeCourt")


@dataclass(frozen=True, slots=True)
class GasUse:
    """All transactions of one kind."""

    function: str
    count: int
    least: int
    most: int


def gas_by_function(web3: Web3, transaction_hashes: Iterable[bytes]) -> list[GasUse]:
    """Gas of each kind of transaction, out of receipts; creations of contracts are left out."""
    used: dict[str, list[int]] = {}
    for transaction_hash in sorted(set(transaction_hashes)):
        transaction = rpc(web3, "eth_getTransactionByHash", [to_hex(transaction_hash)])
        receipt = rpc(web3, "eth_getTransactionReceipt", [to_hex(transaction_hash)])
        name = function_of(bytes.fromhex(transaction["input"][2:]))
        if transaction["to"] is not None and name is not None:
            used.setdefault(name, []).append(int(receipt["gasUsed"], 16))
    return [GasUse(name, len(gas), min(gas), max(gas)) for name, gas in sorted(used.items())]


def function_of(data: bytes) -> str | None:
    """The function of ours that calldata calls; of a multicall, those that it calls in turn."""
    name = _names().get(data[:4])
    if name != "multicall":
        return name
    (calls,) = abi_decode(["bytes[]"], data[4:])
    return " + ".join(function_of(call) or "?" for call in calls)


@functools.cache
def _names() -> Mapping[bytes, str]:
    return {
        entry.topic[:4]: entry.name
        for contract in CONTRACTS
        for entry in entries(contract, "function").values()
    }
