"""The daily run: asked for once a day, at its time or as soon as somebody is there to ask."""

import asyncio
import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

import pytest

from common.bus.publisher import Publisher
from common.errors import BrokerUnavailable
from common.http.commands import _KEY
from payment_svc import scheduler as module
from payment_svc.scheduler import Scheduler

DAY = datetime(2027, 1, 1, tzinfo=UTC)
SIX = time(6)


class Broker:
    """Takes what is published; may be away the first times."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.taken: list[dict[str, Any]] = []
        self.something = asyncio.Event()

    async def publish(self, body: bytes, **_about: Any) -> None:
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("away")
        self.taken.append(json.loads(body))
        self.something.set()


def at(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("hours", "asked_for", "due"),
    [
        (5.9, None, None),
        (6, None, date(2027, 1, 1)),
        (23.9, None, date(2027, 1, 1)),
        (23.9, date(2027, 1, 1), None),
        (24, date(2027, 1, 1), None),
        (30, date(2027, 1, 1), date(2027, 1, 2)),
    ],
)
def test_when_a_day_is_due(hours: float, asked_for: date | None, due: date | None) -> None:
    """From its time on until it has been asked for; a process that starts later still asks for its day."""
    assert Scheduler(cast(Publisher, None), SIX).due(at(hours), asked_for) == due


def test_how_long_to_sleep() -> None:
    """Until the next time of the day, but never long: clocks are set, machines sleep."""
    scheduler = Scheduler(cast(Publisher, None), SIX)
    assert scheduler.sleep_s(at(5.99)) == pytest.approx(36)
    assert scheduler.sleep_s(at(6)) == module.LONGEST_SLEEP_S
    assert Scheduler(cast(Publisher, None), None).due(at(12), None) is None


async def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker gives it the same key and fingerprint; a broker that is away is asked again."""
    monkeypatch.setattr(module, "RETRY_PAUSE_S", 0.0)
    brokers = [Broker(away=2), Broker()]
    for broker in brokers:
        running = asyncio.create_task(Scheduler(cast(Publisher, broker), SIX, lambda: at(7)).run())
        await asyncio.wait_for(broker.something.wait(), 5)
        await asyncio.sleep(0.01)
        running.cancel()
    [[first], [second]] = [broker.taken for broker in brokers]
    assert first["type"] == "RunCollections"
    assert first["data"] == {"as_of": "2027-01-01"}
    assert first["idempotency_key"] == "§collections-2027-01-01"
    assert _KEY.fullmatch(first["idempotency_key"]) is None  # so no client can have it taken
    assert first["command_id"] != second["command_id"]
    for name in ("idempotency_key", "fingerprint", "data"):
        assert first[name] == second[name]
