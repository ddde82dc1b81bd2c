"""Composition root: the only place of this service where connections are made and parts put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.bus.connection import BrokerLink
from common.config import Settings
from common.db import open_pool
from common.http.server import build_app, checks
from common.process import background, serve
from ledger_svc import balance_watch
from ledger_svc.api import LedgerApi
from ledger_svc.writer import LedgerWriter

SCHEMA = "ledger"
PORT = 8002
TITLE = "Ledger service"
API_POOL = 8
WRITER_POOL = 2


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[None]:
    """The HTTP front."""
    async with open_pool(settings.database_url, SCHEMA, name="ledger-api", size=API_POOL) as pool:
        broker = BrokerLink(settings.amqp_url, "ledger-api")
        app = build_app(TITLE, LedgerApi(pool).routes(), checks(pool, broker))
        async with background(broker.run(), balance_watch.watch(pool)), serve(app, settings, PORT):
            yield


@asynccontextmanager
async def writer(settings: Settings) -> AsyncIterator[None]:
    """Appends what the stream brings."""
    async with (
        open_pool(settings.database_url, SCHEMA, name="ledger-writer", size=WRITER_POOL) as pool,
        background(LedgerWriter(settings.amqp_url, pool).run()),
    ):
        yield


async def migrations(settings: Settings) -> None:
    """Bring the schema up to date, as the database's owner."""
    from common.migrations import migrate  # only here: its tools cost every other role 10 MB

    folder = Path(__file__).with_name("migrations")
    await asyncio.to_thread(migrate, settings.database_url, SCHEMA, folder)
