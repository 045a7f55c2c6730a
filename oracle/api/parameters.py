"""Ids, pages and parties as the routers read them."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from oracle.api.errors import ApiError
from oracle.jobs import MAX_PRIORITY
from oracle.store import entities
from oracle.store.engine import Transaction
from protocol.errors import BadInput
from protocol.structs import Terms
from protocol.units import Address, Digest, JobId, LeaseId, ProofHash, hex_bytes

_NUMBER_BYTES = 13
_CURSOR = re.compile(r"[A-Za-z0-9_-]{60}", re.ASCII)

MAX_PAGE = 500
MAX_NUMBER = (1 << 96) - 1
MAX_INTEGER = (1 << 63) - 1
"""Of a database's column."""
MAX_OFFSET = 1 << 53

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET)]
Priority = Annotated[int, Query(ge=0, le=MAX_PRIORITY)]
WaitSeconds = Annotated[float, Query(ge=0, le=30, allow_inf_nan=False)]
Cursor = Annotated[str | None, Query(max_length=128)]


def job_id_of(text: str) -> JobId:
    return JobId(hex_bytes(text, 32, "job id"))


def lease_id_of(text: str) -> LeaseId:
    return LeaseId(hex_bytes(text, 32, "lease id"))


def proof_hash_of(text: str) -> ProofHash:
    return ProofHash(hex_bytes(text, 32, "proof hash"))


def sha256_of(text: str) -> Digest:
    return Digest(hex_bytes(f"0x{text}", 32, "sha256"))


def read_cursor(text: str | None) -> tuple[int, bytes]:
    """A place in a list sorted by a number and a hash; None is before its first entry.

    It names the last entry seen and not how many there were: what is added or goes elsewhere moves nothing.
    """
    if text is None:
        return 0, b""
    if not _CURSOR.fullmatch(text):
        raise BadInput("cursor: expected the `next_cursor` of a page")
    raw = base64.urlsafe_b64decode(text)
    number = int.from_bytes(raw[:_NUMBER_BYTES])
    if number > MAX_NUMBER:
        raise BadInput("cursor: expected the `next_cursor` of a page")
    return number, raw[_NUMBER_BYTES:]


def write_cursor(number: int, tail: bytes) -> str:
    """`number` of at most 96 bits, as prices have; `tail` of 32 bytes."""
    return base64.urlsafe_b64encode(number.to_bytes(_NUMBER_BYTES) + tail).decode()


def check_party(transaction: Transaction, terms: Terms, renters: Sequence[Address], caller: Address) -> bool:
    """True: the caller is the worker of the terms' unit; False: one of these renters. 403 otherwise."""
    if caller == worker_of(transaction, terms):
        return True
    if caller in renters:
        return False
    raise ApiError(403, "not_a_party", f"expected the renter or the worker of the lease, got {caller}")


def worker_of(transaction: Transaction, terms: Terms) -> Address | None:
    """The unit's worker as the chain has it now; a key that was rotated away is none."""
    unit = entities.get_unit(transaction, terms.offer.unit_id)
    return unit.unit.worker if unit else None
