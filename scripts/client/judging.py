"""The bonds of the quorum's members."""

from collections.abc import Sequence

from scripts.client.purse import Purse, fresh_intent


def deposit_bonds(purse: Purse, members: Sequence[int], amount_units: int) -> None:
    """Adds so much to the bond of each of these members, out of this wallet's stake tokens."""
    chain = purse.chain
    token, total = chain.manifest.stake_token, amount_units * len(members)
    purse.require(token, total, "bonds of the quorum")
    approve = chain.token(token).build_approve(chain.manifest.quorum, total)
    purse.send(fresh_intent("approve bonds"), approve)
    for member in members:
        call = chain.quorum.build_deposit_bond(member, amount_units)
        purse.send(fresh_intent(f"bond of {member}"), call)
