"""Nonces of signed requests: each is good once, and is kept until its signature has expired."""

from __future__ import annotations

from sqlalchemy import delete

from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import request_nonces
from protocol.units import Address


def spend_nonce(transaction: Transaction, account: Address, nonce: bytes, expires_at: int) -> bool:
    """False: this account has used the nonce before."""
    row = {"account": account, "nonce": nonce, "expires_at": expires_at}
    return insert_new(transaction, request_nonces, row)


def delete_expired_nonces(transaction: Transaction, now: int) -> int:
    return transaction.execute(delete(request_nonces).where(request_nonces.c.expires_at < now)).rowcount
