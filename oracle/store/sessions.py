"""Who is signed in, and the nonces that people sign in with. Shared by all oracles of one database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select

from oracle.store.engine import Transaction
from oracle.store.tables import sessions, sign_in_nonces
from protocol.units import Address, Digest


@dataclass(frozen=True, slots=True)
class Session:
    """`expires_at` in Unix seconds."""

    account: Address
    expires_at: int


_FIND = select(sessions.c.account, sessions.c.expires_at).where(
    sessions.c.token_digest == bindparam("token"), sessions.c.expires_at > bindparam("now")
)


def add_nonce(transaction: Transaction, nonce: str, expires_at: int) -> None:
    transaction.execute(sign_in_nonces.insert().values(nonce=nonce, expires_at=expires_at))


def count_nonces(transaction: Transaction) -> int:
    return int(transaction.execute(select(func.count()).select_from(sign_in_nonces)).scalar_one())


def take_nonce(transaction: Transaction, nonce: str, now: int) -> bool:
    """False: it was never given, has been taken before, or has expired."""
    statement = delete(sign_in_nonces).where(
        sign_in_nonces.c.nonce == nonce, sign_in_nonces.c.expires_at > now
    )
    return transaction.execute(statement).rowcount == 1


def add_session(transaction: Transaction, token_digest: Digest, session: Session, now: int) -> None:
    values = {
        "token_digest": token_digest,
        "account": session.account,
        "created_at": now,
        "expires_at": session.expires_at,
    }
    transaction.execute(sessions.insert().values(values))


def find_session(transaction: Transaction, token_digest: Digest, now: int) -> Session | None:
    """None: signed out, expired, or never signed in."""
    row = transaction.execute(_FIND, {"token": token_digest, "now": now}).first()
    return None if row is None else Session(Address(row[0]), row[1])


def delete_session(transaction: Transaction, token_digest: Digest) -> None:
    transaction.execute(delete(sessions).where(sessions.c.token_digest == token_digest))


def delete_sessions_of(transaction: Transaction, account: Address) -> int:
    """Signs an account out everywhere; how many sessions it had."""
    return transaction.execute(delete(sessions).where(sessions.c.account == account)).rowcount


def delete_expired_sessions(transaction: Transaction, now: int) -> None:
    """Nonces and sessions that are good no more."""
    transaction.execute(delete(sign_in_nonces).where(sign_in_nonces.c.expires_at <= now))
    transaction.execute(delete(sessions).where(sessions.c.expires_at <= now))
