"""What transactions cost in gas, by the function that they called."""

from collections.abc import Iterable
from dataclasses import dataclass

from web3 import Web3

from protocol.abi import entries
from protocol.chain import rpc
from protocol.units import to_hex

CONTRACTS = ("LeaseMarket", "ProviderRegistry")


@dataclass(frozen=True, slots=True)
class GasUse:
    """All transactions of one kind."""

    function: str
    count: int
    least: int
    most: int


def gas_by_function(web3: Web3, transaction_hashes: Iterable[bytes]) -> list[GasUse]:
    """Gas of each kind of transaction, out of receipts; creations of contracts are left out."""
    names = {
        entry.topic[:4].hex(): entry.name
        for contract in CONTRACTS
        for entry in entries(contract, "function").values()
    }
    used: dict[str, list[int]] = {}
    for transaction_hash in sorted(set(transaction_hashes)):
        transaction = rpc(web3, "eth_getTransactionByHash", [to_hex(transaction_hash)])
        receipt = rpc(web3, "eth_getTransactionReceipt", [to_hex(transaction_hash)])
        name = names.get(transaction["input"][2:10])
        if transaction["to"] is not None and name is not None:
            used.setdefault(name, []).append(int(receipt["gasUsed"], 16))
    return [GasUse(name, len(gas), min(gas), max(gas)) for name, gas in sorted(used.items())]
