"""What stands at the API's doors: sign-in, limits, and what operators and their machines ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from web3 import Web3

from oracle.api.cached import Recent
from oracle.api.limits import Buckets, Streams
from oracle.signin import SiweMessage
from protocol.bodies import ReadyBody
from protocol.chain import rpc_integer
from protocol.digests import sha256
from protocol.errors import BadInput, RetryableError
from protocol.intents import Standing
from protocol.units import Address, Digest

MIN_TOKEN_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Doors:
    """`origin`: scheme, host and port that people sign in to. `check_sign_in` may ask the node.

    `standing`: of the keeper's key; None where there is none.
    """

    origin: str
    check_sign_in: Callable[[SiweMessage, bytes], Address]
    chain_reachable: Callable[[], bool]
    standing: Callable[[], Standing | None]
    metrics_token_digest: Digest | None
    by_address: Buckets
    by_account: Buckets
    streams: Streams
    readiness: Recent[ReadyBody] = field(default_factory=lambda: Recent[ReadyBody](1))


def is_reachable(web3: Web3) -> bool:
    try:
        rpc_integer(web3, "eth_blockNumber", [])
    except RetryableError:
        return False
    return True


def read_token_digest(path: Path | None) -> Digest | None:
    """SHA-256 of the token in the file, which its owner alone may read. BadInput, without the token."""
    if path is None:
        return None
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"metrics_token_file: cannot read {path}: {type(error).__name__}") from None
    if mode & 0o077:
        raise BadInput(f"metrics_token_file: expected {path} with mode 0600, got {mode & 0o777:04o}")
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise BadInput(f"metrics_token_file: expected at least {MIN_TOKEN_CHARACTERS} characters in {path}")
    return sha256(token.encode())
