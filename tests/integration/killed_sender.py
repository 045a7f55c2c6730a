"""A process that submits a transaction and kills itself at a point: `... RPC_URL OUTBOX TO POINT`."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from web3 import Web3

from protocol import sender as sender_module
from protocol.calls import Call
from protocol.chain import connect, rpc
from protocol.outbox import SqliteOutbox
from protocol.sender import Sender
from protocol.units import parse_address
from tests.anvil import CHAIN_ID, account

SENDER_INDEX = 3
INTENT = "pay"
VALUE_WEI = 12_345


def main(rpc_url: str, outbox: str, to: str, point: str) -> None:
    def dying_rpc(web3: Web3, method: str, params: list[Any]) -> Any:
        if (point, method) == ("before_broadcast", "eth_sendRawTransaction"):
            die()
        if (point, method) == ("before_signing", "eth_maxPriorityFeePerGas"):
            die()
        result = rpc(web3, method, params)
        if (point, method) == ("after_broadcast", "eth_sendRawTransaction"):
            die()
        return result

    sender_module.rpc = dying_rpc  # type: ignore[assignment]
    web3 = connect(rpc_url, CHAIN_ID)
    sender = Sender(web3, account(SENDER_INDEX), SqliteOutbox(Path(outbox)), CHAIN_ID)
    sender.submit(INTENT, Call(parse_address(to), b"", VALUE_WEI))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
