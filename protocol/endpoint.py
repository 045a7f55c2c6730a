"""One node's HTTP address: JSON-RPC there and back, bounded in size and time, named without secrets."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from web3.providers import JSONBaseProvider

from protocol.errors import AnswerTooLarge, ChainTimeout, ChainUnavailable

T = TypeVar("T")

MAX_ANSWER_BYTES: Final = 256 << 20
READ_TIMES: Final = 3
"""An answer that goes on and on is given up after so many times the time in which it must begin."""
_CHUNK_BYTES: Final = 1 << 20
_TOO_LARGE: Final = 413
_HEADERS: Final = {"Content-Type": "application/json"}

_request_ids = itertools.count(1)


@runtime_checkable
class Asking(Protocol):
    """A provider that gives the answer's bytes to whoever can read them faster than web3 does."""

    def ask(self, method: str, body: bytes, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the answer to a request or batch. ChainUnavailable, and what `read` raises."""
        ...


def encode_request(method: str, params: Sequence[Any]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": next(_request_ids), "method": method, "params": params})


def encode_batch(calls: Sequence[tuple[str, Sequence[Any]]]) -> bytes:
    """The ids ascend, so that answers sorted by their ids are in the order of the calls."""
    return b"[" + b",".join([encode_request(method, params) for method, params in calls]) + b"]"


def name_of(url: str) -> str:
    """Scheme, host and port alone: paths and users of RPC addresses are keys that cost money."""
    parsed = urlsplit(url)
    host = parsed.hostname or "?"
    shown = f"[{host}]" if ":" in host else host
    try:
        port = parsed.port
    except ValueError:
        port = None
    return f"{parsed.scheme}://{shown}" + (f":{port}" if port else "")


def _session_for(url: str) -> requests.Session:
    """Proxies and certificates as the environment has them, looked up once and not at every call."""
    session = requests.Session()
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify, session.cert = found["proxies"], found["verify"], found["cert"]
    session.trust_env = False
    return session


class Endpoint(JSONBaseProvider):
    """As web3 asks a node. Every way in which it can fail is ChainUnavailable.

    A call that fails fast is made again at once, `attempts` times in all; one that timed out is not.
    """

    def __init__(self, url: str, timeout_seconds: float, attempts: int = 1) -> None:
        super().__init__()
        self._attempts = attempts
        self.name = name_of(url)
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._session = _session_for(url)

    def __str__(self) -> str:
        return self.name

    def close(self) -> None:
        """Closes the sockets; a later call opens new ones."""
        self._session.close()

    def ask(self, method: str, body: bytes, read: Callable[[bytes], T]) -> T:
        for _ in range(self._attempts - 1):
            try:
                return read(self._post(method, body))
            except (AnswerTooLarge, ChainTimeout):
                raise
            except (ChainUnavailable, ValueError, TypeError):
                continue
        return read(self._post(method, body))

    def make_request(self, method: Any, params: Any) -> Any:
        return self.ask(method, encode_request(method, list(params)), orjson.loads)

    def _post(self, method: str, body: bytes) -> bytes:
        began = time.monotonic()
        try:
            with self._session.post(
                self._url, body, headers=_HEADERS, timeout=self._timeout_seconds, stream=True
            ) as response:
                if response.status_code == _TOO_LARGE:
                    raise AnswerTooLarge(f"{self.name}: {method}: expected an answer, got status 413")
                response.raise_for_status()
                return self._read(method, response, began + READ_TIMES * self._timeout_seconds)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise ChainTimeout(f"{self.name}: {method}: no answer in time") from error
        except requests.HTTPError as error:
            status = error.response.status_code
            raise ChainUnavailable(f"{self.name}: {method}: expected status 200, got {status}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # Of the type alone: the text of these errors holds the whole address.
            raise ChainUnavailable(f"{self.name}: {method}: {type(error).__name__}") from error

    def _read(self, method: str, response: requests.Response, deadline: float) -> bytes:
        chunks: list[bytes] = []
        size_bytes = 0
        while chunk := response.raw.read(_CHUNK_BYTES, decode_content=True):
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > MAX_ANSWER_BYTES:
                raise AnswerTooLarge(f"{self.name}: {method}: expected at most {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ChainTimeout(f"{self.name}: {method}: the answer does not end")
        return b"".join(chunks)
