"""A contract at an address, by its ABI."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from web3 import Web3

from protocol.abi import entries
from protocol.calls import Call, decode_outputs, encode_call, eth_call, eth_calls
from protocol.chain import BlockTag
from protocol.units import Address, address_of


@dataclass(frozen=True, slots=True)
class PermitSignature:
    """An EIP-2612 permit, as `permits.sign_permit` makes it."""

    deadline: int
    v: int
    r: bytes
    s: bytes


class Contract:
    """A contract at an address, by its ABI."""

    def __init__(self, web3: Web3, address: Address, abi: str) -> None:
        self.web3 = web3
        self.address = address
        self._functions = entries(abi, "function")

    def _build(self, name: str, *arguments: Any) -> Call:
        return Call(self.address, encode_call(self._functions[name], arguments))

    def _read(self, block: BlockTag, name: str, *arguments: Any) -> Any:
        """The outputs, a single one unpacked. TransactionReverted, ChainUnavailable, BadInput."""
        function = self._functions[name]
        call = Call(self.address, encode_call(function, arguments))
        return _unpacked(decode_outputs(function, eth_call(self.web3, call, block)))

    def _read_each(self, block: BlockTag, name: str, arguments: Iterable[Any]) -> list[Any]:
        """As `_read` of a function of one argument, for each of these, in their order and in few requests."""
        function = self._functions[name]
        calls = [Call(self.address, encode_call(function, [each])) for each in arguments]
        return [_unpacked(decode_outputs(function, raw)) for raw in eth_calls(self.web3, calls, block)]


def _unpacked(outputs: tuple[Any, ...]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


def address_within(raw: str) -> Address:
    """Out of a struct that stays a tuple."""
    return address_of(bytes.fromhex(raw[2:]))
