"""Many JSON-RPC calls in few requests: what a call costs is mostly the way there and back."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import orjson
from web3 import Web3

from protocol.endpoint import Asking, encode_batch
from protocol.errors import ChainUnavailable, RpcError
from protocol.rpc import MALFORMED, answer_of, rpc

MAX_CALLS: Final = 200  # nodes take a thousand at most, and bodies of some MiB
MAX_CHARACTERS: Final = 1 << 20


def rpc_each(web3: Web3, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
    """For each list of parameters the result, as `rpc` has it, or the RpcError that the node answered.

    ChainUnavailable where an answer is missing; those calls before may have been carried out.
    """
    provider = web3.provider
    found: list[Any] = []
    for part in _parts(params):
        answers = _batch(provider, method, part) if isinstance(provider, Asking) and len(part) > 1 else None
        # None too where the node takes no batches, or not this one.
        found += [_one(web3, method, each) for each in part] if answers is None else answers
    return found


def _parts(params: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    first = characters = 0
    for index, each in enumerate(params):
        size = len(str(each))
        if index > first and (index - first == MAX_CALLS or characters + size > MAX_CHARACTERS):
            yield params[first:index]
            first, characters = index, 0
        characters += size
    if first < len(params):
        yield params[first:]


def _one(web3: Web3, method: str, params: Sequence[Any]) -> Any:
    try:
        return rpc(web3, method, params)
    except RpcError as error:
        return error


def _batch(provider: Asking, method: str, params: Sequence[Sequence[Any]]) -> list[Any] | None:
    """None: one answer for all of them, which is an error."""
    try:
        answers: object = provider.ask(
            method, encode_batch([(method, each) for each in params]), orjson.loads
        )
    except MALFORMED as error:
        raise ChainUnavailable(f"{method}, batch: {type(error).__name__}") from error
    if not isinstance(answers, list):
        return None
    # They come in any order, and are told apart by their ids alone, which ascend with the calls.
    by_id = {_id_of(each): each for each in cast(list[object], answers)}
    if None in by_id or not len(by_id) == len(cast(list[object], answers)) == len(params):
        raise ChainUnavailable(f"{method}: expected {len(params)} answers, each with the id of its call")
    return [_result(method, answer) for _, answer in sorted(by_id.items())]


def _id_of(answer: object) -> int | None:
    found = cast(dict[str, object], answer).get("id") if isinstance(answer, dict) else None
    return found if isinstance(found, int) else None


def _result(method: str, answer: Any) -> Any:
    try:
        return answer_of(method, answer)
    except RpcError as error:
        return error
