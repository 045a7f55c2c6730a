"""Several nodes of one chain: which of them to ask, and which to let rest because they fail, lag or lie.

One node alone is always asked: there is nobody to compare it with, and nobody to ask instead.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from web3 import Web3

from protocol.blocks import read_block
from protocol.errors import ChainUnavailable, ProtocolError, RpcError, WrongChain
from protocol.rpc import rpc_integer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    lag_blocks: int = 5
    """Fewer blocks than its peers by more than this: a node lags."""
    stall_seconds: float = 60.0
    """Behind its peers, and no new block for so long: it lags too."""
    reorg_blocks: int = 64
    """So deep below the lowest head, honest nodes hold the same block."""
    check_seconds: float = 5.0
    """Between two comparisons of all nodes."""
    rest_seconds: float = 1.0
    """The first rest; each that follows without an answer between is twice as long."""
    max_rest_seconds: float = 300.0


@dataclass(slots=True)
class Node:
    """`lied`: it is not asked before its rest is over, whatever happens to the others."""

    name: str
    web3: Web3
    verified: bool = False
    strikes: int = 0
    rested_until: float = 0.0
    lied: bool = False
    head: int | None = None
    moved_at: float = 0.0


def rest_seconds(strikes: int, limits: Limits) -> float:
    """Of the rest after so many failures in a row."""
    return min(limits.rest_seconds * 2.0 ** min(strikes - 1, 30), limits.max_rest_seconds)


def common_head(heads: Sequence[int]) -> int:
    """The head to measure nodes by: the higher one of two, the one in the middle of more."""
    return sorted(heads, reverse=True)[(len(heads) - 1) // 2]


def behind(node: Node, head: int, best: int, now: float, limits: Limits) -> str:
    """Why a node that says `head` lags; empty where it does not."""
    if node.head is not None and head < node.head <= best:
        return f"its head went back from {node.head} to {head}"
    if head < best - limits.lag_blocks:
        return f"its head is {head}, that of its peers {best}"
    if head < best and node.head == head and now - node.moved_at > limits.stall_seconds:
        return f"its head stands at {head} since {now - node.moved_at:.0f} s, that of its peers is {best}"
    return ""


def outvoted(hashes: Mapping[str, bytes], witness: bytes | None) -> frozenset[str] | None:
    """Names of those that hold another block than most, or than the witness where there is no majority.

    None: nobody can tell who is right.
    """
    counts = {found: list(hashes.values()).count(found) for found in hashes.values()}
    right = next((found for found, count in counts.items() if 2 * count > len(hashes)), witness)
    if right is None or right not in counts:
        return None if len(counts) > 1 else frozenset()
    return frozenset(name for name, found in hashes.items() if found != right)


@dataclass(slots=True)
class Nodes:
    """From any thread. `now` gives seconds that only grow."""

    nodes: Sequence[Node]
    chain_id: int
    now: Callable[[], float]
    limits: Limits = field(default_factory=Limits)
    witness: Callable[[int], bytes | None] = field(default=lambda _number: None)
    """The hash that we know a block of this number to have, if we do."""
    _checked_at: float = field(default=float("-inf"), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _comparing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def alone(self) -> bool:
        return len(self.nodes) == 1

    def greet(self) -> None:
        """At the start: what each serves. WrongChain or ChainUnavailable where none serves our chain."""
        refusals: list[ProtocolError] = []
        for node in self.nodes:
            try:
                self._verify(node)
            except WrongChain as error:
                refusals.insert(0, error)
                self.distrust(node, error)
            except (ChainUnavailable, RpcError) as error:
                refusals.append(error)
                self.failed(node, error)
        if len(refusals) == len(self.nodes):
            raise refusals[0]

    def choose(self) -> Node:
        """The first node that is fit, compared with the others not long ago. ChainUnavailable."""
        if self.alone:
            self._verify(self.nodes[0])
            return self.nodes[0]
        self.compare()
        refusal: ProtocolError | None = None
        for node in self._candidates():
            try:
                self._verify(node)
                return node
            except WrongChain as error:
                refusal = error
                self.distrust(node, error)
            except (ChainUnavailable, RpcError) as error:
                refusal = error
                self.failed(node, error)
        raise ChainUnavailable(
            refusal.message if refusal else "every node rests: each has told what is not so"
        )

    def fit(self) -> list[Node]:
        """Those that do not rest, of which we know that they serve our chain."""
        return [node for node in self.nodes if node.verified and self._fit(node)]

    def failed(self, node: Node, error: ProtocolError) -> bool:
        """Lets the node rest. True: another one is fit to be asked at once."""
        if self.alone:
            return False
        self._rest(node, error.message, lied=False)
        return self._any_fit()

    def distrust(self, node: Node, error: ProtocolError) -> bool:
        """As `failed`, for a node that has said what is not so."""
        if self.alone:
            return False
        self._rest(node, error.message, lied=True)
        return self._any_fit()

    def worked(self, node: Node) -> None:
        """It has answered well: its next rest is a short one again."""
        with self._lock:
            if node.strikes:
                log.info("node_works", node=node.name)
            node.strikes = 0
            node.lied = False

    def compare(self) -> None:
        """Every `check_seconds`: heads, and a block below all reorganisations, of all that do not rest."""
        now = self.now()
        if self.alone or now - self._checked_at < self.limits.check_seconds:
            return
        if not self._comparing.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._checked_at = now
            heads = self._heads(now)
            self._compare_heads(heads, now)
            self._compare_hashes([node for node in self.nodes if node.name in heads and self._fit(node)])
        finally:
            self._comparing.release()

    def _heads(self, now: float) -> dict[str, int]:
        heads: dict[str, int] = {}
        for node in self.nodes:
            if not self._fit(node):
                continue
            try:
                self._verify(node)
                heads[node.name] = _integer(node, "eth_blockNumber")
            except WrongChain as error:
                self.distrust(node, error)
            except (ChainUnavailable, RpcError) as error:
                self.failed(node, error)
        return heads

    def _compare_heads(self, heads: Mapping[str, int], now: float) -> None:
        if len(heads) < 2:
            return
        best = common_head(list(heads.values()))
        for node in self.nodes:
            head = heads.get(node.name)
            if head is None:
                continue
            reason = behind(node, head, best, now, self.limits)
            if node.head is None or head > node.head:
                node.moved_at = now
            node.head = head
            if reason:
                self._rest(node, reason, lied=False)
                node.verified = False
            elif head > best + self.limits.lag_blocks:
                self._rest(node, f"its head is {head}, that of most peers {best}", lied=True)

    def _compare_hashes(self, nodes: Sequence[Node]) -> None:
        heads = [node.head for node in nodes if node.head is not None]
        if len(heads) < 2:
            return
        height = max(min(heads) - self.limits.reorg_blocks, 0)
        hashes: dict[str, bytes] = {}
        for node in nodes:
            try:
                hashes[node.name] = _block_hash(node, height)
            except (ChainUnavailable, RpcError) as error:
                self.failed(node, error)
        wrong = outvoted(hashes, self.witness(height))
        if wrong is None:
            names = ", ".join(sorted(hashes))
            # Compared again at once: until one of them gives way, nothing is read.
            self._checked_at = float("-inf")
            raise ChainUnavailable(f"block {height}: {names} differ, and nobody can tell who is right")
        for node in nodes:
            if node.name in wrong:
                self._rest(node, f"its block {height} is not that of its peers", lied=True)

    def _verify(self, node: Node) -> None:
        if node.verified:
            return
        actual = _integer(node, "eth_chainId")
        if actual != self.chain_id:
            raise WrongChain(f"{node.name}: expected chain {self.chain_id}, got {actual}")
        node.verified = True

    def _fit(self, node: Node) -> bool:
        return node.rested_until <= self.now()

    def _any_fit(self) -> bool:
        return any(self._fit(node) for node in self.nodes)

    def _candidates(self) -> list[Node]:
        """Those that do not rest; with none of them, those that only failed, the first to be back first."""
        fit = [node for node in self.nodes if self._fit(node)]
        tired = [node for node in self.nodes if not node.lied]
        return fit or sorted(tired, key=lambda node: node.rested_until)

    def _rest(self, node: Node, reason: str, lied: bool) -> None:
        with self._lock:
            node.strikes += 1
            node.verified = False
            node.lied = lied
            seconds = self.limits.max_rest_seconds if lied else rest_seconds(node.strikes, self.limits)
            node.rested_until = self.now() + seconds
        log.warning("node_rests", node=node.name, reason=reason, seconds=seconds, lied=lied)


def _integer(node: Node, method: str) -> int:
    return rpc_integer(node.web3, method, [])


def _block_hash(node: Node, number: int) -> bytes:
    return read_block(node.web3, number).hash
