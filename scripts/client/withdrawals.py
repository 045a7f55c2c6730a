"""Taking out what the contracts owe an account."""

from collections.abc import Sequence

from protocol.units import Address
from scripts.client.purse import Purse, fresh_intent


def withdraw_credits(purse: Purse, tokens: Sequence[Address], to: Address) -> dict[Address, int]:
    """Takes out every credit in these tokens; how much of each there was."""
    taken: dict[Address, int] = {}
    for token in tokens:
        amount = purse.chain.market.credit_of(token, purse.address)
        if amount:
            purse.send(fresh_intent("withdraw"), purse.chain.market.build_withdraw(token, to))
            taken[token] = amount
    return taken


def withdraw_fees(purse: Purse, tokens: Sequence[Address]) -> dict[Address, int]:
    """Sends the fees in these tokens to the treasury, as anybody may; how much of each there was."""
    taken: dict[Address, int] = {}
    for token in tokens:
        amount = purse.chain.market.fees_of(token)
        if amount:
            purse.send(fresh_intent("withdraw fees"), purse.chain.market.build_withdraw_fees(token))
            taken[token] = amount
    return taken


def withdraw_compensation(purse: Purse, to: Address) -> int:
    """Takes out what providers' bonds owed this account, in the stake token; how much there was."""
    amount = purse.chain.registry.compensation_of(purse.address)
    if amount:
        purse.send(
            fresh_intent("withdraw compensation"), purse.chain.registry.build_withdraw_compensation(to)
        )
    return amount
