"""`python -m ledger_svc reconcile`: compare the ledger with the outboxes of all that tell events, now."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from common import telemetry
from common.clock import day_or_instant, rfc3339, utcnow
from common.config import Settings
from common.db import Pool, open_pool
from common.ids import earliest
from common.process import background
from common.reconciliation import REACH
from ledger_svc import comparing
from ledger_svc.anomalies import Alarms, queries
from ledger_svc.app import SCHEMA
from ledger_svc.checking import SOURCES
from ledger_svc.healing import AWAY
from ledger_svc.producers import Producers

REST_S = 10.0  # what was told just now is on its way
POLL_S = 0.5


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 nothing is missing (any more), 1 something differs, 2 nobody can say."""
    parser = argparse.ArgumentParser(
        prog="python -m ledger_svc reconcile",
        description="Compare the ledger's entries with the outboxes of the services, by number and digest of"
        " the events made in a time. What differs is published again, and raised as an anomaly that the"
        " running ledger writer heals. DATABASE_URL (of ledger_writer, or the owner) and AMQP_URL say where.",
    )
    since = "a day or an RFC 3339 instant (default: what is kept)"
    parser.add_argument("--since", type=day_or_instant, help=since)
    parser.add_argument("--until", type=day_or_instant, help="likewise (default: now)")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for healing (default: 60)")
    chosen = parser.parse_args(arguments)
    telemetry.configure_logging("error")
    try:
        return asyncio.run(_reconcile(Settings.from_environment(), chosen))
    except (*AWAY, ValueError) as error:
        print(f"reconcile: {error!r}", file=sys.stderr)
        return 2


async def _reconcile(settings: Settings, chosen: argparse.Namespace) -> int:
    oldest = utcnow() - REACH
    since = max(chosen.since or oldest, oldest)
    if chosen.since and since > chosen.since:
        print(f"the outboxes keep nothing from before {rfc3339(oldest)}: what is older is not compared")
    until = min(chosen.until or utcnow(), utcnow() - timedelta(seconds=REST_S))
    async with _parts(settings) as (pool, producers):
        differ = [
            await _compare(pool, producers, source, earliest(since), earliest(until)) for source in SOURCES
        ]
        return 0 if not any(differ) or await _healed(pool, chosen.wait) else 1


@asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[tuple[Pool, Producers]]:
    producers = Producers(settings.amqp_url, "reconcile")
    async with (
        open_pool(settings.database_url, SCHEMA, name="reconcile", size=2) as pool,
        background(producers.run()),
    ):
        yield pool, producers


async def _compare(pool: Pool, producers: Producers, source: str, since: str, until: str) -> int:
    """How many windows differ, each of them raised as an anomaly."""
    events = differ = 0
    alarms = Alarms()
    async for here, there in comparing.windows(pool, producers, source, since, until):
        events += there.count
        if not comparing.same(here, there):
            differ += 1
            found = comparing.difference(source, here, there)
            print(found.detail)
            await alarms.raise_all(pool, [found])
    print(f"{source}: {events} events compared, {differ} windows differ")
    return differ


async def _healed(pool: Pool, within_s: float) -> bool:
    """Whether what is open is healed in time, by the writer that runs."""
    print("waiting for the ledger's writer to take in what was published again")
    try:
        async with asyncio.timeout(within_s):
            while left := await pool.fetchval(queries.count_differences):  # noqa: ASYNC110 another process
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        print(f"{left} differences are still open: see GET /api/v1/audit/anomalies?status=open")
        return False
    print("healed")
    return True
