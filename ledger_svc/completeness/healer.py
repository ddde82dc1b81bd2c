"""Healing anomalies: producers are asked what they have published, and publish again what is not recorded.

What is asked for comes by the stream like everything else; nothing is written into the log from here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from common.errors import BrokerUnavailable
from common.kernel.clock import rfc3339, utcnow
from common.kernel.ids import earliest
from common.messaging.outbox_reconciliation import REACH, Answer, Range
from common.postgres.pool import TRANSIENT, Pool
from ledger_svc.completeness import outbox_comparison
from ledger_svc.completeness.differences import time_of
from ledger_svc.completeness.producer_client import NoAnswer, Producers
from ledger_svc.log.anomalies import Kind, annotate, queries
from ledger_svc.log.event_checks import SOURCES

log = structlog.get_logger()

AT_ONCE = 500  # open anomalies looked at in one round
FIRST_PAUSE_S = 1.0  # until a producer is asked again; doubled each time …
ASKS_MAX = 8  # … and no more than so often
AWAY_PAUSE_S = 5.0  # until one is asked again that has not answered
SAME = "ledger and outbox have the same events"
AWAY = (NoAnswer, BrokerUnavailable, *TRANSIENT)


class Conclusion(NamedTuple):
    """What is known for good about an anomaly."""

    healed: bool
    note: str


@dataclass(slots=True)
class _Asked:
    """How far producers were asked about an anomaly."""

    at: float = 0.0  # to be asked (again) then, in loop time
    times: int = 0
    first: int = 0  # of a gap: the numbers before have come


class AnomalyHealer:
    """Asks about all anomalies that are open and may heal; what these are, the tables say."""

    def __init__(self, pool: Pool, producers: Producers) -> None:
        self._pool = pool
        self._producers = producers
        self._asked: dict[int, _Asked] = {}

    @property
    def next_at(self) -> float:
        """When somebody is to be asked again, in loop time; infinity: nobody."""
        return min((each.at for each in self._asked.values()), default=float("inf"))

    async def heal(self, *, by_time: bool) -> None:
        """Ask about what is due; about times only where `by_time`."""
        rows = await self._pool.fetch(queries.to_be_healed, AT_ONCE)
        self._asked = {row["anomaly_id"]: self._asked.get(row["anomaly_id"], _Asked()) for row in rows}
        due = [row for row in rows if self._asked[row["anomaly_id"]].at <= _now()]
        by_numbers: defaultdict[str, list[Any]] = defaultdict(list)
        for row in due:
            if row["since_id"] is None:
                by_numbers[row["source"]].append(row)
        for source, theirs in by_numbers.items():
            with _patience([self._asked[row["anomaly_id"]] for row in theirs]):
                await self._ask_by_numbers(source, theirs)
        for row in due:
            if row["since_id"] is not None and by_time:
                with _patience([self._asked[row["anomaly_id"]]]):
                    await self._ask_by_time(row)

    async def _ask_by_numbers(self, source: str, rows: Sequence[Any]) -> None:
        wanted = [
            (
                row["lease_id"],
                max(row["first_sequence"], self._asked[row["anomaly_id"]].first),
                row["last_sequence"],
            )
            for row in rows
        ]
        asked = iter(rows)
        async for sets in outbox_comparison.ranges_of(self._pool, source, wanted):
            answers = await self._producers.compare(source, sets)
            for here, there in zip(sets, answers, strict=True):
                await self._answered(next(asked), here, there)

    async def _answered(self, row: Any, here: Range, there: Answer) -> None:
        source = row["source"]
        outbox_comparison.counted(source, here, there)
        asked = self._asked[row["anomaly_id"]]
        if here.count > here.last - here.first < row["last_sequence"] - here.first:
            asked.first, asked.times, asked.at = here.last + 1, 0, 0.0  # the next numbers of a long gap
        elif end := concluded(row["kind"], source, here, there):
            await annotate(self._pool, row["anomaly_id"], end.note, healed=end.healed)
        else:
            await self._once_more(row, pending=there.pending > 0)

    async def _ask_by_time(self, row: Any) -> None:
        since = max(row["since_id"], earliest(utcnow() - REACH))
        different = pending = 0
        for source in [row["source"]] if row["source"] else SOURCES:
            async for compared in outbox_comparison.windows(
                self._pool, self._producers, source, since, row["until_id"]
            ):
                different += len(compared.differences) + compared.pending
                pending += compared.pending
        if different:
            await self._once_more(row, pending=pending > 0)
        elif since > row["since_id"]:
            words = f"what was published before {rfc3339(time_of(since))} is beyond the horizon"
            words = f"{words}: nobody can say whether any of it is missing"
            await annotate(self._pool, row["anomaly_id"], words, healed=False)
        else:
            await annotate(self._pool, row["anomaly_id"], SAME, healed=True)

    async def _once_more(self, row: Any, *, pending: bool) -> None:
        asked = self._asked[row["anomaly_id"]]
        if pending:  # the relay has still to do with it
            asked.at = _now() + FIRST_PAUSE_S
            return
        asked.at = _now() + FIRST_PAUSE_S * 2**asked.times
        asked.times += 1
        if asked.times == ASKS_MAX:
            words = f"published again {ASKS_MAX} times, and still not recorded as the outbox has it"
            await annotate(self._pool, row["anomaly_id"], words, healed=False)


def concluded(kind: Kind, source: str, here: Range, there: Answer) -> Conclusion | None:
    """`here`: what the log has of these numbers; `there`: what the outbox has, published again if other.

    None: what is missing is on its way. A gap that is filled is healed by the writer, in the transaction that
    fills it.
    """
    wanted = here.last - here.first + 1
    if kind == "gap":
        if there.count >= wanted or here.count == wanted:
            return None
        numbers = f"{there.count} of the numbers {here.first} to {here.last}"
        beyond = "the others are beyond its horizon, or were never published"
        return Conclusion(False, f"the outbox of {source} has {numbers}: {beyond}")
    if there.count == 0:
        return Conclusion(False, f"the outbox of {source} has no event of this number (any more)")
    if outbox_comparison.same(here, there):
        return Conclusion(True, f"the outbox of {source} has what is recorded")
    if here.count:  # what is recorded stays
        return Conclusion(False, f"the outbox of {source} has other bytes than what is recorded")
    return None


@contextmanager
def _patience(asked: Sequence[_Asked]) -> Iterator[None]:
    """Who is away is asked a little later; that counts for nothing."""
    try:
        yield
    except AWAY as error:
        log.warning("reconciler.waits", error=repr(error))
        for each in asked:
            each.at = _now() + AWAY_PAUSE_S


def _now() -> float:
    return asyncio.get_running_loop().time()
