"""The ledger's writer with its reconciler, and what is open, for tests that compare it with its producers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from common.kernel.clock import utcnow
from common.kernel.ids import earliest
from common.messaging.envelope import decode_event, encode
from common.postgres.pool import Pool
from ledger_svc.completeness.producer_client import Producers
from ledger_svc.completeness.reconciler import Reconciler
from ledger_svc.log.writer import LedgerWriter
from tests.integration.ledger_svc.test_writer import KEY
from tests.support.builders.events import Life
from tests.support.servers.broker_client import running
from tests.support.servers.servers import Servers


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the writer and the reconciler, so that no test waits for them."""
    monkeypatch.setattr("common.postgres.leader_election.STANDBY_POLL_S", 0.1)
    monkeypatch.setattr("ledger_svc.log.writer.PAUSE_S", 0.05)
    monkeypatch.setattr("ledger_svc.log.stream_subscription.FIRST_WITHIN_S", 0.5)
    monkeypatch.setattr("ledger_svc.completeness.healer.FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr("ledger_svc.completeness.reconciler.POLL_S", 0.2)
    monkeypatch.setattr("ledger_svc.completeness.reconciler.QUIET_S", 0.2)
    monkeypatch.setattr("ledger_svc.completeness.producer_client.ANSWER_WITHIN_S", 1.0)


@asynccontextmanager
async def writing(servers: Servers, pool: Pool, every_s: float = 600.0) -> AsyncIterator[None]:
    """The ledger's writer with its reconciler."""
    producers = Producers(servers.amqp_url, "test-reconciler")
    writer = LedgerWriter(servers.amqp_url, pool, KEY, Reconciler(pool, producers, every_s))
    async with running(producers.run(), writer.run()):
        yield


def a_life(payments: int = 3) -> Life:
    life = Life()
    life.create()
    for number in range(1, payments + 1):
        life.succeed(life.start(number))
    return life


async def open_ones(db: asyncpg.Connection) -> list[Any]:
    return await db.fetch(
        "SELECT * FROM ledger.anomalies a WHERE NOT EXISTS"
        " (SELECT FROM ledger.anomaly_notes n WHERE n.anomaly_id = a.anomaly_id AND n.healed)"
    )


async def kinds(db: asyncpg.Connection) -> list[str]:
    return [row["kind"] for row in await db.fetch("SELECT kind FROM ledger.anomalies ORDER BY anomaly_id")]


async def notes(db: asyncpg.Connection) -> list[tuple[bool, str]]:
    rows = await db.fetch("SELECT healed, note FROM ledger.anomaly_notes ORDER BY noted_at")
    return [(row["healed"], row["note"]) for row in rows]


def told_before(raw: bytes, age: timedelta) -> bytes:
    """The event as if its id had been made then."""
    event = decode_event(raw)
    made = earliest(utcnow() - age)[:14] + event.id[14:]
    return encode(msgspec.structs.replace(event, id=made))
