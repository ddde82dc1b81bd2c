"""Workers that can die between any two steps: what they do passes points, and at one of them it all stops.

From that moment nothing of the process happens any more: no query, no call, no ack. A transaction that was
open ends as the server would end it, with the connection. No product code is changed for this.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from common.messaging.envelope import Outcome
from common.postgres.pool import Pool
from payment_svc.application.gateway import ChargeRequest, ChargeResult, Found, RefundRequest
from tests.support.fakes.scripted_gateway import Gateway


class Life:
    """Of one process."""

    def __init__(self) -> None:
        self.fuse: int | None = None  # points that it still passes; None: any number
        self.busy = 0  # things it has going on in the database
        self.tasks: set[asyncio.Task[Any]] = set()
        self.death: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def dead(self) -> bool:
        """Whether it has stopped."""
        return self.death.done()

    async def at(self, point: str) -> None:
        """Pass a point, or stop there."""
        if not self.dead and self.fuse is not None:
            if self.fuse == 0:
                self.death.set_result(point)
            self.fuse -= 1
        if self.dead:
            await asyncio.Event().wait()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that ends with it."""
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @contextmanager
    def working(self) -> Iterator[None]:
        """Something that ends by itself, soon."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1


class MortalPool:
    """A pool as a process that may die uses it."""

    def __init__(self, pool: Pool, life: Life) -> None:
        self._pool = pool
        self._life = life

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """As asyncpg's."""
        with self._life.working():
            await self._life.at("begin")
            async with self._pool.acquire() as connection:
                yield _Connection(connection, self._life)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._pool, name)

        async def query(*arguments: Any) -> Any:
            with self._life.working():
                await self._life.at("query")
                found = _in_order(await method(*arguments))
                await self._life.at("queried")
                return found

        return query


def _in_order(found: Any) -> Any:
    """Attempts in the order in which they were begun; the server gives them in any, and each time another."""
    if isinstance(found, list) and found and next(iter(found[0].keys())) == "attempt_id":
        return sorted(found, key=lambda row: row["attempt_id"])
    return found


class _Connection:
    def __init__(self, connection: Any, life: Life) -> None:
        self._connection = connection
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, *arguments: Any) -> Any:
        """As asyncpg's."""
        return _in_order(await self._connection.fetch(*arguments))

    @asynccontextmanager
    async def transaction(self, **how: Any) -> AsyncIterator[None]:
        async with self._connection.transaction(**how):
            yield
            await self._life.at("commit")
        await self._life.at("committed")


class Line:
    """The gateway as a process that may die reaches it."""

    def __init__(self, gateway: Gateway, life: Life) -> None:
        self._gateway = gateway
        self._life = life

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """The port's."""
        await self._life.at("call")
        result = await self._gateway.charge(request)
        await self._life.at("called")
        return result

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """The port's."""
        await self._life.at("call")
        result = await self._gateway.refund(request)
        await self._life.at("called")
        return result

    async def find(self, idempotency_key: str) -> Found:
        """The port's."""
        await self._life.at("find")
        return await self._gateway.find(idempotency_key)

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """The port's."""
        await self._life.at("find")
        return await self._gateway.find_refund(idempotency_key, reference)


class Replies:
    """What fronts were told, by command."""

    def __init__(self, told: dict[str, list[Outcome]], life: Life) -> None:
        self._told = told
        self._life = life

    async def send(self, outcomes: Iterable[tuple[str | None, Outcome]]) -> None:
        """As ReplySender's."""
        await self._life.at("reply")
        for _, outcome in outcomes:
            self._told.setdefault(outcome.command_id, []).append(outcome)
