"""Whoever reaches the exchange can publish an event; the ledger and its producers' outboxes tell it apart."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractChannel

from common.kernel.clock import utcnow
from common.kernel.ids import earliest, uuid7
from common.messaging import topology
from common.messaging.envelope import EVENT_CONTENT_TYPE
from common.postgres.pool import Pool
from ledger_svc.entrypoints import reconcile
from tests.integration.ledger_svc.test_writer import changed, fresh_stream, has
from tests.support.builders.events import Life
from tests.support.fakes.event_producer import Outboxes, outboxes, workers
from tests.support.fakes.reconciling import (
    a_life,
    kinds,
    notes,
    open_ones,
    shorten_pauses,
    told_before,
    writing,
)
from tests.support.servers.broker_client import channel, until
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

Reconcile = Callable[..., Awaitable[tuple[int, str]]]


@dataclass(frozen=True)
class World:
    """The ledger and two outboxes, all of them empty, and somebody at the exchange."""

    servers: Servers
    its: AbstractChannel
    db: asyncpg.Connection
    pool: Pool
    told: Outboxes

    @asynccontextmanager
    async def at_work(self, every_s: float = 600.0) -> AsyncIterator[None]:
        """The services' relays and workers, and the ledger's writer."""
        async with workers(self.servers, self.told), writing(self.servers, self.pool, every_s):
            yield

    async def forge(self, raw: bytes) -> None:
        """Publish to the exchange as the services do."""
        exchange = await self.its.get_exchange(topology.EVENTS)
        message = aio_pika.Message(raw, content_type=EVENT_CONTENT_TYPE, message_id=uuid7())
        await exchange.publish(message, routing_key=json.loads(raw)["type"])


@pytest.fixture
async def world(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    shorten_pauses(monkeypatch)
    async with (
        channel(servers.amqp_url) as its,
        owner(servers) as connection,
        pools(servers, "ledger", role="ledger_writer") as [pool],
        outboxes(servers) as told,
    ):
        await fresh_stream(servers, its)
        await empty(connection, "ledger")
        yield World(servers, its, connection, pool, told)
        await empty(connection, "ledger")
        for queue in topology.WORK_QUEUES:  # nobody projects the events that were published
            await (await its.get_queue(queue.name)).purge()


@pytest.fixture
def asked(servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reconcile:
    """The command `reconcile`: its exit status and what it printed."""
    monkeypatch.setenv("DATABASE_URL", servers.dsn("ledger_writer"))
    monkeypatch.setenv("AMQP_URL", servers.amqp_url)
    monkeypatch.setattr("ledger_svc.entrypoints.reconcile.configure_logging", lambda _level: None)

    async def ask(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        status = await asyncio.to_thread(reconcile.main, list(arguments))
        lines = capsys.readouterr().out.splitlines()
        return status, "\n".join(line for line in lines if not line.startswith('{"event": '))

    return ask


def dated(instant: datetime) -> str:
    """An id that says that it was made then."""
    return earliest(instant)[:14] + uuid7()[14:]


def a_forgery(event_id: str) -> bytes:
    """A lease that nobody created, in a valid event."""
    life = Life()
    life.create()
    return changed(life.raws[0], id=event_id)


IDS: dict[str, Callable[[], str]] = {
    "now": uuid7,
    "in the future": lambda: dated(utcnow() + timedelta(days=10)),
    "a little ahead": lambda: dated(utcnow() + timedelta(minutes=4)),
    "far in the future": lambda: "ffffffff-ffff-7fff-bfff-ffffffffffff",
    "last week": lambda: dated(utcnow() - timedelta(days=7)),
    "before what the outboxes keep": lambda: dated(utcnow() - timedelta(days=60)),
    "no UUIDv7": lambda: str(uuid4()),
}
IMPLAUSIBLE = ("in the future", "far in the future", "no UUIDv7")


def found_in(said: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Of the JSON lines: the differences, the other open anomalies, the summary."""
    lines = [json.loads(line) for line in said.splitlines()]
    told = [line["difference"] for line in lines if "difference" in line]
    return told, [line["anomaly"] for line in lines if "anomaly" in line], lines[-1]["summary"]


@pytest.mark.parametrize("when", IDS)
async def test_a_forged_event_is_found_and_named(world: World, asked: Reconcile, when: str) -> None:
    """Whatever its id says: by event, type, lease and source, in words, as JSON and as an anomaly."""
    life, event_id = a_life(), IDS[when]()
    forged = a_forgery(event_id)
    event = json.loads(forged)
    async with world.at_work():
        await world.told.tell(life.raws)
        await until(has(world.db, len(life.raws)))
        await world.forge(forged)
        await until(has(world.db, len(life.raws) + 1))
        status, said = await asked("--json")
        [difference], others, summary = found_in(said)
        text_status, text = await asked()
    seq = len(life.raws) + 1
    assert (status, text_status) == (1, 1)
    assert difference == {
        "differs": "unknown",
        "event_id": event_id,
        "event_type": "lease.created",
        "source": "/lease-svc",
        "lease_id": event["subject"],
        "sequence": 1,
        "seq": seq,
    }
    assert (summary["differences"], summary["differences_open"]) == (1, 1)
    named = (
        f"entry {seq}, event {event_id}, lease.created, number 1 of /lease-svc of lease {event['subject']}: "
    )
    assert f"{named}the ledger has it, the outbox of its producer does not" in text
    assert "/lease-svc: 2 entries and" in text
    assert "1 differ\n" in text
    expected = ["implausible_id"] if when in IMPLAUSIBLE else []
    assert [each["kind"] for each in others] == expected
    raised = {row["kind"]: row for row in await open_ones(world.db)}
    assert raised.keys() == {"difference", *expected}
    for row in raised.values():
        assert (row["event_id"], row["event_type"]) == (event_id, "lease.created")
        assert (row["source"], str(row["lease_id"])) == ("/lease-svc", event["subject"])
    assert raised["difference"]["differs"] == "unknown"


async def test_other_bytes_under_an_id_that_exists(world: World, asked: Reconcile) -> None:
    """A forged event that came before the true one of its id: the record is named as different."""
    life = a_life()
    true = life.raws[-1]
    forged = changed(true, causationid=uuid7())
    async with world.at_work():
        await world.told.tell(life.raws[:-1])
        await until(has(world.db, len(life.raws) - 1))
        await world.forge(forged)
        await until(has(world.db, len(life.raws)))
        await world.told.tell([true], lost=[true])
        status, said = await asked("--json")
    [difference], _, _ = found_in(said)
    event = json.loads(true)
    assert status == 1
    assert (difference["differs"], difference["event_id"]) == ("other_bytes", event["id"])
    assert (difference["event_type"], difference["lease_id"]) == (event["type"], life.lease_id)
    assert difference["sequence"] == event["sequence"]


async def test_a_forged_number_beyond_a_gap(world: World, asked: Reconcile) -> None:
    """The event is unknown to its producer, and the gap before it stays open: both are named."""
    life = a_life()
    forged = changed(life.raws[-1], id=uuid7(), sequence=99)
    async with world.at_work():
        await world.told.tell(life.raws)
        await until(has(world.db, len(life.raws)))
        await world.forge(forged)
        await until(has(world.db, len(life.raws) + 1))
        status, said = await asked("--json")
    [difference], [gap], _ = found_in(said)
    assert status == 1
    assert (difference["differs"], difference["event_id"]) == ("unknown", json.loads(forged)["id"])
    assert (gap["kind"], gap["lease_id"], gap["source"]) == ("gap", life.lease_id, "/payment-svc")


async def test_what_the_ledger_refused_is_named_too(world: World, asked: Reconcile) -> None:
    """Another event with the id of one that is recorded: nothing differs, and the refused one is named."""
    life = a_life()
    forged = a_forgery(json.loads(life.raws[0])["id"])
    async with world.at_work():
        await world.told.tell(life.raws)
        await until(has(world.db, len(life.raws)))
        await world.forge(forged)
        await until(lambda: _noted(world.db))
        status, said = await asked("--json")
        _, text = await asked()
    differences, [refused], _ = found_in(said)
    assert (status, differences) == (0, [])
    assert (refused["kind"], refused["event_type"]) == ("id_reused", "lease.created")
    assert refused["lease_id"] == json.loads(forged)["subject"]
    assert f"id_reused, lease {refused['lease_id']} (event {refused['event_id']}, lease.created)" in text


async def _noted(connection: asyncpg.Connection) -> bool:
    return bool(await notes(connection))


async def test_the_running_ledger_finds_them_by_itself(world: World) -> None:
    """Each forged event is an open anomaly, and a true one is none, whatever its id says."""
    early = [told_before(raw, timedelta(days=3)) for raw in a_life().raws]
    life, forged = a_life(), [a_forgery(make()) for make in IDS.values()]
    async with world.at_work(every_s=1.0):
        await world.told.tell([*life.raws, *early])
        for raw in forged:
            await world.forge(raw)
        count = len(life.raws) + len(early) + len(forged)
        await until(has(world.db, count))
        await until(lambda: _found(world.db, len(forged)), within_s=60)
        await until(lambda: _compared(world.db, count), within_s=60)
    differences = [row for row in await open_ones(world.db) if row["kind"] == "difference"]
    assert sorted(row["event_id"] for row in differences) == sorted(json.loads(raw)["id"] for raw in forged)
    assert {row["differs"] for row in differences} == {"unknown"}


async def _found(connection: asyncpg.Connection, count: int) -> bool:
    return (await kinds(connection)).count("difference") >= count


async def _compared(connection: asyncpg.Connection, count: int) -> bool:
    return bool(await connection.fetchval("SELECT max(seq) FROM ledger.compared") == count)


async def test_ids_that_say_nothing_do_not_keep_it_from_looking(world: World) -> None:
    """A stream of ids without a date does not pass for a backlog: a lost tail is found meanwhile."""
    life, forged = a_life(), a_forgery(str(uuid4()))
    async with world.at_work(every_s=1.0):
        await world.told.tell(life.raws, lost=life.raws[-1:])

        async def complete() -> bool:
            await world.forge(forged)
            return bool(await has(world.db, len(life.raws) + 1)())

        await until(complete, within_s=60)


async def test_a_true_event_of_a_clock_that_is_wrong(world: World, asked: Reconcile) -> None:
    """An id dated ahead that the outbox has too is told of and done with; nothing differs."""
    ahead = [told_before(raw, -timedelta(hours=2)) for raw in a_life(1).raws]
    async with world.at_work():
        await world.told.tell(ahead)
        await until(has(world.db, len(ahead)))
        await until(lambda: _healed(world.db, len(ahead)))
        status, said = await asked("--json")
    differences, others, _ = found_in(said)
    assert (status, differences, others) == (0, [], [])
    assert set(await kinds(world.db)) == {"implausible_id"}


async def _healed(connection: asyncpg.Connection, count: int) -> bool:
    return [healed for healed, _ in await notes(connection)].count(True) == count


async def test_what_is_older_than_the_outboxes_keep_is_not_said_to_be_right(
    world: World, asked: Reconcile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries from before are counted as not compared."""
    life, later = a_life(), a_life()
    async with world.at_work():
        await world.told.tell(life.raws)
        await until(has(world.db, len(life.raws)))
        last = await world.db.fetchval("SELECT max(recorded_at) FROM ledger.entries")
        await world.told.tell(later.raws)
        await until(has(world.db, len(life.raws) + len(later.raws)))
        monkeypatch.setattr(
            "ledger_svc.entrypoints.reconcile.REACH", utcnow() - last - timedelta(microseconds=1)
        )
        status, text = await asked("--since", "2026-01-01")
        _, said = await asked("--json")
    assert status == 0
    assert f"entries 1 to {len(life.raws)} are not compared: they were recorded before " in text
    assert "(the outboxes keep 30 days)" in text
    assert found_in(said)[2]["not_compared"]["last"] >= len(life.raws)


async def test_an_outbox_that_has_forgotten_is_no_difference(world: World, asked: Reconcile) -> None:
    """A true event that was recorded late was compared then; a forged one of the same date stays named."""
    true = [told_before(raw, timedelta(days=35)) for raw in a_life(1).raws]
    forged = a_forgery(IDS["before what the outboxes keep"]())
    async with world.at_work(every_s=1.0):
        await world.told.tell(true)
        await until(has(world.db, len(true)))
        await world.forge(forged)
        await until(lambda: _compared(world.db, len(true) + 1))
        for schema in ("lease", "payment"):
            await world.db.execute(f"DELETE FROM {schema}.outbox")
        status, said = await asked("--json")
    [difference], _, summary = found_in(said)
    assert (status, difference["event_id"]) == (1, json.loads(forged)["id"])
    assert summary["forgotten"] == len(true)


async def test_very_many_that_are_missing_are_one_anomaly(
    world: World, asked: Reconcile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command names each of them, the anomaly the first; they come, and it is healed."""
    monkeypatch.setattr("ledger_svc.completeness.differences.NAMED_MAX", 2)
    raws = [told_before(raw, timedelta(days=3)) for raw in a_life().raws]
    async with world.at_work():
        await world.told.tell(raws, lost=raws)
        status, said = await asked("--json")
        await until(has(world.db, len(raws)))
    differences, _, summary = found_in(said)
    assert (status, summary["differences_open"]) == (0, 0)
    assert sorted(each["event_id"] for each in differences) == sorted(json.loads(raw)["id"] for raw in raws)
    assert {each["differs"] for each in differences} == {"missing"}
    rows = await world.db.fetch("SELECT detail, event_id FROM ledger.anomalies WHERE kind = 'difference'")
    assert sorted(row["event_id"] is None for row in rows) == [
        False,
        True,
    ]  # one of the lease, six of payments
    [detail] = [row["detail"] for row in rows if row["event_id"] is None]
    assert detail.startswith("the ledger lacks 6 events of /payment-svc")
