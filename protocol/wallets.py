"""Signatures as the contracts take them: of a key, or of a contract by EIP-1271."""

from typing import Final

from web3 import Web3

from protocol.abi_bytes import abi_encode
from protocol.calls import Call, eth_call
from protocol.errors import SignatureInvalid, TransactionReverted
from protocol.typed_data import Domain, check_signature, digest
from protocol.units import Address

IS_VALID_SIGNATURE: Final = bytes.fromhex("1626ba7e")
"""The function's selector, and what it returns for yes."""


def check_account_signature(
    web3: Web3, domain: Domain, value: object, signature: bytes, account: Address
) -> None:
    """Returns where the account signed, as of the latest block. SignatureInvalid, RetryableError."""
    try:
        check_signature(domain, value, signature, account)
    except SignatureInvalid as error:
        if not _contract_agrees(web3, digest(domain, value), signature, account):
            raise error


def _contract_agrees(web3: Web3, signed: bytes, signature: bytes, account: Address) -> bool:
    arguments = abi_encode(("bytes32", "bytes"), (signed, signature))
    try:
        answer = eth_call(web3, Call(account, IS_VALID_SIGNATURE + arguments), "latest")
    except TransactionReverted:
        return False
    # Nobody's address answers nothing.
    return answer[:32] == IS_VALID_SIGNATURE.ljust(32, b"\0")
