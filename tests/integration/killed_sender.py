"""A process that sends and kills itself at a point: `... RPC_URL OUTBOX TO POINT`. `POINTS` says where."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from web3 import Web3

from protocol.calls import Call
from protocol.chain import rpc
from protocol.endpoint import Endpoint
from protocol.outbox import SqliteOutbox
from protocol.sender import Intent, Sender
from protocol.units import parse_address
from tests.anvil import CHAIN_ID, account

T = TypeVar("T")

SENDER_INDEX = 3
VALUES_WEI = (1, 20, 300)
INTENTS = tuple(f"pay {value}" for value in VALUES_WEI)
RAISED_FEE_WEI = 10**11

SUBMIT = ("before_signing", "before_broadcast", "after_broadcast")
REPLACE = ("before_replacing", "before_rebroadcast", "after_rebroadcast")
RECEIPT = ("after_receipts",)
POINTS = SUBMIT + REPLACE + RECEIPT

BEFORE = {
    "before_signing": "eth_maxPriorityFeePerGas",  # the nonces are reserved by then
    "before_broadcast": "eth_sendRawTransaction",
    "before_replacing": "eth_maxPriorityFeePerGas",
    "before_rebroadcast": "eth_sendRawTransaction",
}
AFTER = {
    "after_broadcast": "eth_sendRawTransaction",
    "after_rebroadcast": "eth_sendRawTransaction",
    "after_receipts": "eth_getTransactionReceipt",
}


class DyingProvider(Endpoint):
    """Kills its own process before or after the request that the point names."""

    point = ""

    def ask(self, method: str, body: bytes, read: Callable[[bytes], T]) -> T:
        self._die(BEFORE, method)
        answer = super().ask(method, body, read)
        self._die(AFTER, method)
        return answer

    def _die(self, points: dict[str, str], method: str) -> None:
        if points.get(self.point) == method:
            os.kill(os.getpid(), signal.SIGKILL)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def main(rpc_url: str, outbox: str, to: str, point: str) -> None:
    provider, clock = DyingProvider(rpc_url, timeout_seconds=10), Clock()
    sender = Sender(Web3(provider), account(SENDER_INDEX), SqliteOutbox(Path(outbox)), CHAIN_ID, clock=clock)
    target = parse_address(to)
    calls = [Intent(name, Call(target, b"", value)) for name, value in zip(INTENTS, VALUES_WEI, strict=True)]
    provider.point = point if point in SUBMIT else ""
    sender.submit_many(calls)
    if point in REPLACE:
        rpc(Web3(provider), "anvil_setNextBlockBaseFeePerGas", [hex(RAISED_FEE_WEI)])
    rpc(Web3(provider), "anvil_mine", ["0x1"])
    provider.point, clock.now = point, clock.now + 3600
    sender.turn()


if __name__ == "__main__":
    main(*sys.argv[1:])
