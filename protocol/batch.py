"""Many JSON-RPC calls in few requests: what a call costs is mostly the way there and back."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import requests
from web3 import Web3
from web3.exceptions import Web3Exception

from protocol.chain import answer_of, rpc
from protocol.errors import ChainUnavailable, RpcError

MAX_CALLS: Final = 200  # nodes refuse more than 1,000, or answers of more than some MiB

_Batch = Callable[[list[tuple[Any, Any]]], Any]


def rpc_each(web3: Web3, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
    """For each list of parameters the result, as `rpc` has it, or the RpcError that the node answered.

    ChainUnavailable where an answer is missing; those calls before may have been carried out.
    """
    if not params:
        return []
    send = cast("_Batch | None", getattr(web3.provider, "make_batch_request", None))
    if send is None or len(params) == 1:
        return [_one(web3, method, each) for each in params]
    found: list[Any] = []
    for first in range(0, len(params), MAX_CALLS):
        found += _batch(send, method, params[first : first + MAX_CALLS])
    return found


def _one(web3: Web3, method: str, params: Sequence[Any]) -> Any:
    try:
        return rpc(web3, method, params)
    except RpcError as error:
        return error


def _batch(send: _Batch, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
    try:
        answers = send([(method, list(each)) for each in params])
    except (requests.RequestException, Web3Exception, OSError, ValueError, TypeError, KeyError) as error:
        raise ChainUnavailable(f"{method}, batch: {type(error).__name__}: {error}") from error
    if not isinstance(answers, list):
        answer_of(method, answers)  # one error for all
        raise ChainUnavailable(f"{method}: expected a batch of answers, got one")
    found = cast(list[Any], answers)
    if len(found) != len(params):
        raise ChainUnavailable(f"{method}: expected {len(params)} answers, got {len(found)}")
    return [_result(method, answer) for answer in found]


def _result(method: str, answer: Any) -> Any:
    try:
        return answer_of(method, answer)
    except RpcError as error:
        return error
