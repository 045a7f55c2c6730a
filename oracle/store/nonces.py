"""Nonces of signed requests: each is good once, and is kept until its signature has expired."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.dialects.sqlite import insert

from oracle.store.engine import Transaction
from oracle.store.tables import request_nonces
from protocol.units import Address


def spend_nonce(transaction: Transaction, account: Address, nonce: bytes, expires_at: int) -> bool:
    """False: this account has used the nonce before."""
    row = {"account": account, "nonce": nonce, "expires_at": expires_at}
    return transaction.execute(insert(request_nonces).values(row).on_conflict_do_nothing()).rowcount == 1


def delete_expired_nonces(transaction: Transaction, now: int) -> int:
    return transaction.execute(delete(request_nonces).where(request_nonces.c.expires_at < now)).rowcount
