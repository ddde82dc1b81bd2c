"""Real servers for this folder's tests: a PostgreSQL and a RabbitMQ, started when the first test asks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from common.postgres.migrations import MESSAGING, migrate
from tests.support.servers.apis import Fronts, running_fronts
from tests.support.servers.broker_client import declare_topology
from tests.support.servers.servers import Servers, start_servers

PROJECT = Path(__file__).resolve().parents[2]
MIGRATIONS = {
    "lease": (MESSAGING, PROJECT / "lease_svc/adapters/postgres/migrations"),
    "payment": (MESSAGING, PROJECT / "payment_svc/adapters/postgres/migrations"),
    "ledger": (PROJECT / "ledger_svc/log/migrations",),
}


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """One JSON object a line, as in production: drawing a traceback for people takes a tenth of a second."""
    processors = (structlog.processors.add_log_level, structlog.processors.format_exc_info)
    structlog.configure(processors=[*processors, structlog.processors.JSONRenderer(default=str)])


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers of this session alone, with all migrations applied and all queues declared."""
    started = start_servers()
    try:
        for schema, folders in MIGRATIONS.items():
            migrate(started.database_url, schema, *folders)
        asyncio.run(declare_topology(started.amqp_url))
        yield started
    finally:
        started.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fronts(servers: Servers) -> AsyncIterator[Fronts]:
    """The HTTP fronts of all three services in this process, on sockets; no worker runs.

    They live as long as the session: tests that use them run on the session's event loop.
    """
    async with running_fronts(servers) as running:
        yield running
