"""Producers of events for tests of the ledger: real outboxes, relays and command queues, without a domain."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from common.messaging import outbox, topology
from common.messaging.command_processor import CommandProcessor
from common.messaging.consumer import BatchConsumer
from common.messaging.envelope import Command, Event, Outcome, decode_event, encode
from common.messaging.outbox_reconciliation import WithReconciliation
from common.messaging.outbox_relay import Relay
from common.messaging.publisher import Publisher
from common.messaging.reply_queue import ReplySender
from common.postgres.pool import Pool
from tests.support.servers.broker_client import channel, running
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

SERVICES = {"lease": topology.LEASE_COMMANDS, "payment": topology.PAYMENT_COMMANDS}


class Nothing:
    """A unit of work that knows no commands of its own."""

    async def carry_out(
        self, _connection: Any, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        raise AssertionError(commands)

    async def project(self, _connection: Any, events: Sequence[Event]) -> list[Event]:
        raise AssertionError(events)


class Outboxes:
    """What both services have told, and whether it was published."""

    def __init__(self, pools: dict[str, Pool], connection: asyncpg.Connection) -> None:
        self.pools = pools
        self._connection = connection

    async def tell(self, raws: Iterable[bytes], *, lost: Iterable[bytes] = ()) -> None:
        """Commit events; those that are `lost` count as published, and no stream has them."""
        gone = set(lost)
        for raw in raws:
            event = decode_event(raw)
            assert encode(event) == raw
            schema = "lease" if event.source == "/lease-svc" else "payment"
            async with self.pools[schema].acquire() as connection, connection.transaction():
                await outbox.append(connection, [event])
                if raw in gone:
                    await connection.execute(
                        "DELETE FROM outbox_pending USING outbox"
                        " WHERE outbox.id = outbox_pending.id AND event_id = $1",
                        event.id,
                    )

    async def forget(self, raw: bytes) -> None:
        """As if the event had been told longer ago than the outbox keeps anything."""
        for schema in SERVICES:
            await self._connection.execute(
                f"UPDATE {schema}.outbox SET created_at = now() - interval '31 days' WHERE body = $1", raw
            )

    async def published(self) -> bool:
        """Whether the relays have nothing left to do."""
        pending = [f"EXISTS (SELECT FROM {schema}.outbox_pending)" for schema in SERVICES]
        return not await self._connection.fetchval(f"SELECT {' OR '.join(pending)}")


@asynccontextmanager
async def outboxes(servers: Servers) -> AsyncIterator[Outboxes]:
    """Empty outboxes of both services; nobody relays them and nobody answers."""
    async with (
        pools(servers, "lease") as [lease],
        pools(servers, "payment") as [payment],
        owner(servers) as connection,
        channel(servers.amqp_url) as its,
    ):
        for schema, queue in SERVICES.items():
            await empty(connection, schema)
            await (await its.get_queue(queue)).purge()  # what other tests have left there
        yield Outboxes({"lease": lease, "payment": payment}, connection)
        for schema in SERVICES:
            await empty(connection, schema)


@asynccontextmanager
async def workers(servers: Servers, of: Outboxes) -> AsyncIterator[None]:
    """The relays of both services, and workers that answer the ledger."""
    parts = []
    for schema, queue in SERVICES.items():
        publisher = Publisher(servers.amqp_url, f"test-{schema}", timeout_s=10)
        replies = ReplySender(servers.amqp_url, f"test-{schema}")
        relay = Relay(schema, of.pools[schema], publisher)
        processor = CommandProcessor(of.pools[schema], WithReconciliation(Nothing()), replies, relay.wake)
        consumer = BatchConsumer(servers.amqp_url, queue, processor, set_aside=processor.set_aside)
        parts += [publisher.run(), replies.run(), relay.run(), consumer.run()]
    async with running(*parts):
        yield
