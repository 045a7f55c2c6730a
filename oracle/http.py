"""HTTP as httptools parses it, four times as fast as h11, with a bound on what it would collect."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocol.bodies import ErrorBody

MAX_HEAD_BYTES = 1 << 16
"""Of a request's first line and headers."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request's head does not end: the parser would collect it for ever."""

    _in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"expected a head of at most {MAX_HEAD_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        self.transport.write(refusal(msg))
        self.transport.close()


def refusal(message: str) -> bytes:
    """Of what is no HTTP, in the form of all refusals."""
    body = ErrorBody(code="bad_request", message=message).model_dump_json().encode()
    head = (
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
