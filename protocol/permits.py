"""EIP-2612: a signature that stands for the transaction that approves a spender."""

from protocol.contracts import PermitSignature, Token
from protocol.keccak import keccak256
from protocol.typed_data import Signer
from protocol.units import Address, address_bytes, parse_address

_PERMIT_TYPE = b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"


def sign_permit(
    token: Token, account: Signer, spender: Address, amount_units: int, deadline: int
) -> PermitSignature:
    """Lets `spender` take so many base units of the account's tokens until `deadline` (Unix seconds)."""
    owner = parse_address(account.address)
    words = (
        keccak256(_PERMIT_TYPE),
        address_bytes(owner).rjust(32, b"\0"),
        address_bytes(spender).rjust(32, b"\0"),
        amount_units.to_bytes(32),
        token.permit_nonce(owner).to_bytes(32),
        deadline.to_bytes(32),
    )
    digest = keccak256(b"\x19\x01" + token.domain_separator() + keccak256(b"".join(words)))
    signature = bytes(account.unsafe_sign_hash(digest).signature)
    return PermitSignature(deadline, signature[64], signature[:32], signature[32:64])
