"""The daily collection run: a command like anybody's, published by every worker, carried out once.

All workers give it the same idempotency key, and a day has one run in any case.
"""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import structlog

from common.bus import topology
from common.bus.publisher import Publisher
from common.clock import utcnow
from common.envelope import COMMAND_CONTENT_TYPE, Command, encode
from common.errors import BrokerUnavailable
from common.ids import uuid7
from payment_svc.commands import RunCollections

log = structlog.get_logger()

RETRY_PAUSE_S = 5.0
OWN = "§"  # no client's key begins with it: those are printable ASCII
LONGEST_SLEEP_S = 300.0  # so that a clock that was set, or a machine that slept, is noticed


class Scheduler:
    """Asks for the day's run when its time has come, and at the start where that has passed today."""

    def __init__(self, publisher: Publisher, at: time | None, now: Callable[[], datetime] = utcnow) -> None:
        """`at`: time of day in UTC; None: never."""
        self._publisher = publisher
        self._at = at
        self._now = now

    async def run(self) -> None:
        """Until cancelled."""
        asked_for: date | None = None
        while True:
            now = self._now()
            day = self.due(now, asked_for)
            if day is None:
                await asyncio.sleep(self.sleep_s(now))
                continue
            try:
                await self._publish(day)
                asked_for = day
                log.info("collections.asked_for", as_of=str(day))
            except BrokerUnavailable as error:
                log.warning("collections.not_asked_for", as_of=str(day), error=str(error))
                await asyncio.sleep(RETRY_PAUSE_S)

    def due(self, now: datetime, asked_for: date | None) -> date | None:
        """The day whose run is to be asked for now, if any."""
        if self._at is None or now.time() < self._at or now.date() == asked_for:
            return None
        return now.date()

    def sleep_s(self, now: datetime) -> float:
        """How long nothing is to be done."""
        if self._at is None:
            return LONGEST_SLEEP_S
        then = datetime.combine(now.date(), self._at, UTC)
        if then <= now:
            then += timedelta(days=1)
        return min((then - now).total_seconds(), LONGEST_SLEEP_S)

    async def _publish(self, day: date) -> None:
        data = encode(RunCollections(as_of=day))
        command = Command(
            command_id=uuid7(),
            type="RunCollections",
            submitted_at=self._now(),
            idempotency_key=f"{OWN}collections-{day}",
            fingerprint=hashlib.sha256(b"scheduled " + data).hexdigest(),
            data=msgspec.Raw(data),
        )
        await self._publisher.publish(
            encode(command),
            exchange=topology.COMMANDS,
            routing_key=topology.PAYMENT_COMMANDS,
            message_id=command.command_id,
            message_type=command.type,
            content_type=COMMAND_CONTENT_TYPE,
        )
