"""A ledger that was written from a real stream, for tests that read it all again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging import topology
from common.messaging.envelope import EVENT_BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE
from common.runtime.settings import Settings
from ledger_svc.log.writer import LedgerWriter
from ledger_svc.transparency import signed_note
from tests.support.builders.events import Life
from tests.support.servers.broker_client import channel, declare_topology, running, until
from tests.support.servers.database import empty, owner, pools, tampering
from tests.support.servers.servers import Servers

KEY = signed_note.generate("example.org/ledger-of-the-tests")


class Recorded:
    """A stream, and the ledger that was written from it."""

    def __init__(self, servers: Servers, its: AbstractChannel, db: asyncpg.Connection) -> None:
        self.servers = servers
        self.its = its
        self.db = db  # the owner's
        self.sent: list[tuple[bytes, str]] = []  # the stream's messages, by offset

    @property
    def settings(self) -> Settings:
        """What the commands find in their environment."""
        return Settings(amqp_url=self.servers.amqp_url, database_url=self.servers.database_url)

    async def send(self, *raws: bytes) -> None:
        """Events into the stream, a message each, in order."""
        for raw in raws:
            await self._publish(raw, EVENT_CONTENT_TYPE)

    async def send_batch(self, *raws: bytes) -> None:
        """Events into the stream in one message."""
        await self._publish(b"[%s]" % b",".join(raws), EVENT_BATCH_CONTENT_TYPE)

    async def _publish(self, body: bytes, content_type: str) -> None:
        self.sent.append((body, content_type))
        message = aio_pika.Message(body, content_type=content_type, message_id=uuid7())
        await self.its.default_exchange.publish(message, routing_key=topology.LEDGER_STREAM)

    async def another_stream(self, messages: Sequence[tuple[bytes, str]]) -> None:
        """As after a loss of the broker's data: a stream of that name with these messages."""
        await self.its.queue_delete(topology.LEDGER_STREAM)
        await declare_topology(self.servers.amqp_url)
        self.sent.clear()
        for body, content_type in messages:
            await self._publish(body, content_type)

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """A writer is at work beside the block."""
        async with (
            pools(self.servers, "ledger", role="ledger_writer") as [pool],
            running(LedgerWriter(self.servers.amqp_url, pool, KEY).run()),
        ):
            yield

    async def has(self, count: int) -> None:
        """Wait until the ledger has so many entries."""

        async def reached() -> bool:
            return bool(await self.value("SELECT coalesce(max(seq), 0) >= $1 FROM ledger.entries", count))

        await until(reached)

    async def reads(self, generation: int, offset: int) -> None:
        """Wait until the cursor, kept where nothing was appended, is there."""
        kept = "SELECT EXISTS (SELECT FROM ledger.cursors WHERE (generation, stream_offset) = ($1, $2))"

        async def reached() -> bool:
            return bool(await self.value(kept, generation, offset))

        await until(reached)

    async def change(self, statement: str) -> None:
        """Change what nobody may change, as an owner can."""
        async with tampering(self.db):
            await self.db.execute(statement)

    async def value(self, query: str, *arguments: object) -> Any:
        """The first column of what a query gives."""
        return await self.db.fetchval(query, *arguments)


@asynccontextmanager
async def recorded(servers: Servers) -> AsyncIterator[Recorded]:
    """An empty stream and an empty ledger; both are left empty."""
    async with channel(servers.amqp_url) as its, owner(servers) as db:
        made = Recorded(servers, its, db)
        await made.another_stream([])
        await empty(db, "ledger")
        yield made
        await empty(db, "ledger")
        for row in await db.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ledger\\__%'"):
            await db.execute(f"DROP SCHEMA {row['nspname']} CASCADE")


def a_life(payments: int = 3) -> Life:
    """A lease that was paid so often."""
    life = Life()
    life.now = utcnow() - timedelta(minutes=10)
    life.create()
    for number in range(1, payments + 1):
        life.succeed(life.start(number))
    return life
