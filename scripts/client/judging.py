"""What a member of the quorum does on chain: its bond."""

from protocol.outbox import Receipt
from scripts.client.purse import Purse, fresh_intent


def deposit_bond(purse: Purse, member: int, amount_units: int) -> Receipt:
    """Adds to a member's bond, out of this wallet's stake tokens."""
    chain = purse.chain
    token = chain.manifest.stake_token
    purse.require(token, amount_units, "bond of a member")
    approve = chain.token(token).build_approve(chain.manifest.quorum, amount_units)
    purse.send(fresh_intent("approve bond"), approve)
    return purse.send(fresh_intent("bond"), chain.quorum.build_deposit_bond(member, amount_units))
