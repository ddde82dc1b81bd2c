"""Composition root: the only place of this service where connections are made and parts put together."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.messaging.connection import BrokerLink
from common.postgres.pool import Pool, open_pool
from common.runtime.process import background
from common.runtime.settings import Settings
from common.web.protocol import serve
from common.web.routes import Route
from common.web.server import build_app, checks
from ledger_svc.completeness.producer_client import Producers
from ledger_svc.completeness.reconciler import Reconciler
from ledger_svc.entrypoints.http.anomaly_routes import AnomaliesApi
from ledger_svc.entrypoints.http.export_routes import Downloads
from ledger_svc.entrypoints.http.lease_routes import LedgerApi
from ledger_svc.entrypoints.http.proof_routes import ProofApi
from ledger_svc.log import balance_metrics
from ledger_svc.log.writer import LedgerWriter
from ledger_svc.transparency import signed_note
from ledger_svc.transparency.signed_note import NoteError, SigningKey

SCHEMA = "ledger"
PORT = 8002
TITLE = "Ledger service"
API_POOL = 8
WRITER_POOL = 2


def routes(pool: Pool, key: SigningKey) -> list[Route]:
    """All routes of the front."""
    return [
        *LedgerApi(pool).routes(),
        *Downloads(pool, key).routes(),
        *ProofApi(pool, key).routes(),
        *AnomaliesApi(pool).routes(),
    ]


def signing_key(settings: Settings) -> SigningKey:
    """The ledger's private key. Ends the process, saying how to make one, where it is missing or wrong."""
    try:
        return signed_note.signing_key(settings.ledger_key)
    except NoteError as error:
        reason = str(error) if settings.ledger_key else "is not set"
        sys.exit(f"environment variable LEDGER_KEY: {reason}; `python -m ledger_svc keygen` makes a new one")


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[None]:
    """The HTTP front."""
    key = signing_key(settings)
    async with open_pool(settings.database_url, SCHEMA, name="ledger-api", size=API_POOL) as pool:
        broker = BrokerLink(settings.amqp_url, "ledger-api")
        notices = {"ledger": AnomaliesApi(pool).notice}
        app = build_app(TITLE, routes(pool, key), checks(pool, broker), notices)
        async with background(broker.run(), balance_metrics.watch(pool)), serve(app, settings, PORT):
            yield


@asynccontextmanager
async def writer(settings: Settings) -> AsyncIterator[None]:
    """Appends what the stream brings, and has it healed where something is missing."""
    key = signing_key(settings)
    async with open_pool(settings.database_url, SCHEMA, name="ledger-writer", size=WRITER_POOL) as pool:
        producers = Producers(settings.amqp_url, "ledger-reconciler")
        reconciler = Reconciler(pool, producers, settings.reconcile_every_s)
        writer = LedgerWriter(settings.amqp_url, pool, key, reconciler)
        async with background(producers.run(), writer.run()):
            yield


async def migrations(settings: Settings) -> None:
    """Bring the schema up to date, as the database's owner."""
    from common.postgres.migrations import migrate  # only here: its tools cost every other role 10 MB

    folder = Path(__file__).with_name("log") / "migrations"
    await asyncio.to_thread(migrate, settings.database_url, SCHEMA, folder)
