"""What a message of EIP-4361 must say before its signature counts: for this oracle, this chain, and now."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from eth_account.messages import encode_defunct
from web3 import Web3

from protocol.errors import Expired, SignatureInvalid
from protocol.keccak import keccak256
from protocol.units import Address, parse_address, shorten
from protocol.wallets import check_account_digest

with warnings.catch_warnings():
    # The grammar that it loads redefines core rules, of which abnf warns.
    warnings.simplefilter("ignore")
    from siwe import SiweMessage  # pyright: ignore[reportMissingTypeStubs]

MAX_MESSAGE_CHARACTERS = 2000
AHEAD_SECONDS = 60
"""How far the clock of who signs may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`origin`: scheme, host and port under which people reach this oracle. Lifetime in seconds."""

    origin: str
    chain_id: int
    lifetime_seconds: int


def read_message(text: str, expected: Expected, now: int) -> SiweMessage:
    """The message, all of it checked but nonce and signature. SignatureInvalid, Expired."""
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise _wrong("message", f"at most {MAX_MESSAGE_CHARACTERS} characters", len(text))
    try:
        # Its grammar takes most of a second to refuse 2,000 characters; the pattern with the comparison below
        # takes the same messages.
        message = SiweMessage.from_message(text, abnf=False)
    except ValueError:
        raise SignatureInvalid("message: expected one of EIP-4361", code="malformed_message") from None
    if message.prepare_message() != text:
        raise SignatureInvalid("message: expected the form of EIP-4361 exactly", code="malformed_message")
    origin = urlsplit(expected.origin)
    if message.domain != origin.netloc or message.scheme not in (None, origin.scheme):
        raise _wrong("domain", origin.netloc, message.domain)
    if not _within(message.uri, expected.origin):
        raise _wrong("uri", expected.origin, message.uri)
    if message.chain_id != expected.chain_id:
        raise _wrong("chain id", expected.chain_id, message.chain_id)
    _check_times(message, expected.lifetime_seconds, now)
    return message


def expires_at(message: SiweMessage, latest: int) -> int:
    """When what is signed in by this message ends, Unix seconds."""
    found = message.expiration_time
    return latest if found is None else min(latest, int(_instant(str(found)).timestamp()))


def check_signature(web3: Web3, message: SiweMessage, signature: bytes) -> Address:
    """The account that signed: a key, or a contract that says so. SignatureInvalid, ChainUnavailable."""
    account = parse_address(message.address, "message.address")
    prefixed = encode_defunct(text=message.prepare_message())
    digest = keccak256(b"\x19" + prefixed.version + prefixed.header + prefixed.body)
    check_account_digest(web3, digest, signature, account, "message")
    return account


def _within(uri: str, origin: str) -> bool:
    return uri == origin or uri.startswith((f"{origin}/", f"{origin}?", f"{origin}#"))


def _check_times(message: SiweMessage, lifetime_seconds: int, now: int) -> None:
    issued = _instant(str(message.issued_at)).timestamp()
    if not now - lifetime_seconds <= issued <= now + AHEAD_SECONDS:
        raise Expired(
            f"message: expected to be issued within {lifetime_seconds} s of {now}, got {issued:.0f}"
        )
    if message.expiration_time is not None and _instant(str(message.expiration_time)).timestamp() <= now:
        raise Expired(f"message: expected to expire after {now}")
    if message.not_before is not None and _instant(str(message.not_before)).timestamp() > now:
        raise Expired(f"message: expected to hold at {now}")


def _instant(text: str) -> datetime:
    """RFC 3339 with its offset; one without is no instant."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise _wrong("time", "an instant with its offset from UTC", text)
    return found


def _wrong(what: str, expected: object, actual: object) -> SignatureInvalid:
    return SignatureInvalid(f"{what}: expected {expected}, got {shorten(actual)}", code="wrong_message")
