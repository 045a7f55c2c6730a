"""Signatures as the contracts take them: of a key, or of a contract by EIP-1271."""

from contextlib import suppress
from typing import Final

from web3 import Web3

from protocol.abi_bytes import abi_encode
from protocol.calls import Call, eth_call
from protocol.errors import RpcError, SignatureInvalid, TransactionReverted
from protocol.typed_data import Domain, digest, recover_digest
from protocol.units import Address

IS_VALID_SIGNATURE: Final = bytes.fromhex("1626ba7e")
"""The function's selector, and what it returns for yes."""


def check_account_signature(
    web3: Web3, domain: Domain, value: object, signature: bytes, account: Address
) -> None:
    """As `check_account_digest`, of a struct."""
    check_account_digest(web3, digest(domain, value), signature, account, type(value).__name__)


def check_account_digest(web3: Web3, signed: bytes, signature: bytes, account: Address, subject: str) -> None:
    """Returns where the account signed, as of the latest block. SignatureInvalid, ChainUnavailable.

    Asks the node only where no key of that address signed.
    """
    with suppress(SignatureInvalid):
        if recover_digest(signed, signature) == account:
            return
    if not _contract_agrees(web3, signed, signature, account):
        raise SignatureInvalid(f"{subject}: expected a signature of {account}")


def _contract_agrees(web3: Web3, signed: bytes, signature: bytes, account: Address) -> bool:
    arguments = abi_encode(("bytes32", "bytes"), (signed, signature))
    try:
        answer = eth_call(web3, Call(account, IS_VALID_SIGNATURE + arguments), "latest")
    except (TransactionReverted, RpcError):
        return False  # it reverted, or failed otherwise: nodes have many words for that
    # Nobody's address answers nothing.
    return answer[:32] == IS_VALID_SIGNATURE.ljust(32, b"\0")
