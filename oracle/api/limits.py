"""How often anyone may ask: token buckets by address and account, and whose address a request is from.

They are kept in the memory of each process: behind a balancer of N oracles a caller gets up to N times that.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Generator, Hashable, Iterable, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from oracle.api.errors import ApiError

Network = IPv4Network | IPv6Network
MAX_BUCKETS = 100_000
SHARED_PREFIX_BITS = 64
"""Whoever has one IPv6 address has a network of these."""


class Buckets:
    """One bucket a key, refilled at `per_second` up to `burst`. The keys silent for longest are forgotten."""

    def __init__(self, per_second: float, burst: int, max_buckets: int = MAX_BUCKETS) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> float:
        """Takes one. Zero: it was there; else in how many seconds it will be. `now` never goes back."""
        left, since = self._buckets.pop(key, (float(self._burst), now))
        left = min(left + (now - since) * self._per_second, self._burst)
        wait_seconds = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return wait_seconds


class Streams:
    """How many streams are open, of one account and of all. For the event loop alone."""

    def __init__(self, per_account: int, in_all: int) -> None:
        self._per_account = per_account
        self._in_all = in_all
        self._open: dict[str, int] = {}

    def count(self) -> int:
        return sum(self._open.values())

    @contextmanager
    def place(self, account: str) -> Generator[None, None, None]:
        """429 where there is none."""
        mine = self._open.get(account, 0)
        if mine >= self._per_account or self.count() >= self._in_all:
            raise too_many("too_many_streams", "too many streams are open", 5)
        self._open[account] = mine + 1
        try:
            yield
        finally:
            self._open[account] -= 1
            if not self._open[account]:
                del self._open[account]


def too_many(code: str, message: str, wait_seconds: float) -> ApiError:
    """429 that says when to come back, in whole seconds."""
    seconds = max(int(wait_seconds + 0.999), 1)
    return ApiError(429, code, f"{message}: again in {seconds} s", {"Retry-After": str(seconds)})


def take_place(buckets: Buckets, key: Hashable) -> None:
    wait_seconds = buckets.take(key, asyncio.get_running_loop().time())
    if wait_seconds:
        raise too_many("too_many_requests", "too many requests", wait_seconds)


def client_address(peer: str, forwarded: Iterable[str], proxies: Sequence[Network]) -> str:
    """Who asks, as far as that can be known: an address, or the peer's own text where it is none.

    `forwarded` are the X-Forwarded-For headers. Each proxy appends whom it heard, so they are read from the
    right, and only as long as who says it is one of our proxies: what a client wrote itself is to the left.
    """
    found = _parsed(peer)
    if found is None:
        return peer
    heard = [entry.strip() for header in forwarded for entry in header.split(",")]
    while heard and any(found in network for network in proxies):
        said = _parsed(heard.pop())
        if said is None:
            break
        found = said
    return str(found)


def bucket_of(address: str) -> str:
    """Addresses that are one customer's share a bucket."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, SHARED_PREFIX_BITS), strict=False))
    return address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
