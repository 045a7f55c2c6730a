"""A process that submits a transaction and kills itself at a point: `... RPC_URL OUTBOX TO POINT`."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from protocol.calls import Call
from protocol.outbox import SqliteOutbox
from protocol.sender import Sender
from protocol.units import parse_address
from tests.anvil import CHAIN_ID, account

SENDER_INDEX = 3
INTENT = "pay"
VALUE_WEI = 12_345

BEFORE = {
    "before_signing": "eth_maxPriorityFeePerGas",  # the nonce is reserved by then
    "before_broadcast": "eth_sendRawTransaction",
}
AFTER = {"after_broadcast": "eth_sendRawTransaction"}


class DyingProvider(HTTPProvider):
    """Kills its own process before or after the request that the point names."""

    def __init__(self, rpc_url: str, point: str) -> None:
        super().__init__(rpc_url)
        self.point = point

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        if BEFORE.get(self.point) == method:
            os.kill(os.getpid(), signal.SIGKILL)
        response = super().make_request(method, params)
        if AFTER.get(self.point) == method:
            os.kill(os.getpid(), signal.SIGKILL)
        return response


def main(rpc_url: str, outbox: str, to: str, point: str) -> None:
    web3 = Web3(DyingProvider(rpc_url, point))
    sender = Sender(web3, account(SENDER_INDEX), SqliteOutbox(Path(outbox)), CHAIN_ID)
    sender.submit(INTENT, Call(parse_address(to), b"", VALUE_WEI))


if __name__ == "__main__":
    main(*sys.argv[1:])
