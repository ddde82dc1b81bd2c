"""`python -m ledger_svc reconcile`: compare the ledger with the outboxes of all producers, now."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from common.kernel.clock import day_or_instant, utcnow
from common.kernel.ids import earliest
from common.messaging.outbox_reconciliation import KEPT, REACH
from common.observability.logging import configure_logging
from common.postgres.pool import Pool, open_pool
from common.runtime.process import background
from common.runtime.settings import Settings
from ledger_svc.bootstrap import SCHEMA
from ledger_svc.completeness import differences, outbox_comparison
from ledger_svc.completeness.differences import Difference, time_of
from ledger_svc.completeness.healer import AWAY
from ledger_svc.completeness.producer_client import Producers
from ledger_svc.completeness.reconcile_report import Report
from ledger_svc.log.anomalies import Alarms, queries
from ledger_svc.log.event_checks import SOURCES
from ledger_svc.log.repository import END

REST_S = 10.0  # what was published just now is on its way
POLL_S = 0.5
ANOMALIES_AT_ONCE = 500


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 nothing differs (any more), 1 something differs, 2 nobody can say."""
    parser = argparse.ArgumentParser(
        prog="python -m ledger_svc reconcile",
        description="Compare the ledger with the outboxes of the services, both ways: every entry, whatever"
        " its id says, and all that the outboxes hold. Each event that differs is named and raised as"
        " an anomaly; what the ledger lacks is published again, and the running ledger writer takes it in."
        " DATABASE_URL (of ledger_writer, or the owner) and AMQP_URL say where.",
    )
    since = "a day or an RFC 3339 instant (default: what is kept)"
    parser.add_argument("--since", type=day_or_instant, help=since)
    parser.add_argument("--until", type=day_or_instant, help="likewise (default: now)")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for healing (default: 60)")
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object a line: each difference, then the summary"
    )
    chosen = parser.parse_args(arguments)
    configure_logging("error")
    try:
        return asyncio.run(_reconcile(Settings.from_environment(), chosen))
    except (*AWAY, ValueError) as error:
        print(f"reconcile: {error!r}", file=sys.stderr)
        return 2


async def _reconcile(settings: Settings, chosen: argparse.Namespace) -> int:
    report = Report(as_json=chosen.json)
    async with _parts(settings) as (pool, producers):
        run = _Run(pool, producers, report)
        await run.compare(chosen.since, chosen.until)
        if report.differences:
            report.say("waiting until the ledger's writer has taken in what was published again")
            await _answered(pool, chosen.wait)
        await run.tell_the_rest()
    report.end()
    return 1 if report.still_open else 0


@asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[tuple[Pool, Producers]]:
    producers = Producers(settings.amqp_url, "reconcile")
    async with (
        open_pool(settings.database_url, SCHEMA, name="reconcile", size=2) as pool,
        background(producers.run()),
    ):
        yield pool, producers


class _Run:
    """One comparison of everything that can be compared."""

    def __init__(self, pool: Pool, producers: Producers, report: Report) -> None:
        self._pool = pool
        self._producers = producers
        self._report = report
        self._alarms = Alarms()
        self._after = self._upto = 0  # the entries that were compared: after … up to

    async def compare(self, since: datetime | None, until: datetime | None) -> None:
        """Both ways: what was recorded, and what was made, from `since` up to `until`."""
        now = utcnow()
        oldest = now - REACH
        start = max(since or oldest, oldest)
        await self._alarms.refresh(self._pool)
        await self._entries(start, until, asked=start != oldest, kept_since=now - KEPT)
        rested = min(until or now, now - timedelta(seconds=REST_S))
        for source in SOURCES:
            await self._windows(source, earliest(start), earliest(rested))

    async def _entries(
        self, start: datetime, until: datetime | None, *, asked: bool, kept_since: datetime
    ) -> None:
        after = await outbox_comparison.recorded_before(self._pool, start)
        upto = END if until is None else await outbox_comparison.recorded_before(self._pool, until)
        looked_at = await self._pool.fetchval(queries.compared_upto) or 0  # by the writer, when they came
        self._report.not_compared(after, start, asked=asked)
        self._after = after
        async for page in outbox_comparison.entries(self._pool, self._producers, after, upto):
            self._report.entries.update(page.compared)
            found, self._upto = page.differences, page.upto
            if not self._alarms.full:  # else the writer may have found one without writing it down
                found = await self._without_forgotten(found, looked_at, kept_since)
            self._tell(found)
            await self._alarms.raise_all(self._pool, map(differences.anomaly, found))

    async def _without_forgotten(
        self, found: list[Difference], looked_at: int, kept_since: datetime
    ) -> list[Difference]:
        old = {differences.place_of(each) for each in found if _forgotten(each, looked_at, kept_since)}
        if not old:
            return found
        rows = await self._pool.fetch(queries.found_before, list(old))
        right = old - {row["place"] for row in rows}
        self._report.forgotten += len(right)
        return [each for each in found if differences.place_of(each) not in right]

    async def _windows(self, source: str, since: str, until: str) -> None:
        async for compared in outbox_comparison.windows(self._pool, self._producers, source, since, until):
            self._report.published[source] += compared.published
            self._tell([each for each in compared.differences if not self._told(each)])
            found = differences.anomalies(source, compared.window, compared.differences)
            await self._alarms.raise_all(self._pool, found)

    def _tell(self, found: Sequence[Difference]) -> None:
        for each in found:
            self._report.difference(each)

    def _told(self, each: Difference) -> bool:
        """Whether it was found among the entries already."""
        return each.seq is not None and self._after < each.seq <= self._upto

    async def tell_the_rest(self) -> None:
        """What is open now: differences by number, and what else was noticed by name."""
        self._report.still_open = await self._pool.fetchval(queries.count_differences)
        after = 0
        while rows := await self._pool.fetch(queries.open_anomalies, after, ANOMALIES_AT_ONCE):
            for row in rows:
                self._report.anomaly(dict(row))
            after = rows[-1]["anomaly_id"]


def _forgotten(each: Difference, looked_at: int, kept_since: datetime) -> bool:
    """Whether the outbox may have forgotten what the writer had compared when it came.

    Recorded late, an entry lies within the reach while its event is older than what is kept.
    """
    return (
        each.differs == "unknown"
        and each.seq is not None
        and each.seq <= looked_at
        and time_of(each.event_id) < kept_since
    )


async def _answered(pool: Pool, within_s: float) -> None:
    """Until it is known of each difference whether it heals, by the writer that runs."""
    try:
        async with asyncio.timeout(within_s):
            while await pool.fetchval(queries.count_unanswered):  # noqa: ASYNC110 another process
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return
