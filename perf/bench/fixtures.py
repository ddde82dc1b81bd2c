"""What the operations are done on: connections to private servers, and an event loop driven by hand."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, TypeVar

import asyncpg
import uvloop

from common.messaging.envelope import Event
from common.messaging.publisher import Publisher
from common.postgres.pool import open_pool
from common.runtime.process import background
from deployment.local.stack import Stack
from perf.load import ledger_events

T = TypeVar("T")

_BARE = """
    CREATE SCHEMA bench;
    CREATE TABLE bench.rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL);
    INSERT INTO bench.rows (body) VALUES ('\\x00');
"""
_BODY = bytes(2000)
APPENDED_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.001


class Workbench:
    """Connections to a running stack; to be used with `with`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._loop = uvloop.new_event_loop()
        self._open = AsyncExitStack()

    def __enter__(self) -> "Workbench":
        self.run(self._connect())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._open.aclose())
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run this to its end; nothing else of the loop runs in between."""
        return self._loop.run_until_complete(coroutine)

    async def _connect(self) -> None:
        addresses = self._stack.addresses
        self.leases = await self._open.enter_async_context(
            open_pool(addresses.dsn("lease_svc"), "lease", name="bench", size=1)
        )
        self.ledger = await self._open.enter_async_context(
            open_pool(addresses.dsn("ledger_reader"), "ledger", name="bench", size=1)
        )
        self._owner = await asyncpg.connect(addresses.database)
        self._open.push_async_callback(self._owner.close)
        await self._owner.execute(_BARE)
        self._publisher = Publisher(addresses.amqp, "bench")
        await self._open.enter_async_context(background(self._publisher.run()))

    async def append(self, *told: Event) -> None:
        """Publish events one after the other; return when the last can be read in the ledger."""
        for event in told:
            await ledger_events.publish(self._publisher, event)
        there = "SELECT EXISTS (SELECT FROM ledger.entries WHERE event_id = $1)"
        async with asyncio.timeout(APPENDED_WITHIN_S):
            while not await self._owner.fetchval(there, told[-1].id):  # noqa: ASYNC110 in the database
                await asyncio.sleep(_LOOK_EVERY_S)

    def rest(self, seconds: float) -> None:
        """Let time pass."""
        self.run(asyncio.sleep(seconds))

    # --- the bare references ---

    def commit(self) -> None:
        """One row of 2 KB, in a transaction of its own."""
        self.run(self._owner.execute("INSERT INTO bench.rows (body) VALUES ($1)", _BODY))

    def read(self) -> None:
        """One row by its key."""
        self.run(self._owner.fetchval("SELECT body FROM bench.rows WHERE id = 1"))
