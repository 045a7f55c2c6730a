"""JSON-RPC over whatever connects us: one kind of error for all that transport does, one for the node's."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import msgspec
import orjson
import requests
from web3 import Web3
from web3.exceptions import Web3Exception
from web3.providers import JSONBaseProvider

from protocol.endpoint import Asking, encode_batch, encode_request
from protocol.errors import BadInput, ChainUnavailable, RpcError

T = TypeVar("T")

MALFORMED: Final = (TypeError, ValueError)
"""What reading an answer raises where it is not what was expected."""


def rpc(web3: Web3, method: str, params: Sequence[Any]) -> Any:
    """The result of one JSON-RPC call, as parsed JSON.

    ChainUnavailable where no sound answer comes; RpcError where the answer is an error.
    """
    with _transport(method):
        response = cast(JSONBaseProvider, web3.provider).make_request(cast(Any, method), list(params))
    return answer_of(method, response)


def rpc_integer(web3: Web3, method: str, params: Sequence[Any]) -> int:
    """A result that is one hex quantity."""
    result = rpc(web3, method, params)
    with sound(method):
        return int(result, 16)


def rpc_bytes(web3: Web3, method: str, params: Sequence[Any]) -> bytes:
    """A result that is hex data."""
    result = rpc(web3, method, params)
    with sound(method):
        return bytes.fromhex(result[2:])


_NOTHING = msgspec.Raw(b"")


class _Answer(msgspec.Struct):
    id: int | None = None
    result: msgspec.Raw = _NOTHING
    error: Any = None


def rpc_typed(web3: Web3, method: str, params: Sequence[Any], decoder: "msgspec.json.Decoder[T]") -> T:
    """As `rpc`, for results that are large or many: `decoder` reads them straight from the answer's bytes."""
    return _read_typed(method, _ask(web3, method, encode_request(method, params), _ANSWER.decode), decoder)


def rpc_typed_batch(
    web3: Web3, method: str, params: Sequence[Sequence[Any]], decoder: "msgspec.json.Decoder[T]"
) -> list[T]:
    """Results of one method, one call for each of `params`, in their order; in one go if the node lets us."""
    body = encode_batch([(method, each) for each in params])
    found = _ask(web3, method, body, _ANSWERS.decode)
    if isinstance(found, _Answer):  # the node takes no batches, and says so once
        return [rpc_typed(web3, method, each, decoder) for each in params]
    answers = sorted(found, key=lambda answer: answer.id or 0)
    if len(answers) != len(params):
        raise ChainUnavailable(f"{method}: expected {len(params)} answers, got {len(answers)}")
    return [_read_typed(method, answer, decoder) for answer in answers]


@contextmanager
def sound(method: str) -> Generator[None, None, None]:
    """Inside, an answer that is not of the form that the method's answers have is ChainUnavailable."""
    try:
        yield
    except (*MALFORMED, KeyError, AttributeError, IndexError, BadInput) as error:
        raise ChainUnavailable(f"{method}: malformed answer: {type(error).__name__}: {error}") from error


def _ask(web3: Web3, method: str, body: bytes, read: Callable[[bytes], T]) -> T:
    provider = cast(JSONBaseProvider, web3.provider)
    with _transport(method):
        if isinstance(provider, Asking):
            return provider.ask(method, body, read)
        return read(_ask_plainly(provider, body))


def _ask_plainly(provider: JSONBaseProvider, body: bytes) -> bytes:
    """By a provider that is not ours, one call after the other."""
    asked = orjson.loads(body)
    calls = cast(list[dict[str, Any]], asked if isinstance(asked, list) else [asked])
    answers = [
        {**cast(dict[str, Any], provider.make_request(call["method"], call["params"])), "id": call["id"]}
        for call in calls
    ]
    return orjson.dumps(answers if isinstance(asked, list) else answers[0])


@contextmanager
def _transport(method: str) -> Generator[None, None, None]:
    try:
        yield
    except (requests.RequestException, Web3Exception, OSError, *MALFORMED) as error:
        # Of the type alone: the text may hold the whole address, and with it a key.
        raise ChainUnavailable(f"{method}: {type(error).__name__}") from error


def _read_typed(method: str, answer: _Answer, decoder: "msgspec.json.Decoder[T]") -> T:
    if answer.error is not None:
        raise rpc_error(method, answer.error)
    if answer.result is _NOTHING:
        raise ChainUnavailable(f"{method}: expected a result, got neither result nor error")
    with sound(method):
        return decoder.decode(answer.result)


def answer_of(method: str, response: object) -> Any:
    """The result in a JSON-RPC answer. RpcError where it is an error, ChainUnavailable where it is none."""
    if not isinstance(response, dict):
        raise ChainUnavailable(f"{method}: expected a JSON-RPC answer, got a {type(response).__name__}")
    answer = cast(dict[str, Any], response)
    if answer.get("error") is not None:
        raise rpc_error(method, answer["error"])
    if "result" not in answer:
        raise ChainUnavailable(f"{method}: expected a result, got neither result nor error")
    return answer["result"]


def rpc_error(method: str, error: object) -> RpcError:
    """Of an answer's `error`."""
    if not isinstance(error, dict):
        return RpcError(method, 0, str(error), None)
    found = cast(dict[str, Any], error)
    code = found.get("code")
    return RpcError(
        method, code if isinstance(code, int) else 0, str(found.get("message", "")), found.get("data")
    )


_ANSWER = msgspec.json.Decoder(_Answer)
_ANSWERS = msgspec.json.Decoder(list[_Answer] | _Answer)
