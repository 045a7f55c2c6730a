"""Short reads of many requests in one transaction and one change of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from oracle.store.engine import Store, Transaction

T = TypeVar("T")
Ask = Callable[[Transaction], Any]

MAX_BATCH = 64


class Batches:
    """Whoever comes while a batch is read is in the next one: nobody waits for others to come.

    For the event loop alone. A read sees all that was committed before it was asked for.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Ask, asyncio.Future[Any]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(self, ask: Callable[[Transaction], T]) -> T:
        """What `ask` returns or raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, answer))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await answer

    async def _read_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                results = await run_in_threadpool(self._read, [ask for ask, _ in batch])
            except Exception as error:  # of the store: each of them learns of it
                results = [error] * len(batch)
            for (_, answer), result in zip(batch, results, strict=True):
                _settle(answer, result)

    def _read(self, asks: Sequence[Ask]) -> list[Any]:
        with self._store.read() as transaction:
            return [_result(ask, transaction) for ask in asks]


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    if answer.cancelled():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _result(ask: Ask, transaction: Transaction) -> Any:
    try:
        return ask(transaction)
    except Exception as error:
        return error
