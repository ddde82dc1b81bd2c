"""Composition root: the only place of this service where connections are made and parts put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
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
from common.web.protocol import serve
from common.web.routes import Route
from common.web.server import build_app, checks
from payment_svc.adapters.gateways.factory import gateway_of
from payment_svc.application.command_handlers import PaymentUnit
from payment_svc.application.workers.automatic_refund_worker import MAX_AT_ONCE as RETURNS_IN_FLIGHT
from payment_svc.application.workers.automatic_refund_worker import Returns
from payment_svc.application.workers.charge_executor import RUN_CHARGES, Settler
from payment_svc.application.workers.collection_scheduler import Days, Scheduler
from payment_svc.application.workers.collection_worker import Collector
from payment_svc.application.workers.retention import prune_quotes
from payment_svc.entrypoints.http.attempt_routes import PaymentApi
from payment_svc.entrypoints.http.collection_run_routes import RunApi
from payment_svc.entrypoints.http.webhook_routes import WebhookApi

SCHEMA = "payment"
PORT = 8001
TITLE = "Payment service"
API_POOL = 8
WORKER_POOL = 8
CHARGES_IN_FLIGHT = 400  # per worker


def routes(pool: Pool, front: CommandEndpoint, webhook_secret: str = "") -> list[Route]:
    """All routes of the front."""
    return [
        *PaymentApi(pool, front).routes(),
        *RunApi(pool, front).routes(),
        *WebhookApi(pool, front, webhook_secret).routes(),
    ]


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[None]:
    """The HTTP front."""
    async with open_pool(settings.database_url, SCHEMA, name="payment-api", size=API_POOL) as pool:
        publisher = Publisher(settings.amqp_url, "payment-api")
        replies = ReplyInbox(settings.amqp_url, "payment-api", outcomes_of(pool))
        front = CommandEndpoint(topology.PAYMENT_COMMANDS, publisher, replies, pool)
        app = build_app(TITLE, routes(pool, front, settings.webhook_secret), checks(pool, publisher))
        async with background(publisher.run(), replies.run()), serve(app, settings, PORT):
            yield


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[None]:
    """Carries out commands and collections through the gateway, projects lease events, relays the outbox."""
    async with (
        open_pool(settings.database_url, SCHEMA, name="payment-worker", size=WORKER_POOL) as pool,
        gateway_of(settings, CHARGES_IN_FLIGHT + RUN_CHARGES + RETURNS_IN_FLIGHT) as gateway,
    ):
        publisher = Publisher(settings.amqp_url, "payment-relay", timeout_s=10)
        replies = ReplySender(settings.amqp_url, "payment-worker")
        relay = Relay("payment", pool, publisher, prune_quotes)
        settler = Settler(pool, gateway, replies, relay.wake, settings.resolve_after(), gateway.half_open)
        unit = WithReconciliation(PaymentUnit(sandbox=settings.gateway == "sandbox"))
        returning = Returns(pool, settler.give_back)
        claim = timedelta(seconds=3 * settings.gateway_timeout_s)
        collector = Collector(pool, settler, replies, relay.wake, claim)
        scheduler = Scheduler(publisher, Days(pool), settings.collections_time())
        resume = collector.resume(settler.resume)
        commands = CommandProcessor(pool, unit, replies, relay.wake, resume)
        consumers = [
            BatchConsumer(
                settings.amqp_url,
                topology.PAYMENT_COMMANDS,
                commands,
                prefetch_count=CHARGES_IN_FLIGHT,
                drained=settler.drained,
                set_aside=commands.set_aside,
            ),
            BatchConsumer(
                settings.amqp_url,
                topology.PAYMENT_LEASE_EVENTS,
                EventProcessor(pool, unit, relay.wake),
                pace_s=EVENT_PACE_S,
            ),
        ]
        async with (
            background(
                *(publisher.run(), replies.run(), relay.run()),
                *(settler.run(), returning.run(), scheduler.run()),
            ),
            drained([*consumers, collector]),
        ):
            yield


async def migrations(settings: Settings) -> None:
    """Bring the schema up to date, as the database's owner."""
    from common.postgres.migrations import (  # only here: its tools cost every other role 10 MB
        MESSAGING,
        migrate,
    )

    folder = Path(__file__).with_name("adapters") / "postgres/migrations"
    await asyncio.to_thread(migrate, settings.database_url, SCHEMA, MESSAGING, folder)
