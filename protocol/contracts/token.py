"""Tokens: an ERC-20 with permit."""

from web3 import Web3

from protocol.calls import Call
from protocol.chain import BlockTag
from protocol.contracts.contract import Contract
from protocol.units import Address, Units


class Token(Contract):
    """An ERC-20 with permit; `build_mint` only for the token of devnets."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "DevToken")

    def name(self, block: BlockTag = "latest") -> str:
        return self._read(block, "name")

    def symbol(self, block: BlockTag = "latest") -> str:
        return self._read(block, "symbol")

    def decimals(self, block: BlockTag = "latest") -> int:
        return self._read(block, "decimals")

    def balance_of(self, account: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "balanceOf", account)

    def allowance(self, owner: Address, spender: Address, block: BlockTag = "latest") -> Units:
        return self._read(block, "allowance", owner, spender)

    def permit_nonce(self, owner: Address, block: BlockTag = "latest") -> int:
        return self._read(block, "nonces", owner)

    def domain_separator(self, block: BlockTag = "latest") -> bytes:
        return self._read(block, "DOMAIN_SEPARATOR")

    def build_transfer(self, to: Address, amount: int) -> Call:
        return self._build("transfer", to, amount)

    def build_approve(self, spender: Address, amount: int) -> Call:
        return self._build("approve", spender, amount)

    def build_mint(self, to: Address, amount: int) -> Call:
        return self._build("mint", to, amount)
