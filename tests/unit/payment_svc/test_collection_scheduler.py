"""The daily run: asked for when its time has come, days that were missed first, one after the other."""

import asyncio
import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

import pytest

from common.errors import BrokerUnavailable
from common.messaging.publisher import Publisher
from payment_svc.application.workers import collection_scheduler as module
from payment_svc.application.workers.collection_scheduler import MISSED_DAYS_MAX, Scheduler

DAY = datetime(2027, 1, 1, tzinfo=UTC)
SIX = time(6)
NOBODY = cast(Any, None)


class System:
    """A broker, a worker that completes what is asked for, and what is known of it; in memory."""

    def __init__(self, *completed: date, away: int = 0, at_work: bool = True) -> None:
        self.completed = set(completed)
        self.away = away  # so often the broker is
        self.at_work = at_work
        self.asked: list[dict[str, Any]] = []
        self.something = asyncio.Event()  # was asked
        self.database_day: date | None = None

    async def publish(self, body: bytes, **_about: Any) -> None:
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("away")
        self.asked.append(json.loads(body))
        self.something.set()
        if self.at_work:
            self.completed.add(self.days[-1])

    async def today(self) -> date:
        return self.database_day or date.max

    async def last_completed(self, until: date) -> date | None:
        return max((day for day in self.completed if day <= until), default=None)

    async def begun(self, day: date) -> bool:
        return day in self.completed

    @property
    def days(self) -> list[date]:
        return [date.fromisoformat(each["data"]["as_of"]) for each in self.asked]

    def scheduler(self, hours: float, at: time | None = SIX) -> Scheduler:
        """A process that looks at its clock, once and for all."""
        return Scheduler(cast(Publisher, self), self, at, lambda: moment(hours))


def moment(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


def ago(days: int) -> date:
    return DAY.date() - timedelta(days=days)


@pytest.mark.parametrize(
    ("hours", "completed", "due"),
    [
        (5.9, None, None),
        (6, None, ago(0)),
        (23.9, None, ago(0)),
        (23.9, ago(0), None),
        (24, ago(0), None),
        (30, ago(0), ago(-1)),
        (5.9, ago(4), None),
        (6, ago(4), ago(3)),
        (6, ago(400), ago(MISSED_DAYS_MAX)),
    ],
)
def test_when_a_day_is_due(hours: float, completed: date | None, due: date | None) -> None:
    """From its time on until it is completed; the oldest that was missed first, of 31 days at the most."""
    scheduler = Scheduler(NOBODY, NOBODY, SIX)
    assert scheduler.due(moment(hours), completed) == due


def test_how_long_to_sleep() -> None:
    """Until the next time of the day, but never long: clocks are set, machines sleep."""
    scheduler = Scheduler(NOBODY, NOBODY, SIX)
    assert scheduler.sleep_s(moment(5.99)) == pytest.approx(36)
    assert scheduler.sleep_s(moment(6)) == module.LONGEST_SLEEP_S
    assert Scheduler(NOBODY, NOBODY, None).due(moment(12), None) is None


async def test_missed_days_come_in_order_and_once() -> None:
    """Processes that end after each step: what is to be asked for next is on record, so none comes twice."""
    system = System(ago(4), ago(-40))  # and one that was run ahead of its time
    for _ in range(7):
        await system.scheduler(7).step()
    assert system.days == [ago(3), ago(2), ago(1), ago(0)]
    assert [each["type"] for each in system.asked] == ["RunCollections"] * 4


async def test_a_day_waits_for_the_one_before() -> None:
    """While that is not completed nothing is asked for again, unless nobody has ever begun it."""
    system = System(ago(2), at_work=False)
    scheduler = system.scheduler(7)
    for _ in range(3):
        assert await scheduler.step() == module.LOOK_EVERY_S
    assert system.days == [ago(1)]
    scheduler._asked_at -= module.LONGEST_SLEEP_S + 1  # the command was lost
    await scheduler.step()
    assert system.days == [ago(1), ago(1)]
    system.completed.add(ago(1))
    await scheduler.step()
    assert system.days[-1] == ago(0)


async def test_a_day_that_somebody_ran_for_early_is_asked_for_at_its_time() -> None:
    """So that what has come since is collected too; once, and by a process that was there before."""
    system = System(ago(0))
    clock = [5.5]
    scheduler = Scheduler(cast(Publisher, system), system, SIX, lambda: moment(clock[0]))
    for hours in (5.5, 6.5, 6.6, 7):
        clock[0] = hours
        await scheduler.step()
    assert system.days == [ago(0)]
    await system.scheduler(7).step()
    assert system.days == [ago(0)]


async def test_a_fresh_system_has_missed_nothing() -> None:
    """It begins with today."""
    system = System()
    await system.scheduler(7).step()
    assert system.days == [ago(0)]


async def test_a_clock_that_is_ahead_of_the_databases_asks_for_nothing() -> None:
    """Two clocks have to agree that a day has come."""
    system = System(ago(1))
    system.database_day = ago(1)
    assert await system.scheduler(7).step() == module.RETRY_PAUSE_S
    assert system.asked == []


async def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for nothing ahead of its time, under no key; a broker that is away is asked again."""
    monkeypatch.setattr(module, "RETRY_PAUSE_S", 0.0)
    system = System(ago(1), away=2)
    running = asyncio.create_task(system.scheduler(7).run())
    await asyncio.wait_for(system.something.wait(), 5)
    running.cancel()
    [asked] = system.asked
    assert asked["data"] == {"as_of": "2027-01-01", "allow_future": False, "dry_run": False}
    assert asked.get("idempotency_key") is None
