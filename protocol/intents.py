"""What a sender is asked for, how it goes about it, and what it says of it."""

from dataclasses import dataclass

from protocol.calls import Call
from protocol.fees import FeeRules
from protocol.outbox import IntentState, Receipt


@dataclass(frozen=True, slots=True)
class SenderSettings(FeeRules):
    """`confirmations`: blocks, its own included, after which a transaction counts as mined for good.

    `reorg_blocks`: how long what was mined is watched. `spend_cap_wei`: in 24 hours, gas and value together.
    `shared_key`: another program may use the key, and a nonce that it took is left to it.
    """

    confirmations: int = 1
    reorg_blocks: int = 64
    bump_after_seconds: float = 30
    rebroadcast_seconds: float = 5
    nonce_taken_seconds: float = 15
    gas_margin_percent: int = 25
    spend_cap_wei: int | None = None
    shared_key: bool = False
    poll_seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Intent:
    """A call to be carried out once. `gas_limit` None: the node estimates it."""

    name: str
    call: Call
    gas_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn found out about an intent: concluded, or what keeps it from being so."""

    intent: str
    state: IntentState
    receipt: Receipt | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """For whoever watches the key: how much waits, and what was spent in 24 hours at most, in wei."""

    unconfirmed: int
    held: int
    spent_wei: int
    spend_cap_wei: int | None
    contested: bool
