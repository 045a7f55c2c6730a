"""Reads by the names of the ABI, for what is only compared."""

from typing import Any

from protocol.contracts import Contract


class Reader(Contract):
    """A contract whose getters are asked by their names in Solidity."""

    def get(self, name: str, block: int, *arguments: Any) -> Any:
        return self._read(block, name, *arguments)
