"""The relay: everything in the outbox is published, in order for each lease, by one relay at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from common.errors import BrokerUnavailable
from common.kernel.clock import rfc3339, utcnow
from common.kernel.ids import uuid7
from common.messaging import command_inbox, outbox, topology
from common.messaging.envelope import Event
from common.messaging.outbox_relay import Relay
from common.messaging.publisher import Publisher
from common.postgres.pool import Pool
from tests.support.servers.broker_client import channel, running, take, until
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "lease")
        yield connection
        await empty(connection, "lease")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.postgres.leader_election.STANDBY_POLL_S", 0.1)


class Broker:
    """A publisher that remembers, and refuses what it is told to."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.refused: set[str] = set()  # leases
        self.delay_s = 0.0

    async def publish(self, body: bytes, *, message_id: str, routing_key: str, **_rest: object) -> None:
        events = parse(body)
        await asyncio.sleep(self.delay_s)
        if any(event["subject"] in self.refused for event in events):
            raise BrokerUnavailable("told to")
        assert {event["type"] for event in events} == {routing_key}
        assert events[0]["id"] == message_id
        self.published += events


def parse(body: bytes) -> list[dict[str, Any]]:
    parsed = json.loads(body)
    return parsed if isinstance(parsed, list) else [parsed]


def event(lease_id: str, sequence: int, type_: str = "test.happened") -> Event:
    return Event(
        id=uuid7(),
        source="/lease-svc",
        type=type_,
        subject=lease_id,
        time=rfc3339(utcnow()),
        sequence=sequence,
        correlationid=uuid7(),
        causationid=uuid7(),
        data=msgspec.Raw(b"{}"),
    )


async def commit(pool: Pool, *events: Event) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await outbox.append(connection, events)


def relay(pool: Pool, publisher: object) -> Relay:
    return Relay("lease", pool, publisher)  # type: ignore[arg-type]


def by_lease(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for each in events:
        found.setdefault(each["subject"], []).append(each["sequence"])
    return found


async def test_everything_in_order(servers: Servers, its: asyncpg.Connection) -> None:
    """Thousands of events of many leases, through the real broker: once each, in order for each lease."""
    leases = [uuid7() for _ in range(40)]
    kind = f"test.{uuid7()}"
    async with pools(servers, "lease") as [pool], channel(servers.amqp_url) as opened:
        queue = await opened.declare_queue(exclusive=True)
        await queue.bind(topology.EVENTS, kind)
        publisher = Publisher(servers.amqp_url, "test")
        async with running(publisher.run()):
            for start in range(1, 31, 5):
                await commit(
                    pool, *(event(lease, n, kind) for n in range(start, start + 5) for lease in leases)
                )
            async with running(relay(pool, publisher).run()):
                await until(lambda: _pending(its, 0))
        told = [each for message in await take(opened, queue.name, 1) for each in parse(message.body)]
    assert len(told) == 1_200
    assert by_lease(told) == {lease: list(range(1, 31)) for lease in leases}
    assert await its.fetchval("SELECT count(*) FROM lease.outbox") == 1_200  # kept for reconciliation


async def test_bytes_are_those_that_were_committed(servers: Servers, its: asyncpg.Connection) -> None:
    """Alone in its message an event's body is what the outbox has, byte for byte."""
    kind = f"test.{uuid7()}"
    async with pools(servers, "lease") as [pool], channel(servers.amqp_url) as opened:
        queue = await opened.declare_queue(exclusive=True)
        await queue.bind(topology.EVENTS, kind)
        publisher = Publisher(servers.amqp_url, "test")
        async with running(publisher.run(), relay(pool, publisher).run()):
            told = event(uuid7(), 1, kind)
            await commit(pool, told)
            [message] = await take(opened, queue.name, 1)
    assert message.body == await its.fetchval("SELECT body FROM lease.outbox")
    assert (message.message_id, message.type, message.content_type) == (
        told.id,
        kind,
        "application/cloudevents+json",
    )


async def test_a_failed_publish_stops_its_lease_alone(servers: Servers, its: asyncpg.Connection) -> None:
    """A lease whose event is not confirmed waits; the others go on; afterwards it is in order, too."""
    leases = [uuid7() for _ in range(5)]
    broker = Broker()
    broker.refused = {leases[2]}
    async with pools(servers, "lease") as [pool]:
        await commit(pool, *(event(lease, number) for number in (1, 2, 3) for lease in leases))
        async with running(relay(pool, broker).run()):
            await until(lambda: _pending(its, 3))
            await asyncio.sleep(0.3)
            assert leases[2] not in by_lease(broker.published)
            broker.refused = set()
            await until(lambda: _pending(its, 0))
    assert by_lease(broker.published) == {lease: [1, 2, 3] for lease in leases}


async def test_a_refused_batch_message(servers: Servers, its: asyncpg.Connection) -> None:
    """Under load, events share messages; when one message fails, its leases wait and none is out of order."""
    leases = [uuid7() for _ in range(250)]
    broker = Broker()
    broker.refused = {leases[0]}
    async with pools(servers, "lease") as [pool]:
        await commit(pool, *(event(lease, number) for number in (1, 2) for lease in leases))
        async with running(relay(pool, broker).run()):
            await until(lambda: _at_most_pending(its, 200))
            broker.refused = set()
            await until(lambda: _pending(its, 0))
    assert by_lease(broker.published) == {lease: [1, 2] for lease in leases}


async def test_the_leader_alone_publishes(servers: Servers, its: asyncpg.Connection) -> None:
    """Three relays: one leads, nothing is published twice; when its connection ends, another takes over."""
    brokers = [Broker() for _ in range(3)]
    lease = uuid7()
    async with pools(servers, "lease", 3) as three:
        relays = [relay(pool, broker) for pool, broker in zip(three, brokers, strict=True)]
        async with running(*(each.run() for each in relays)):
            for number in range(1, 21):
                await commit(three[0], event(lease, number))
                await asyncio.sleep(0.01)
            await until(lambda: _pending(its, 0))
            told = [broker for broker in brokers if broker.published]
            assert len(told) == 1
            assert by_lease(told[0].published) == {lease: list(range(1, 21))}
            assert await _leaders(its) == 1
            await its.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            )
            for number in range(21, 41):
                await commit(three[1], event(lease, number))
            await until(lambda: _pending(its, 0))
            assert await _leaders(its) == 1
    everything = [each for broker in brokers for each in broker.published]
    assert sorted(by_lease(everything)[lease]) == list(range(1, 41))
    assert sum(1 for broker in brokers if broker.published) in (1, 2)


async def test_stopped_as_its_connection_is_lost(
    servers: Servers, its: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that is cancelled before it has noticed the loss takes it for no outage: it ends, at once."""
    monkeypatch.setattr("common.messaging.outbox_relay.POLL_EVERY_S", 60)
    async with pools(servers, "lease") as [pool]:
        task = asyncio.create_task(relay(pool, Broker()).run())
        await until(lambda: _has_leader(its))
        await its.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task], timeout=2)
        assert task.cancelled()


async def test_woken_at_once(
    servers: Servers, its: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wake` makes the relay look now; without it the poll finds what others have committed."""
    monkeypatch.setattr("common.messaging.outbox_relay.POLL_EVERY_S", 0.5)
    broker = Broker()
    async with pools(servers, "lease") as [pool]:
        leading = relay(pool, broker)
        async with running(leading.run()):
            await until(lambda: _has_leader(its))
            await asyncio.sleep(0.1)
            await commit(pool, event(uuid7(), 1))
            leading.wake()
            await until(lambda: _published(broker, 1), 0.4)
            await commit(pool, event(uuid7(), 1))
            await until(lambda: _published(broker, 2), 1.0)


async def test_pruning(servers: Servers, its: asyncpg.Connection) -> None:
    """Past the horizon, what is published and what is answered is forgotten; what is open never is."""
    async with pools(servers, "lease") as [pool]:
        await commit(pool, *(event(uuid7(), 1) for _ in range(4)))
        long_ago = utcnow() - outbox.HORIZON - timedelta(hours=1)
        await its.execute("UPDATE lease.outbox SET created_at = $1 WHERE id <= 3", long_ago)
        await its.execute("DELETE FROM lease.outbox_pending WHERE id <> 2")
        old, young = old_id(long_ago), old_id(utcnow() - outbox.HORIZON + timedelta(hours=1))
        for command_id, status in ((old[0], "succeeded"), (old[1], "pending"), (young[0], "succeeded")):
            await its.execute(
                "INSERT INTO lease.commands (command_id, type, status, http_status, body, submitted_at)"
                " VALUES ($1, 'Test', $2, 201, '{}', now())",
                command_id,
                status,
            )
        async with pool.acquire() as connection:
            assert not await outbox.prune(connection)
    assert [row["id"] for row in await its.fetch("SELECT id FROM lease.outbox ORDER BY id")] == [2, 4]
    left = await its.fetch("SELECT command_id::text FROM lease.commands ORDER BY command_id")
    assert [row["command_id"] for row in left] == sorted([old[1], young[0]])


async def test_an_outcome_that_a_repetition_shows(servers: Servers, its: asyncpg.Connection) -> None:
    """It is kept as long as the repetition, whose own record is of a time when it was still to come."""
    original, other = old_id(utcnow() - outbox.HORIZON - timedelta(days=1))
    await its.execute(
        "INSERT INTO lease.commands (command_id, type, status, http_status, body, submitted_at)"
        " VALUES ($1, 'Test', 'rejected', 402, '{}', now()), ($2, 'Test', 'rejected', 402, '{}', now())",
        original,
        other,
    )
    duplicate = uuid7()
    await its.execute(
        "INSERT INTO lease.commands (command_id, type, status, http_status, body, submitted_at, original_id)"
        " VALUES ($1, 'Test', 'pending', 202, '{}', now(), $2)",
        duplicate,
        original,
    )
    async with pools(servers, "lease") as [pool]:
        async with pool.acquire() as connection:
            await outbox.prune(connection)
        [(_, shown)] = await command_inbox.outcomes(pool, [duplicate])
    assert (shown.status, shown.http_status) == ("rejected", 402)
    left = await its.fetch("SELECT command_id::text FROM lease.commands ORDER BY command_id")
    assert [row["command_id"] for row in left] == [original, duplicate]


async def test_pruning_keeps_up(servers: Servers, its: asyncpg.Connection) -> None:
    """More than a bite is old: the relay goes on until it is gone, without waiting for the next time."""
    long_ago = utcnow() - outbox.HORIZON - timedelta(days=1)
    await its.execute(
        "INSERT INTO lease.outbox (event_id, lease_id, type, body, created_at)"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'test', '', $1 FROM generate_series(1, $2)",
        long_ago,
        outbox.PRUNE_AT_ONCE * 2 + 10,
    )
    async with pools(servers, "lease") as [pool], running(relay(pool, Broker()).run()):
        await until(lambda: _kept(its, 0))


def old_id(instant: Any) -> list[str]:
    """Two UUIDv7 made at a time."""
    stamp = f"{int(instant.timestamp() * 1000):012x}"
    return [f"{stamp[:8]}-{stamp[8:]}-7000-8000-00000000000{number}" for number in (1, 2)]


async def _pending(its: asyncpg.Connection, count: int) -> bool:
    return bool(await its.fetchval("SELECT count(*) FROM lease.outbox_pending") == count)


async def _at_most_pending(its: asyncpg.Connection, count: int) -> bool:
    return bool(await its.fetchval("SELECT count(*) FROM lease.outbox_pending") <= count)


async def _kept(its: asyncpg.Connection, count: int) -> bool:
    return bool(await its.fetchval("SELECT count(*) FROM lease.outbox") == count)


async def _leaders(its: asyncpg.Connection) -> int:
    return int(await its.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"))


async def _has_leader(its: asyncpg.Connection) -> bool:
    return await _leaders(its) == 1


async def _published(broker: Broker, count: int) -> bool:
    return len(broker.published) >= count
