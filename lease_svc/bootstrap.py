"""Composition root: the only place of this service where connections are made and parts put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.messaging import topology
from common.messaging.command_inbox import outcomes_of
from common.messaging.command_processor import CommandProcessor
from common.messaging.consumer import BatchConsumer
from common.messaging.event_processor import EVENT_PACE_S, EventProcessor
from common.messaging.outbox_reconciliation import WithReconciliation
from common.messaging.outbox_relay import Relay
from common.messaging.publisher import Publisher
from common.messaging.reply_queue import ReplyInbox, ReplySender
from common.postgres.pool import Pool, open_pool
from common.runtime.process import background, drained
from common.runtime.settings import Settings
from common.web.command_endpoint import CommandEndpoint
from common.web.command_status import status_route
from common.web.protocol import serve
from common.web.routes import Route
from common.web.server import build_app, checks
from lease_svc.adapters.postgres.lease_reader import LeaseReader
from lease_svc.adapters.postgres.lease_repository import PostgresLeaseRepository
from lease_svc.application.command_handlers import LeaseUnit
from lease_svc.entrypoints.http.routes import TITLE, LeaseApi

SCHEMA = "lease"
PORT = 8000
COMMANDS_PER_MESSAGE = 20
# A lease of 520 instalments takes 100 KB and 2 ms to make from a command of 400 bytes.
COMMAND_BYTES_PER_BATCH = 64 * 1024
API_POOL = 8
WORKER_POOL = 4


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[None]:
    """The HTTP front."""
    async with open_pool(settings.database_url, SCHEMA, name="lease-api", size=API_POOL) as pool:
        publisher = Publisher(settings.amqp_url, "lease-api")
        replies = ReplyInbox(settings.amqp_url, "lease-api", outcomes_of(pool))
        front = CommandEndpoint(
            topology.LEASE_COMMANDS, publisher, replies, pool, per_message=COMMANDS_PER_MESSAGE
        )
        app = build_app(TITLE, routes(pool, front), checks(pool, publisher))
        async with background(publisher.run(), replies.run()), serve(app, settings, PORT):
            yield


def routes(pool: Pool, front: CommandEndpoint) -> list[Route]:
    """All routes of the front."""
    return LeaseApi(LeaseReader(pool), front, status_route(pool)).routes()


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[None]:
    """Carries out commands, projects payment events, relays the outbox."""
    async with open_pool(settings.database_url, SCHEMA, name="lease-worker", size=WORKER_POOL) as pool:
        publisher = Publisher(settings.amqp_url, "lease-relay", timeout_s=10)
        replies = ReplySender(settings.amqp_url, "lease-worker")
        relay = Relay("lease", pool, publisher)
        unit = WithReconciliation(LeaseUnit(PostgresLeaseRepository()))
        commands = CommandProcessor(pool, unit, replies, relay.wake)
        consumers = [
            BatchConsumer(
                settings.amqp_url,
                topology.LEASE_COMMANDS,
                commands,
                batch_bytes=COMMAND_BYTES_PER_BATCH,
                set_aside=commands.set_aside,
            ),
            BatchConsumer(
                settings.amqp_url,
                topology.LEASE_PAYMENT_EVENTS,
                EventProcessor(pool, unit, relay.wake),
                pace_s=EVENT_PACE_S,
            ),
        ]
        async with background(publisher.run(), replies.run(), relay.run()), drained(consumers):
            yield


async def migrations(settings: Settings) -> None:
    """Bring the schema up to date, as the database's owner."""
    from common.postgres.migrations import (  # only here: its tools cost every other role 10 MB
        MESSAGING,
        migrate,
    )

    folder = Path(__file__).with_name("adapters") / "postgres/migrations"
    await asyncio.to_thread(migrate, settings.database_url, SCHEMA, MESSAGING, folder)
