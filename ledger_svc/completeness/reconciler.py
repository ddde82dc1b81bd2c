"""Sees to it that the ledger is complete and true: heals anomalies, and compares what nothing was noticed of.

It compares both ways. Every entry is looked for in its producer's outbox, by the ledger's own numbers: none
is left out, whatever its id says. And what an outbox holds is looked for in the ledger, by time. Its work
is what the tables say: anomalies that are open, up to which entry and up to when all was compared. So it can
end anywhere, and whoever leads next goes on.
"""

import asyncio
from datetime import timedelta

import structlog
from prometheus_client import Gauge

from common.kernel.clock import utcnow
from common.kernel.ids import earliest
from common.messaging.outbox_reconciliation import REACH
from common.postgres.pool import Pool
from ledger_svc.completeness import differences, outbox_comparison
from ledger_svc.completeness.healer import AWAY, AnomalyHealer
from ledger_svc.completeness.producer_client import Producers
from ledger_svc.log.anomalies import Alarms, queries
from ledger_svc.log.event_checks import SOURCES
from ledger_svc.log.repository import END

log = structlog.get_logger()

COLLECT_S = 0.1  # a gap seldom comes alone
POLL_S = 5.0  # the backstop, for anomalies that others have raised
QUIET_S = 2.0  # with nothing to read for so long, the writer is not behind
REST_MAX_S = 60.0  # events made longer ago are recorded, if nothing is wrong
FIRST_LOOK_BACK = timedelta(days=1)  # for what was lost, where nothing was ever compared
PAGES_AT_ONCE = 20  # of entries: then it is noted how far, and what else waits has its turn

RECONCILED_UNTIL = Gauge(
    "ledger_reconciled_until_seconds", "Up to when all was compared, in Unix time", ["source"]
)
COMPARED_SEQ = Gauge("ledger_compared_seq", "Number of the last entry that was compared with its outbox")


class Reconciler:
    """To be run beside the writer, while it leads."""

    def __init__(self, pool: Pool, producers: Producers, every_s: float) -> None:
        """`every_s`: how often that is compared which has come to rest meanwhile."""
        self.alarms = Alarms()
        self._pool = pool
        self._producers = producers
        self._healing = AnomalyHealer(pool, producers)
        self._every_s = every_s
        self._rest_s = min(REST_MAX_S, every_s)
        self._wake = asyncio.Event()
        self._read_at = 0.0  # when the writer has read something last, in loop time …
        self._lag_s = float("inf")  # … and how long before that the newest of it was made

    def wake(self) -> None:
        """There is something new to be healed."""
        self._wake.set()

    def read(self, newest: str) -> None:
        """The writer has read events; `newest` is the id of the newest one."""
        self._read_at = _now()
        self._lag_s = (utcnow() - differences.time_of(newest)).total_seconds()

    async def run(self) -> None:
        """Until cancelled."""
        self._read_at, self._lag_s = _now(), float("inf")
        look_back_at = entries_at = _now() + self._rest_s
        while True:
            self._wake.clear()
            try:
                await self.alarms.refresh(self._pool)
                await self._healing.heal(by_time=not self._writer_is_behind)
                if _now() >= entries_at:
                    entries_at = _now() + self._every_s  # also after no answer: questions pile up
                    if await self._compare_entries():
                        entries_at = _now()
                if _now() >= look_back_at and not self._writer_is_behind:
                    look_back_at = _now() + self._every_s
                    for source in SOURCES:
                        await self._look_back(source)
            except AWAY as error:
                log.warning("reconciler.waits", error=repr(error))
            except Exception:
                log.exception("reconciler.failed")
                await asyncio.sleep(POLL_S)
            await self._pause(min(look_back_at, entries_at, self._healing.next_at))

    @property
    def _writer_is_behind(self) -> bool:
        """What is not recorded may be in the stream: sent again, it would hold the writer up still more."""
        return self._lag_s > self._rest_s and _now() - self._read_at < QUIET_S

    async def _pause(self, until: float) -> None:
        shortest_s = QUIET_S if self._writer_is_behind else COLLECT_S
        try:
            async with asyncio.timeout(min(POLL_S, max(shortest_s, until - _now()))):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(COLLECT_S)

    async def _compare_entries(self) -> bool:
        """Compare what was recorded since the last time; its outbox had it before, so none is too fresh.

        Returns whether there may be more of it.
        """
        done = await self._pool.fetchval(queries.compared_upto)
        after = await outbox_comparison.first_to_compare(self._pool, done or 0)
        pages = 0
        async for page in outbox_comparison.entries(self._pool, self._producers, after, END):
            await self.alarms.raise_all(self._pool, map(differences.anomaly, page.differences))
            if page.differences:
                self.wake()
            after, pages = page.upto, pages + 1
            if pages == PAGES_AT_ONCE:
                break
        if after != done:
            await self._pool.execute(queries.compared, after)
        COMPARED_SEQ.set(after)
        return pages == PAGES_AT_ONCE

    async def _look_back(self, source: str) -> None:
        """Compare what has come to rest since the last time: a lost tail shows in no later event."""
        now = utcnow()
        done = await self._pool.fetchval(queries.reconciled_until, source)
        since = max(done or now - FIRST_LOOK_BACK, now - REACH)
        until = now - timedelta(seconds=self._rest_s)
        async for compared in outbox_comparison.windows(
            self._pool, self._producers, source, earliest(since), earliest(until)
        ):
            if found := differences.anomalies(source, compared.window, compared.differences):
                await self.alarms.raise_all(self._pool, found)
                self.wake()
            if compared.pending:  # its relay is behind: another time
                until = differences.time_of(compared.window.since)
                break
        await self._pool.execute(queries.reconciled, source, until)
        RECONCILED_UNTIL.labels(source).set(until.timestamp())


def _now() -> float:
    return asyncio.get_running_loop().time()
