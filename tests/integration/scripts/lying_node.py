"""A JSON-RPC proxy that forwards to a real node and rewrites what eth_getLogs answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

JSON = {"Content-Type": "application/json"}
Log = dict[str, Any]
Rewrite = Callable[[list[Log]], list[Log]]


@contextmanager
def lying_node(honest_url: str, rewrite: Rewrite) -> Iterator[str]:
    """The address of a node that tells the truth but for its logs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = requests.post(honest_url, body, headers=JSON, timeout=30).json()
            asked = json.loads(body)
            if isinstance(asked, dict) and asked["method"] == "eth_getLogs":
                answer["result"] = rewrite(answer["result"])
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
