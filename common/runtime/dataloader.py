"""Reads that come in at the same time share one query."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class DataLoader(Generic[K, V]):
    """Gathers single reads while a query is under way, and makes the next query for all of them.

    A read is answered by a query that began after it was asked, so nobody sees anything older than with a
    query of their own.
    """

    def __init__(
        self, fetch: Callable[[list[K]], Awaitable[dict[K, V]]], *, max_batch_size: int = 100
    ) -> None:
        self._fetch = fetch
        self._max_batch_size = max_batch_size
        self._asked: dict[K, asyncio.Future[V | None]] = {}
        self._fetching: asyncio.Task[None] | None = None

    async def load(self, key: K) -> V | None:
        """The value of `key`, None where there is none. Raises what the query raises."""
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_all())
        return await asyncio.shield(future)

    async def _fetch_all(self) -> None:
        while self._asked:
            keys = list(self._asked)[: self._max_batch_size]
            futures = {key: self._asked.pop(key) for key in keys}
            try:
                found = await self._fetch(keys)
            except Exception as error:
                for future in futures.values():
                    future.set_exception(error)
                    future.exception()  # seen, even where the one who asked has gone
            else:
                for key, future in futures.items():
                    future.set_result(found.get(key))
        self._fetching = None
