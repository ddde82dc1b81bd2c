"""The daily collection run: a command like anybody's, published by every worker, carried out once.

A day has one run, whoever asks for it. What is to be asked for is in the tables, so nothing of it is
forgotten: the day after the last one that is completed, and so on until today.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import msgspec
import structlog

from common.errors import BrokerUnavailable
from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging import topology
from common.messaging.envelope import COMMAND_CONTENT_TYPE, Command, encode
from common.messaging.publisher import Publisher
from common.postgres.pool import Pool
from payment_svc.adapters.postgres import collection_run_repository
from payment_svc.contracts.commands import RunCollections

log = structlog.get_logger()

RETRY_PAUSE_S = 5.0
LONGEST_SLEEP_S = 300.0  # so that a clock that was set, or a machine that slept, is noticed
MISSED_DAYS_MAX = 31  # of those that nobody ran for, so many are made up: the last ones
LOOK_EVERY_S = 1.0  # whether the run that was asked for is completed


class Record(Protocol):
    """What is known of the days that were run for."""

    async def today(self) -> date:
        """The day by another clock than this process's, UTC."""

    async def last_completed(self, until: date) -> date | None:
        """The last day up to `until` whose run is completed."""

    async def begun(self, day: date) -> bool:
        """Whether the day's run has begun: then it comes to its end."""


class Days:
    """The record in Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def today(self) -> date:
        """By the database's clock."""
        return await collection_run_repository.today(self._pool)

    async def last_completed(self, until: date) -> date | None:
        """As `Record` says."""
        return await collection_run_repository.last_completed(self._pool, until)

    async def begun(self, day: date) -> bool:
        """As `Record` says."""
        return await collection_run_repository.begun(self._pool, day)


class Scheduler:
    """Asks for the day's run when its time has come, and at the start where that has passed today.

    Days that were missed come first, the oldest first, each when the one before is completed.
    """

    def __init__(
        self, publisher: Publisher, days: Record, at: time | None, now: Callable[[], datetime] = utcnow
    ) -> None:
        """`at`: time of day in UTC; None: never."""
        self._publisher = publisher
        self._days = days
        self._at = at
        self._now = now
        self._waits_on: date | None = None  # the day whose time was still to come
        self._asked_for: date | None = None  # by this process, and when, as the loop's time
        self._asked_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                pause_s = await self.step()
            except BrokerUnavailable as error:
                log.warning("collections.not_asked_for", error=str(error))
                pause_s = RETRY_PAUSE_S
            except Exception as error:  # the database is away
                log.warning("collections.waits", error=repr(error))
                pause_s = RETRY_PAUSE_S
            await asyncio.sleep(pause_s)

    async def step(self) -> float:
        """Ask for the run that is to be asked for now, if any; gives the seconds until the next look."""
        now = self._now()
        if self._at is None or now.time() < self._at:
            self._waits_on = now.date()
            return self.sleep_s(now)
        today = await self._days.today()
        if today < now.date():
            log.error("collections.clocks_differ", here=str(now.date()), database=str(today))
            return RETRY_PAUSE_S
        day = self.due(now, await self._days.last_completed(now.date()))
        if day is None:
            if self._waits_on == now.date():  # somebody was earlier: what has come since is collected too
                await self._publish(now.date())
                self._waits_on = None
            return self.sleep_s(now)
        asked_ago = asyncio.get_running_loop().time() - self._asked_at
        if self._asked_for != day or (asked_ago > LONGEST_SLEEP_S and not await self._days.begun(day)):
            await self._publish(day)
            self._asked_for, self._asked_at = day, asyncio.get_running_loop().time()
            self._waits_on = None
            log.info("collections.asked_for", as_of=str(day), missed=day < now.date())
        return LOOK_EVERY_S

    def due(self, now: datetime, completed: date | None) -> date | None:
        """The day whose run is to be asked for now, if any; `completed`: the last one that is, up to today.

        Where none ever was, nothing was missed.
        """
        today = now.date()
        if self._at is None or now.time() < self._at or completed == today:
            return None
        if completed is None:
            return today
        return max(completed + timedelta(days=1), today - timedelta(days=MISSED_DAYS_MAX))

    def sleep_s(self, now: datetime) -> float:
        """How long nothing is to be done."""
        if self._at is None:
            return LONGEST_SLEEP_S
        then = datetime.combine(now.date(), self._at, UTC)
        if then <= now:
            then += timedelta(days=1)
        return min((then - now).total_seconds(), LONGEST_SLEEP_S)

    async def _publish(self, day: date) -> None:
        """Without a key: under one, a refusal by a worker whose clock is slow would stand for ever."""
        command = Command(
            command_id=uuid7(),
            type="RunCollections",
            submitted_at=self._now(),
            data=msgspec.Raw(encode(RunCollections(as_of=day))),
        )
        await self._publisher.publish(
            encode(command),
            exchange=topology.COMMANDS,
            routing_key=topology.PAYMENT_COMMANDS,
            message_id=command.command_id,
            message_type=command.type,
            content_type=COMMAND_CONTENT_TYPE,
        )
