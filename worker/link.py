"""The worker's one connection to the oracle: a WebSocket that it opens, and opens again whenever it
breaks.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import structlog
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from protocol import link
from protocol.errors import BadInput, ProtocolError, WrongChain
from protocol.link import LINK_TARGET, MAX_FRAME_BYTES
from protocol.request_auth import sign_link
from protocol.typed_data import Domain, Signer
from protocol.units import UnitId, hex_bytes, to_hex

_log: Final = structlog.get_logger(__name__)
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
OPEN_TIMEOUT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 20.0
"""The oracle speaks every 5 s: a link that is silent for so long is dead."""
_QUEUED_MESSAGES: Final = 1000

Outgoing = link.Heartbeat | link.Status | link.Log | link.Receipt | link.Quote


class OracleLink:
    """Runs in a thread of its own. What must arrive is offered again by `pending` after each reconnect."""

    def __init__(
        self,
        oracle_url: str,
        domain: Domain,
        account: Signer,
        unit_id: UnitId,
        *,
        inventory: Callable[[], link.Inventory],
        attempts: Callable[[], Sequence[link.Attempt]],
        receive: Callable[[link.ServerMessage], None],
        pending: Callable[[bool], Sequence[Outgoing]],
        quotes: bool = False,
    ) -> None:
        """`pending(anew)` gives what is due now; `anew` where nothing sent on an earlier connection
        counts. `quotes`: whether requests for quotes are answered here.
        """
        self._quotes = quotes
        self._url = link_url(oracle_url)
        self._domain = domain
        self._account = account
        self._unit_id = unit_id
        self._inventory = inventory
        self._attempts = attempts
        self._receive = receive
        self._pending = pending
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._queue: deque[Outgoing] = deque(maxlen=_QUEUED_MESSAGES)
        self._connection: Connection | None = None

    def send(self, message: Outgoing) -> None:
        """Now if there is a connection. What is queued when it breaks is dropped: `pending` brings what
        matters.
        """
        with self._lock:
            self._queue.append(message)
        self._wake.set()

    def wake(self) -> None:
        """`pending` may have something."""
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        connection = self._connection
        if connection is not None:
            connection.close()

    def run(self) -> None:
        """Until `stop`."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._serve()
            except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed, ProtocolError) as error:
                _log.warning("link_broken", error=str(error), kind=type(error).__name__)
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            self._stop.wait(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _serve(self) -> None:
        with connect(
            self._url,
            open_timeout=OPEN_TIMEOUT_SECONDS,
            close_timeout=2,
            max_size=MAX_FRAME_BYTES,
            proxy=None,
        ) as connection:
            self._connection = connection
            try:
                self._greet(connection)
                with self._lock:
                    self._queue.clear()
                self._run_both(connection)
            finally:
                self._connection = None

    def _greet(self, connection: Connection) -> None:
        challenge = self._next(connection)
        if not isinstance(challenge, link.Challenge):
            raise BadInput(f"link: expected challenge, got {type(challenge).__name__}")
        actual = (challenge.chain_id, challenge.market)
        if actual != (self._domain.chain_id, self._domain.market):
            expected = f"{self._domain.chain_id} {self._domain.market}"
            raise WrongChain(f"oracle: expected chain and market {expected}, got {actual[0]} {actual[1]}")
        nonce = hex_bytes(challenge.nonce, 32, "challenge.nonce")
        expires_at, signature = sign_link(self._domain, self._account, nonce, time.time())
        hello = link.Hello(
            worker=self._account.address,
            unit_id=to_hex(self._unit_id),
            inventory=self._inventory(),
            expires_at=expires_at,
            signature=to_hex(signature),
            attempts=tuple(self._attempts()),
            quotes=self._quotes,
        )
        connection.send(link.encode(hello))
        answer = self._next(connection)
        if not isinstance(answer, link.Welcome):
            raise BadInput(f"link: expected welcome, got {_described(answer)}")
        _log.info("link_open", url=self._url)

    def _run_both(self, connection: Connection) -> None:
        """One thread sends, this one receives; the end of one is the end of the other."""
        sender = threading.Thread(target=self._send_all, args=(connection,), name="link-sender", daemon=True)
        sender.start()
        try:
            while not self._stop.is_set():
                self._receive(self._next(connection))
                self._wake.set()
        finally:
            connection.close()
            self._wake.set()
            sender.join()

    def _next(self, connection: Connection) -> link.ServerMessage:
        try:
            frame = connection.recv(timeout=SILENCE_SECONDS)
        except TimeoutError as error:
            connection.close()
            raise BadInput(f"link: expected a word every {SILENCE_SECONDS:.0f} s, got none") from error
        message = link.decode_from_server(frame)
        if isinstance(message, link.Refused):
            raise BadInput(f"oracle refused: {message.message}", code=message.code)
        return message

    def _send_all(self, connection: Connection) -> None:
        anew = True
        try:
            while not self._stop.is_set() and self._connection is connection:
                self._wake.clear()
                for message in (*self._drain(), *self._pending(anew)):
                    connection.send(link.encode(message))
                anew = False
                self._wake.wait(1)
        except ConnectionClosed:
            return
        finally:
            # An error here must not leave a link that only listens.
            connection.close()

    def _drain(self) -> list[Outgoing]:
        with self._lock:
            messages = list(self._queue)
            self._queue.clear()
        return messages


def link_url(oracle_url: str) -> str:
    """ws:// for http://, wss:// for https://. BadInput for other schemes."""
    parts = urlsplit(oracle_url)
    schemes = {"http": "ws", "https": "wss"}
    if parts.scheme not in schemes:
        raise BadInput(f"oracle_url: expected http or https, got {parts.scheme}")
    return urlunsplit((schemes[parts.scheme], parts.netloc, parts.path.rstrip("/") + LINK_TARGET, "", ""))


def _described(message: link.ServerMessage) -> str:
    return (
        f"{message.code}: {message.message}" if isinstance(message, link.Refused) else type(message).__name__
    )
