"""The scheduler of daily runs on a day of the test's own, which asks the test for what it publishes."""

from datetime import UTC, date, datetime, time
from typing import Any, cast

import msgspec

from common.messaging.envelope import decode_command
from payment_svc.application.workers.collection_scheduler import Days, Scheduler
from payment_svc.contracts.commands import RunCollections
from tests.support.simulation.occurrences import MISSED_DAYS, TALLY
from tests.support.simulation.workers import Message
from tests.support.simulation.world import World


class Calendar:
    """One worker's scheduler, on a day."""

    def __init__(self, world: World, day: date) -> None:
        self._world = world
        self._day = day
        self._asked: list[Message] = []
        record = _Days(world, day)
        noon = datetime.combine(day, time(12), UTC)
        self._scheduler = Scheduler(cast(Any, self), record, time(0), now=lambda: noon)

    async def next_run(self) -> Message | None:
        """The command for the next day that is to be run for, if that is not under way."""
        self._asked.clear()
        await self._scheduler.step()
        return self._asked[0] if self._asked else None

    async def publish(self, body: bytes, **_properties: Any) -> None:
        """As the publisher's. The day may lie ahead of the real one, which nobody here goes by."""
        command = decode_command(body)
        asked = msgspec.json.decode(command.data, type=RunCollections)
        asked = msgspec.structs.replace(asked, allow_future=True)
        TALLY[MISSED_DAYS] += asked.as_of < self._day
        self._asked.append(self._world.send("payment", command.type, asked))


class _Days(Days):
    def __init__(self, world: World, day: date) -> None:
        super().__init__(world.pools["payment"])
        self._day = day

    async def today(self) -> date:
        return self._day
