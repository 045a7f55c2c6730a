"""The HTTP server: where it listens, and how uvicorn is set up."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from oracle.http import BoundedHttp
from oracle.settings import Settings
from protocol import link
from protocol.errors import BadInput

STOP_SECONDS = 5


class Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
        # Connections inherit both. asyncio sees no TCP in a listener made like this and would leave Nagle's
        # algorithm on: 40 ms for each answer whose head and body are written apart.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # The system cuts a reader that takes nothing, and its stream ends.
            stalled_milliseconds = int(settings.stalled_reader_seconds * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_milliseconds)
        return listener
    except OSError as error:
        raise BadInput(f"host and port: cannot listen on {host}:{port}: {error.strerror}") from error


def server_config(application: object) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # pyright: ignore[reportArgumentType]
        http=BoundedHttp,
        ws="websockets-sansio",
        ws_max_size=link.MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
